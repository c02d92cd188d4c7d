"""Core Audio Format.

Source: Apple, "Core Audio Format Specification 1.0".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.audio.encode import FLOAT_BITS, PCM_BITS
from bridge.audio.pack import integers, interleaved
from bridge.audio.targets.aiff import channel_layout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from bridge.audio.metadata.model import Mark

_FLOAT_FLAG, _LITTLE_FLAG = 1, 2
# Of a marker: its kind, hours to subframes of a time code that it does not have, and its channel.
_GENERIC, _NO_TIME_CODE, _ALL_CHANNELS = 0, bytes([0xFF] * 8), 0


@dataclass(frozen=True)
class CafTemplate:
    """CAF file without its audio; chunks: (id, data) beside desc, chan and data."""

    rate_hz: int
    channels: int
    frames: int
    subtype: str
    channel_mask: int | None = None
    chunks: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def integer_bits(self) -> int | None:
        """Bits of one value; None for floating point."""
        return PCM_BITS.get(self.subtype)

    def head(self) -> bytes:
        """Return header, description, metadata, and the header of the audio, which comes last."""
        bits = (PCM_BITS | FLOAT_BITS)[self.subtype]
        flags = _LITTLE_FLAG | (_FLOAT_FLAG if self.subtype in FLOAT_BITS else 0)
        frame_bytes = self.channels * bits // 8
        layout = (float(self.rate_hz), b"lpcm", flags, frame_bytes, 1, self.channels, bits)
        made = struct.pack(">4sHH", b"caff", 1, 0)
        made += _chunk(b"desc", struct.pack(">d4sIIIII", *layout))
        if self.channel_mask is not None:
            made += _chunk(b"chan", channel_layout(self.channel_mask, self.channels))
        made += b"".join(_chunk(chunk_id, data) for chunk_id, data in self.chunks)
        # Four bytes of edit count stand before the audio.
        return made + struct.pack(">4sqI", b"data", 4 + self.frames * frame_bytes, 0)

    def tail(self) -> bytes:
        """Return no bytes."""
        return b""

    def packed(self, block: NDArray[np.generic]) -> bytes:
        """Encode a block as bytes of the file."""
        bits = self.integer_bits
        if bits is not None:
            return integers(block, bits)
        return interleaved(block, "<f4" if self.subtype == "FLOAT" else "<f8")


def information(entries: Mapping[str, str]) -> tuple[bytes, bytes]:
    """Encode the `info` chunk: pairs of text, each ended by NUL."""
    pairs = [(key, value.replace("\0", " ")) for key, value in entries.items()]
    text = "".join(f"{key}\0{value}\0" for key, value in pairs)
    return b"info", struct.pack(">I", len(pairs)) + text.encode("utf-8", "replace")


def markers(marks: Sequence[Mark]) -> tuple[tuple[bytes, bytes], ...]:
    """Encode the `strg` and `mark` chunks: names by number, and points that refer to them."""
    table, names, points = b"", b"", b""
    for number, mark in enumerate(marks, 1):
        table += struct.pack(">Iq", number, len(names))
        names += mark.name.replace("\0", " ").encode("utf-8", "replace") + b"\0"
        place = struct.pack(">IdI", _GENERIC, float(mark.position_frames), number)
        points += place + _NO_TIME_CODE + struct.pack(">I", _ALL_CHANNELS)
    strings = struct.pack(">I", len(marks)) + table + names
    return (b"strg", strings), (b"mark", struct.pack(">II", 0, len(marks)) + points)


def _chunk(chunk_id: bytes, data: bytes) -> bytes:
    return struct.pack(">4sq", chunk_id, len(data)) + data
