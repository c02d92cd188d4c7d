"""The formats that stems are written in.

registry.py says what each can hold; aiff.py, caf.py and w64.py lay uncompressed files out; coded.py
writes through libsndfile's encoders and mpeg4.py through that of FFmpeg, and readback.py decodes
what they wrote; tags.py, mp3.py, ogg.py and flac_blocks.py say what becomes of a bounce's metadata.
opening.py joins them.
"""
