"""Metadata readers of each container family, into the form of `audio.metadata.model`.

One module for each family of containers; `bridge.audio.metadata.stems` chooses among them.
"""
