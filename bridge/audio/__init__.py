"""Sound files: checked before they are decoded, decoded in blocks, written like the source."""
