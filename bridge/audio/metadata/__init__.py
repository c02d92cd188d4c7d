"""Metadata of sound files, read into and written from one neutral form."""
