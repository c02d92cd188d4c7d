"""WAV files of stems: header, metadata chunks and audio in one sequential pass.

The sizes are known before the first byte, because a stem has its bounce's frame count; only the
loudness in `bext` is patched afterwards, if the bounce states one. Layout by EBU Tech 3306: a JUNK
chunk reserves the place of ds64 for files that need RF64.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bridge.audio.pack import integers, interleaved
from bridge.audio.sequential_writer import SequentialWriter
from bridge.errors import PromiseBroken
from bridge.system.disk import disk_errors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bridge.audio.chunks import Chunk
    from bridge.audio.probe import AudioInfo

PCM_BITS = {"PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
FLOAT_BITS = {"FLOAT": 32, "DOUBLE": 64}
SUBTYPES = (*PCM_BITS, *FLOAT_BITS)

RIFF_LIMIT_BYTES = 0xFFFFFFFF
"""The largest size that a RIFF header can state; above it the file becomes RF64."""

LONG_FORMS = frozenset({"RF64", "BW64"})
"""Containers whose stems are RF64: BW64 is the same with other letters, which few programs read."""

_IN_DS64 = 0xFFFFFFFF
_PIECE_BYTES = 1 << 20
_DS64_BYTES = 28
_DEFAULT_MASKS = {1: 0x4, 2: 0x3}  # front centre; front left and right. Above: not assigned
# KSDATAFORMAT_SUBTYPE_PCM and _IEEE_FLOAT are the classic tag followed by these bytes.
_SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")


@dataclass(frozen=True)
class WavTemplate:
    """WAV file without its audio: determines every byte before and after it.

    rf64: write RF64 also where RIFF would suffice, as the bounce does.
    """

    rate_hz: int
    channels: int
    frames: int
    subtype: str
    channel_mask: int | None
    extensible: bool
    chunks: tuple[Chunk, ...]
    rf64: bool = False

    @property
    def bits(self) -> int:
        """Bits of one value of one channel."""
        return {**PCM_BITS, **FLOAT_BITS}[self.subtype]

    @property
    def block_bytes(self) -> int:
        """Bytes of one frame."""
        return self.bits // 8 * self.channels

    @property
    def data_bytes(self) -> int:
        """Bytes of the audio."""
        return self.frames * self.block_bytes

    @property
    def total_bytes(self) -> int:
        """Bytes of the whole file."""
        return len(self.head()) + self.data_bytes + len(self.tail())

    @property
    def integer_bits(self) -> int | None:
        """Bits of one value; None for floating point."""
        return PCM_BITS.get(self.subtype)

    def packed(self, block: NDArray[np.generic]) -> bytes:
        """Encode a block as bytes of the file; 8 bits are unsigned in WAV."""
        if self.subtype == "PCM_U8":
            return interleaved(block.astype(np.int32) + 128, "u1")
        if self.subtype in PCM_BITS:
            return integers(block, self.bits)
        return interleaved(block, "<f4" if self.subtype == "FLOAT" else "<f8")

    def head(self) -> bytes:
        """Return all bytes before the audio: RIFF or RF64, JUNK or ds64, bext, fmt, fact, data."""
        # libsndfile loses its way behind a chunk of odd length in RF64; NUL ends the text in it.
        bext = b"".join(
            _chunk(c.id, c.data + bytes(len(c.data) % 2)) for c in self.chunks if c.id == b"bext"
        )
        middle = bext + _chunk(b"fmt ", self.fmt()) + self._fact()
        # "WAVE", the ds64 or JUNK chunk, and the header of the data chunk.
        fixed = 4 + 8 + _DS64_BYTES + 8
        riff_bytes = fixed + len(middle) + self.data_bytes + len(self.tail())
        if riff_bytes <= RIFF_LIMIT_BYTES and not self.rf64:
            start = struct.pack("<4sI4s", b"RIFF", riff_bytes, b"WAVE")
            start += _chunk(b"JUNK", bytes(_DS64_BYTES))
            return start + middle + struct.pack("<4sI", b"data", self.data_bytes)
        ds64 = struct.pack("<QQQI", riff_bytes, self.data_bytes, self.frames, 0)
        start = struct.pack("<4sI4s", b"RF64", _IN_DS64, b"WAVE") + _chunk(b"ds64", ds64)
        return start + middle + struct.pack("<4sI", b"data", _IN_DS64)

    def tail(self) -> bytes:
        """Return all bytes after the audio: its pad byte and the other chunks."""
        rest = b"".join(_chunk(c.id, c.data) for c in self.chunks if c.id != b"bext")
        return bytes(self.data_bytes % 2) + rest

    def fmt(self) -> bytes:
        """Return the body of the `fmt ` chunk."""
        tag = 3 if self.subtype in FLOAT_BITS else 1
        plain = self.subtype in {"PCM_U8", "PCM_16", "PCM_24", "FLOAT"}
        extensible = self.extensible or self.channels > 2 or not plain
        byte_rate = self.rate_hz * self.block_bytes
        fields = (self.channels, self.rate_hz, byte_rate, self.block_bytes, self.bits)
        if not extensible:
            # Everything but PCM states the size of its extension, here 0.
            return struct.pack("<HHIIHH", tag, *fields) + (b"" if tag == 1 else bytes(2))
        mask = self.channel_mask
        if mask is None:
            mask = _DEFAULT_MASKS.get(self.channels, 0)
        extension = struct.pack("<HHIH", 22, self.bits, mask, tag) + _SUBFORMAT_TAIL
        return struct.pack("<HHIIHH", 0xFFFE, *fields) + extension

    def _fact(self) -> bytes:
        if self.subtype not in FLOAT_BITS:
            return b""
        return _chunk(b"fact", struct.pack("<I", min(self.frames, _IN_DS64)))


class StemWriter(SequentialWriter):
    """Writer of one stem as a WAV file; `rf64`: see `WavTemplate`."""

    template: WavTemplate

    def __init__(
        self,
        path: Path,
        *,
        rate_hz: int,
        channels: int,
        frames: int,
        subtype: str,
        channel_mask: int | None = None,
        extensible: bool = False,
        chunks: Sequence[Chunk] = (),
        rf64: bool = False,
    ) -> None:
        if subtype not in SUBTYPES:
            raise PromiseBroken(f"{subtype} is not written; the choice is {', '.join(SUBTYPES)}")
        chosen = tuple(chunks)
        form = WavTemplate(
            rate_hz, channels, frames, subtype, channel_mask, extensible, chosen, rf64
        )
        self._restated: WavTemplate | None = None
        super().__init__(path, form)

    def replace_bext(self, bext: bytes) -> None:
        """Replace the `bext` by one of equal length, once its loudness is measured.

        Raises PromiseBroken for another length: the offsets behind it are fixed.
        """
        chunks = tuple(
            replace(c, data=bext) if c.id == b"bext" else c for c in self.template.chunks
        )
        restated = replace(self.template, chunks=chunks)
        if len(restated.head()) != len(self.template.head()):
            raise PromiseBroken(f"{self.path.name}: another length of bext than was announced")
        self._restated = restated

    def close(self) -> None:
        """Close as `SequentialWriter` does; rewrite a replaced header and hash the file again."""
        if self._file.closed:
            return
        super().close()
        if self._restated is None or self._restated == self.template:
            return
        self.template = self._restated
        with disk_errors(self.path), self.path.open("r+b") as file:
            file.write(self.template.head())
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            self._digest = hashlib.sha256()
            while piece := file.read(_PIECE_BYTES):
                self._digest.update(piece)


def output_subtype(info: AudioInfo) -> tuple[str, str | None]:
    """Choose the depth of a bounce's stems, with a note if it differs from the bounce's.

    PCM, float and double stay, lossless codecs keep their bits, lossy ones become PCM_24, or PCM_16
    if the codec holds no more than the 8 to 13 bits of a telephone.
    """
    subtype = info.subtype
    if subtype in SUBTYPES:
        return subtype, None
    if subtype in _LOSSLESS:
        return _LOSSLESS[subtype], None
    if subtype == "PCM_S8":
        return "PCM_16", "signed 8-bit audio does not exist in WAV: the stems are 16 bit"
    chosen = "PCM_24" if subtype.startswith(_HIGH_QUALITY) else "PCM_16"
    return chosen, f"{subtype} is lossy: the stems are {PCM_BITS[chosen]}-bit PCM"


_LOSSLESS = {
    "ALAC_16": "PCM_16",
    "ALAC_20": "PCM_24",
    "ALAC_24": "PCM_24",
    "ALAC_32": "PCM_32",
    "DWVW_12": "PCM_16",
    "DWVW_16": "PCM_16",
    "DWVW_24": "PCM_24",
    "DPCM_16": "PCM_16",
}
_HIGH_QUALITY = ("MPEG_LAYER", "VORBIS", "OPUS", "AAC", "AC3", "EAC3", "WMA", "WAVPACK_HYBRID")


def _chunk(chunk_id: bytes, data: bytes) -> bytes:
    return struct.pack("<4sI", chunk_id, len(data)) + data + bytes(len(data) % 2)
