"""AIFF and, for floating point, AIFF-C.

Sources: Apple, "Audio Interchange File Format: AIFF", version 1.3 (1989); Apple, "AIFF-C",
draft 26 August 1991, with the compression types `fl32` and `fl64`; Apple, "Core Audio Format
Specification 1.0", channel layouts, which CHAN chunks in AIFF files share.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from bridge.audio.encode import FLOAT_BITS, PCM_BITS
from bridge.audio.pack import integers, interleaved

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bridge.audio.chunks import Chunk

_FVER = struct.pack(">I", 0xA2805140)  # the one version of AIFF-C
_COMPRESSION = {"FLOAT": (b"fl32", "32-bit float"), "DOUBLE": (b"fl64", "64-bit float")}


@dataclass(frozen=True)
class AiffTemplate:
    """AIFF file without its audio; chunks: beside COMM and SSND, numbers big-endian."""

    rate_hz: int
    channels: int
    frames: int
    subtype: str
    channel_mask: int | None = None
    chunks: tuple[Chunk, ...] = ()

    @property
    def integer_bits(self) -> int | None:
        """Bits of one value; None for floating point."""
        return PCM_BITS.get(self.subtype)

    @property
    def data_bytes(self) -> int:
        """Bytes of the audio."""
        return self.frames * self.channels * (PCM_BITS | FLOAT_BITS)[self.subtype] // 8

    def head(self) -> bytes:
        """Return FORM, COMM, the metadata, and the header of SSND, which comes last."""
        kind = b"AIFC" if self.subtype in _COMPRESSION else b"AIFF"
        first = chunk(b"FVER", _FVER) if kind == b"AIFC" else b""
        body = kind + first + chunk(b"COMM", self._comm) + self._layout
        body += b"".join(chunk(one.id, one.data) for one in self.chunks)
        # Offset and block size of the audio, both 0.
        body += struct.pack(">4sIII", b"SSND", 8 + self.data_bytes, 0, 0)
        return b"FORM" + struct.pack(">I", len(body) + self.data_bytes + len(self.tail())) + body

    def tail(self) -> bytes:
        """Return the pad byte of the audio, if any."""
        return bytes(self.data_bytes % 2)

    def packed(self, block: NDArray[np.generic]) -> bytes:
        """Encode a block as bytes of the file."""
        bits = self.integer_bits
        if bits is not None:
            return integers(block, bits, ">")
        return interleaved(block, ">f4" if self.subtype == "FLOAT" else ">f8")

    @cached_property
    def _comm(self) -> bytes:
        bits = (PCM_BITS | FLOAT_BITS)[self.subtype]
        common = struct.pack(">hIh", self.channels, self.frames, bits) + extended(self.rate_hz)
        if self.subtype not in _COMPRESSION:
            return common
        kind, name = _COMPRESSION[self.subtype]
        return common + kind + pascal(name)

    @cached_property
    def _layout(self) -> bytes:
        """Channel layout, where the bounce has a channel mask: by bits, as in WAV."""
        if self.channel_mask is None:
            return b""
        return chunk(b"CHAN", channel_layout(self.channel_mask, self.channels))


def extended(value: int) -> bytes:
    """Encode a positive integer as an 80-bit float (SANE, Apple Numerics Manual)."""
    exponent = value.bit_length() - 1
    return struct.pack(">HQ", 16383 + exponent, value << (63 - exponent))


def pascal(text: str) -> bytes:
    """Encode a string: its length, up to 255 bytes of UTF-8 (whole characters), pad byte."""
    kept = text.encode()[:255].decode(errors="ignore").encode()
    made = bytes([len(kept)]) + kept
    return made + bytes(len(made) % 2)


# kAudioChannelLayoutTag_UseChannelBitmap: the bits are those of WAVEFORMATEXTENSIBLE.
_USE_BITMAP = 1 << 16
# kAudioChannelLayoutTag_DiscreteInOrder: the channels are for no speaker, as of ambisonics.
_DISCRETE = 147 << 16


def channel_layout(mask: int, channels: int) -> bytes:
    """Encode the body of CAF's `chan` and AIFF's `CHAN`: tag, bits, no descriptions."""
    tag = _USE_BITMAP if mask else _DISCRETE | channels
    return struct.pack(">III", tag, mask, 0)


def chunk(chunk_id: bytes, data: bytes) -> bytes:
    """Encode a chunk with its header and pad byte."""
    return struct.pack(">4sI", chunk_id, len(data)) + data + bytes(len(data) % 2)
