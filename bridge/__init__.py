"""The bridge between a DAW and stem separation: a bounce in, aligned stems out."""

__version__ = "0.1.0"
