"""Where the sound of a chunk-based file lies, found without a decoder; a module for each container.

Whatever a decoder makes of such a file, these bytes are its sound: they are what is decoded where
the codec has one value per frame and channel, and what the decoder's length is held against where
it has not.
"""
