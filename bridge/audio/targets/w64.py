"""Sony Wave64: WAV with 64-bit sizes, GUIDs for ids, and chunks at multiples of 8 bytes.

Source: Sony Pictures Digital, "Sony Wave64 file format specification", 2003.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bridge.audio.chunks import Chunk
    from bridge.audio.encode import WavTemplate

# Four letters stand in front of these bytes: `riff`, `list`, and all others.
_RIFF_TAIL = bytes.fromhex("2e91cf11a5d628db04c10000")
_LIST_TAIL = bytes.fromhex("2f91cf11a5d628db04c10000")
_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")
_FLOAT_TAG = 3  # WAVE_FORMAT_IEEE_FLOAT
_HEAD_BYTES = 24  # id and size, which counts these 24 bytes


@dataclass(frozen=True)
class W64Template:
    """Wave64 file without its audio; chunks: as in a WAV, all of which fit."""

    wav: WavTemplate
    chunks: tuple[Chunk, ...] = ()

    @property
    def rate_hz(self) -> int:
        """Frames per second."""
        return self.wav.rate_hz

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.wav.channels

    @property
    def frames(self) -> int:
        """Length of the audio in frames."""
        return self.wav.frames

    @property
    def subtype(self) -> str:
        """Depth, by soundfile's name."""
        return self.wav.subtype

    @property
    def integer_bits(self) -> int | None:
        """Bits of one value; None for floating point."""
        return self.wav.integer_bits

    def head(self) -> bytes:
        """Return the header, `fmt `, metadata, and the header of the audio, which comes last."""
        body = b"wave" + _TAIL + _chunk(b"fmt ", self._fmt())
        if self.integer_bits is None:
            body += _chunk(b"fact", struct.pack("<Q", self.frames))
        body += b"".join(_chunk(chunk.id, chunk.data) for chunk in self.chunks)
        data_bytes = self.wav.data_bytes
        body += b"data" + _TAIL + struct.pack("<Q", _HEAD_BYTES + data_bytes)
        total_bytes = _HEAD_BYTES + len(body) + data_bytes
        return b"riff" + _RIFF_TAIL + struct.pack("<Q", total_bytes) + body

    def _fmt(self) -> bytes:
        """As in a WAV, but floats are never `extensible`: libsndfile reads those as integers."""
        if self.integer_bits is not None:
            return self.wav.fmt()
        wav = self.wav
        byte_rate = wav.rate_hz * wav.block_bytes
        fields = (wav.channels, wav.rate_hz, byte_rate, wav.block_bytes, wav.bits)
        return struct.pack("<HHIIHHH", _FLOAT_TAG, *fields, 0)

    def packed(self, block: NDArray[np.generic]) -> bytes:
        """Encode a block as bytes of the file."""
        return self.wav.packed(block)

    def tail(self) -> bytes:
        """Return no bytes: libsndfile reads anything behind the audio as audio."""
        return b""


def _chunk(chunk_id: bytes, data: bytes) -> bytes:
    guid = b"list" + _LIST_TAIL if chunk_id == b"LIST" else chunk_id + _TAIL
    made = guid + struct.pack("<Q", _HEAD_BYTES + len(data)) + data
    return made + bytes(-len(made) % 8)
