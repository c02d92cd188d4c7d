"""Coded sound (MP3, Ogg, AAC, ...), counted by our own walk and decoded by ffmpeg's libraries.

One module for each container finds where the packets lie and how many frames they are; `decoding`
decodes them, and what it gives has to be as long as what was counted. `opening` chooses.
"""
