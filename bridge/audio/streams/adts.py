"""AAC without a container (ADTS): ISO/IEC 13818-7 section 6.2 and 14496-3 section 1.A.2.2."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from bridge.audio.streams.elementary import walk_frames
from bridge.audio.streams.frame_walk import Syntax

if TYPE_CHECKING:
    from typing import BinaryIO

    from bridge.audio.streams.model import Walk

_RATES_HZ = (
    *(96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025),
    *(8_000, 7_350),
)
_BLOCK_FRAMES = 1024
_HEAD_BYTES = 7
_CHANNELS = (None, 1, 2, 3, 4, 5, 6, 8)  # None: the frames themselves say it


@dataclass(frozen=True)
class Header:
    """Frame header; see `frame_walk.Header`."""

    size_bytes: int
    frames: int
    rate_hz: int
    channels: int | None
    profile: int

    @property
    def form(self) -> object:
        """See `frame_walk.Header`."""
        return self.rate_hz, self.channels, self.profile


@lru_cache(maxsize=4096)
def parse(head: bytes) -> Header | None:
    """Parse seven bytes; None if they are no frame header."""
    if len(head) < _HEAD_BYTES or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    rate_code = head[2] >> 2 & 15
    size_bytes = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    if rate_code >= len(_RATES_HZ) or size_bytes <= _HEAD_BYTES:
        return None
    return Header(
        size_bytes=size_bytes,
        frames=_BLOCK_FRAMES * ((head[6] & 3) + 1),
        rate_hz=_RATES_HZ[rate_code],
        channels=_CHANNELS[(head[2] & 1) << 2 | head[3] >> 6],
        profile=head[2] >> 6,
    )


def walk(file: BinaryIO, start: int, end: int) -> Walk:
    """Walk the frames; see `elementary.walk_frames`."""
    return walk_frames(file, start, end, SYNTAX, codec="aac", subtype="AAC")


SYNTAX = Syntax("AAC", b"\xff", _HEAD_BYTES, parse)
