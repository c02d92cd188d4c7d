"""Sound files: checked before they are decoded, decoded in blocks, written as the source was."""
