"""File formats that stems are written in.

`registry` lists them and what each can hold; `aiff`, `caf` and `w64` lay out uncompressed files;
`coded` writes through libsndfile's encoders and `mpeg4` through FFmpeg's, and `readback` decodes
their files; `tags`, `mp3`, `ogg` and `flac_blocks` write the metadata. `writers` opens the writer
of a target.
"""
