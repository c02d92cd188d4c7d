"""Write a stem as a WAV file: header, metadata chunks, audio, all in one sequential pass.

The sizes are known before the first byte, because a stem has its bounce's frame count; nothing
is patched afterwards, and the checksum is that of the bytes as they went out. Layout by EBU Tech
3306: a JUNK chunk stands where ds64 goes when the file needs RF64.
"""

from __future__ import annotations

import hashlib
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bridge.audio.quantise import quantise_set
from bridge.disk import disk_errors
from bridge.errors import OutputError, PromiseBroken

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from bridge.audio.chunks import Chunk
    from bridge.audio.probe import AudioInfo

PCM_BITS = {"PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
FLOAT_BITS = {"FLOAT": 32, "DOUBLE": 64}
SUBTYPES = (*PCM_BITS, *FLOAT_BITS)

RIFF_LIMIT_BYTES = 0xFFFFFFFF
"""The largest size that a RIFF header can state; above it the file becomes RF64."""

_IN_DS64 = 0xFFFFFFFF
_DS64_BYTES = 28
_DEFAULT_MASKS = {1: 0x4, 2: 0x3}  # front centre; front left and right. Above: not assigned
# KSDATAFORMAT_SUBTYPE_PCM and _IEEE_FLOAT are the classic tag followed by these bytes.
_SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")


@dataclass(frozen=True)
class WavForm:
    """A WAV file without its audio: every byte before and after it follows from this."""

    rate_hz: int
    channels: int
    frames: int
    subtype: str
    channel_mask: int | None
    extensible: bool
    chunks: tuple[Chunk, ...]

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

    def head(self) -> bytes:
        """Everything before the audio: RIFF or RF64, JUNK or ds64, bext, fmt, fact, data header."""
        bext = b"".join(_chunk(c.id, c.data) for c in self.chunks if c.id == b"bext")
        middle = bext + _chunk(b"fmt ", self._fmt()) + self._fact()
        # "WAVE", the ds64 or JUNK chunk, and the header of the data chunk.
        fixed = 4 + 8 + _DS64_BYTES + 8
        riff_bytes = fixed + len(middle) + self.data_bytes + len(self.tail())
        if riff_bytes <= RIFF_LIMIT_BYTES:
            start = struct.pack("<4sI4s", b"RIFF", riff_bytes, b"WAVE")
            start += _chunk(b"JUNK", bytes(_DS64_BYTES))
            return start + middle + struct.pack("<4sI", b"data", self.data_bytes)
        ds64 = struct.pack("<QQQI", riff_bytes, self.data_bytes, self.frames, 0)
        start = struct.pack("<4sI4s", b"RF64", _IN_DS64, b"WAVE") + _chunk(b"ds64", ds64)
        return start + middle + struct.pack("<4sI", b"data", _IN_DS64)

    def tail(self) -> bytes:
        """Everything after the audio: its pad byte and the other chunks."""
        rest = b"".join(_chunk(c.id, c.data) for c in self.chunks if c.id != b"bext")
        return bytes(self.data_bytes % 2) + rest

    def _fmt(self) -> bytes:
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


class StemWriter:
    """One stem, written front to back into a file that did not exist before.

    As a context manager it closes the file at the end and removes it after an error. `sha256`,
    `peak` (of the values as written, linear), `bytes` and `clipped` hold after `close()`.
    Raises OutputError for whatever the disk refuses, PromiseBroken when what is written is not
    what was announced.
    """

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
    ) -> None:
        if subtype not in SUBTYPES:
            raise PromiseBroken(f"{subtype} is not written; the choice is {', '.join(SUBTYPES)}")
        self.path = path
        self.form = WavForm(
            rate_hz, channels, frames, subtype, channel_mask, extensible, tuple(chunks)
        )
        self.peak = 0.0
        self.clipped = 0
        self.bytes = 0
        self._frames = 0
        self._digest = hashlib.sha256()
        with disk_errors(path):
            self._file = path.open("xb", buffering=1 << 20)
        try:
            self._put(self.form.head())
        except OutputError:
            self.discard()
            raise

    @property
    def sha256(self) -> str:
        """Hex digest of everything written so far; of the file once it is closed."""
        return self._digest.hexdigest()

    def write_float(self, block: NDArray[np.floating]) -> None:
        """Append (channels, frames) float, ±1.0 full scale, rounded where the file is PCM."""
        if self.form.subtype in PCM_BITS:
            result = quantise_set({self.path.name: block}, self.form.bits)
            self.clipped += sum(result.clipped.values())
            self.write_int(result.stems[self.path.name])
            return
        if not np.isfinite(block).all():
            raise PromiseBroken(f"{self.path.name}: NaN or Inf after frame {self._frames:,}")
        dtype = "<f4" if self.form.subtype == "FLOAT" else "<f8"
        self._append(block, _interleave(block, dtype), 1.0)

    def write_int(self, block: NDArray[np.int32]) -> None:
        """Append (channels, frames) signed integers in the range of the file's bits."""
        bits = PCM_BITS.get(self.form.subtype)
        if bits is None:
            raise PromiseBroken(f"{self.path.name}: integers for a {self.form.subtype} file")
        full_scale = 2 ** (bits - 1)
        if block.size and not -full_scale <= block.min() <= block.max() < full_scale:
            raise PromiseBroken(f"{self.path.name}: integers beyond {bits} bits")
        self._append(block, _pack(block, bits), float(full_scale))

    def close(self) -> None:
        """Check the length, write what follows the audio, and see it onto the disk."""
        if self._file.closed:
            return
        if self._frames != self.form.frames:
            raise PromiseBroken(
                f"{self.path.name}: {self._frames:,} frames written, {self.form.frames:,} announced"
            )
        self._put(self.form.tail())
        with disk_errors(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            written = self.path.stat().st_size
        if written != self.bytes:
            raise PromiseBroken(f"{self.path.name}: {written:,} bytes on disk, {self.bytes:,} sent")

    def discard(self) -> None:
        """Close and remove the file."""
        # A full disk cannot take the rest of the buffer, and the file goes anyway.
        with suppress(OSError):
            self._file.close()
        with disk_errors(self.path):
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> StemWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.discard()
            return
        try:
            self.close()
        except (OutputError, PromiseBroken):
            self.discard()
            raise

    def _append(self, block: NDArray[np.generic], data: bytes, full_scale: float) -> None:
        channels, frames = block.shape
        if channels != self.form.channels or self._frames + frames > self.form.frames:
            raise PromiseBroken(
                f"{self.path.name}: a block of {channels} channels, {frames:,} frames does not fit "
                f"{self.form.channels} channels, {self.form.frames - self._frames:,} frames left"
            )
        if frames:
            loudest = max(abs(float(block.min())), abs(float(block.max())))
            self.peak = max(self.peak, loudest / full_scale)
        self._put(data)
        self._frames += frames

    def _put(self, data: bytes) -> None:
        with disk_errors(self.path):
            self._file.write(data)
        self._digest.update(data)
        self.bytes += len(data)


def output_subtype(info: AudioInfo) -> tuple[str, str | None]:
    """The depth in which stems of a bounce are written, and a note where it is not the bounce's.

    PCM, float and double stay as they are, lossless codecs keep their bits, lossy ones become
    PCM_24, or PCM_16 where the codec holds no more than a telephone's 8 to 13 bits.
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
_HIGH_QUALITY = ("MPEG_LAYER", "VORBIS", "OPUS")


def _pack(block: NDArray[np.int32], bits: int) -> bytes:
    """Interleaved little-endian bytes; 8 bits are unsigned in WAV."""
    channels, frames = block.shape
    if bits == 8:
        return _interleave(block + 128, "u1")
    if bits != 24:
        return _interleave(block, f"<i{bits // 8}")
    packed = np.empty((frames, channels, 3), np.uint8)
    for channel in range(channels):
        wide = np.ascontiguousarray(block[channel], "<i4").view(np.uint8).reshape(frames, 4)
        for byte in range(3):  # column by column: seven times as fast as wide[:, :3]
            packed[:, channel, byte] = wide[:, byte]
    return packed.tobytes()


def _interleave(block: NDArray[np.generic], dtype: str) -> bytes:
    packed = np.empty(block.shape[::-1], dtype)
    for channel, values in enumerate(block):
        packed[:, channel] = values
    return packed.tobytes()


def _chunk(chunk_id: bytes, data: bytes) -> bytes:
    return struct.pack("<4sI", chunk_id, len(data)) + data + bytes(len(data) % 2)
