"""Location of the audio data in chunk-based files, found without a decoder; a module per container.

These bytes are decoded directly if the codec has one value per frame and channel; otherwise the
decoder's length is checked against them.
"""
