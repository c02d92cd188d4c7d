"""Session files: the bounce and its stems, at their place, as a DAW opens them."""
