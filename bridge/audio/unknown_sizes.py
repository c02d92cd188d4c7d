"""Sizes with which writers mark an unknown length: the audio extends to the end of the file.

A writer into a pipe cannot go back to its header. Some container formats define a value for this
(CAF -1, AU 0xFFFFFFFF, RF64 "see ds64"); for the others each program has its own, collected from
their output. They count only if the file is shorter than they state.
"""

from __future__ import annotations

_UNKNOWN = (
    0xFFFFFFFF,  # ffmpeg, and most programs of today
    0x80000000,  # "as much as a signed size allows", rounded up
    0x7FFFFFFF,  # lame --decode, opusdec, oggdec
    0x7FFFFF00,  # arecord
    0x7FFFF000,  # sox, espeak, mplayer
)
_UNKNOWN_AIFF = (0xFFFFFFFF, 0x7F000000)  # ... sox
_UNKNOWN_64 = 0x7FFFFFFFFFFFFFFF
"""ffmpeg's in Wave64; all bits set in its 64 bits of RF64. Rounded to 8 bytes by some."""


def is_unknown(size_bytes: int, block_bytes: int = 1, *, aiff: bool = False) -> bool:
    """Return whether a 32-bit size marks an unknown length, as it is or in whole codec blocks."""
    block_bytes = max(block_bytes, 1)
    sizes = _UNKNOWN_AIFF if aiff else _UNKNOWN
    return any(size_bytes in {size, size - size % block_bytes} for size in sizes)


def is_unknown_64(size_bytes: int) -> bool:
    """Return whether a 64-bit size marks an unknown length."""
    return size_bytes >= _UNKNOWN_64 - 64
