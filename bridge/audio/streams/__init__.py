"""Coded audio (MP3, Ogg, AAC, ...), counted by this package and decoded by FFmpeg's libraries.

One module per container finds the packets and counts their frames; `demuxing` decodes them, and
`libav` checks the decoded length against the count. `registry` chooses the module.
"""
