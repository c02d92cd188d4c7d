"""Sizes by which writers say that they do not know the length: the sound goes to the file's end.

A writer into a pipe cannot go back to its header. The container formats have a word for that (CAF
-1, AU 0xFFFFFFFF, RF64 "see ds64"); for the others each program has its own, found by having them
write. They count only where the file is not as long as they say.
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
    """Whether a 32-bit size is one of those, as it is or in whole blocks (frames) of the codec."""
    block_bytes = max(block_bytes, 1)
    sizes = _UNKNOWN_AIFF if aiff else _UNKNOWN
    return any(size_bytes in {size, size - size % block_bytes} for size in sizes)


def is_unknown_64(size_bytes: int) -> bool:
    """Whether a 64-bit size is one of those."""
    return size_bytes >= _UNKNOWN_64 - 64
