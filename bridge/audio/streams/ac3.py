"""AC-3 and Enhanced AC-3: ATSC A/52:2018, sections 5.3 and 5.4, and annex E."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from bridge.audio.streams.elementary import walk_frames
from bridge.audio.streams.frame_walk import Syntax

if TYPE_CHECKING:
    from typing import BinaryIO

    from bridge.audio.streams.model import Walk

_HEAD_BYTES = 8
_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_RATES_HZ = (48_000, 44_100, 32_000)
_CHANNELS = (2, 1, 2, 3, 3, 4, 4, 5)  # of each audio coding mode
_BLOCK_FRAMES = 256
_BLOCKS = (1, 2, 3, 6)
_LAST_AC3, _LAST_EAC3 = 10, 16  # bit stream identifications
_DEPENDENT = 1


@dataclass(frozen=True)
class Header:
    """Frame header, see `frame_walk.Header`; 0 frames if it extends the frame before it."""

    size_bytes: int
    frames: int
    rate_hz: int
    channels: int | None
    enhanced: bool

    @property
    def form(self) -> object:
        """See `frame_walk.Header`."""
        return self.rate_hz, self.enhanced


@lru_cache(maxsize=4096)
def parse(head: bytes) -> Header | None:
    """Parse eight bytes; None if they are no frame header."""
    if len(head) < _HEAD_BYTES or head[:2] != b"\x0b\x77":
        return None
    version = head[5] >> 3
    if version <= _LAST_AC3:
        return _ac3(head, max(version - 8, 0))
    return _eac3(head) if version <= _LAST_EAC3 else None


def _ac3(head: bytes, shift: int) -> Header | None:
    """AC-3 header; shift: 1 for half the rate, 2 for a quarter, as in versions 9 and 10."""
    rate_code, size_code = head[4] >> 6, head[4] & 63
    if rate_code == 3 or size_code >> 1 >= len(_KBPS):
        return None
    rate_hz = _RATES_HZ[rate_code]
    words = _KBPS[size_code >> 1] * 96_000 // rate_hz
    words += size_code & 1 if rate_hz == 44_100 else 0
    mode = head[6] >> 5
    before_lfe = 2 * (mode & 1 and mode != 1) + 2 * (mode >> 2) + 2 * (mode == 2)
    lfe = (head[6] << 8 | head[7]) >> 12 - before_lfe & 1
    return Header(
        2 * words, 6 * _BLOCK_FRAMES, rate_hz >> shift, _CHANNELS[mode] + lfe, enhanced=False
    )


def _eac3(head: bytes) -> Header | None:
    kind, program = head[2] >> 6, head[2] >> 3 & 7
    if program:
        return None  # another programme beside this one
    size_bytes = 2 * ((head[2] & 7) << 8 | head[3]) + 2
    rate_code, second = head[4] >> 6, head[4] >> 4 & 3
    if rate_code == 3:
        if second == 3:
            return None
        rate_hz, blocks = _RATES_HZ[second] // 2, 6
    else:
        rate_hz, blocks = _RATES_HZ[rate_code], _BLOCKS[second]
    frames = 0 if kind == _DEPENDENT else _BLOCK_FRAMES * blocks
    return Header(size_bytes, frames, rate_hz, None, enhanced=True)


def walk(file: BinaryIO, start: int, end: int) -> Walk:
    """Walk the frames; see `elementary.walk_frames`."""
    file.seek(start)
    enhanced = file.read(_HEAD_BYTES)[5:6] > bytes([_LAST_AC3 << 3 | 7])
    codec, subtype = ("eac3", "EAC3") if enhanced else ("ac3", "AC3")
    return walk_frames(file, start, end, SYNTAX, codec=codec, subtype=subtype, options=OPTIONS)


SYNTAX = Syntax("AC-3", b"\x0b\x77", _HEAD_BYTES, parse)
OPTIONS = {"drc_scale": "0"}
"""As it was encoded, without the compression that a receiver would apply at night."""
