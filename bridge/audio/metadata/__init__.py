"""Metadata of sound files: read from every container into one neutral form, and written from it."""
