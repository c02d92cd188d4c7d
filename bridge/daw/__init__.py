"""Session files: the bounce and its stems, placed in time, in the formats of DAWs."""
