"""One bounce to staged files: separate, effects, mix, encode, verify."""
