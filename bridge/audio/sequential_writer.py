"""Sequential writing of a file whose every byte but the audio is known in advance.

Nothing is patched afterwards, and the checksum is that of the bytes as they were written.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bridge.audio.quantise import quantise_set
from bridge.errors import OutputError, PromiseBroken
from bridge.system.disk import disk_errors

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray
    from typing_extensions import Self


class FileTemplate(Protocol):
    """Sound file without its audio: determines every byte before and after it."""

    @property
    def rate_hz(self) -> int:
        """Frames per second."""

    @property
    def channels(self) -> int:
        """Number of channels."""

    @property
    def frames(self) -> int:
        """Length of the audio in frames."""

    @property
    def subtype(self) -> str:
        """Depth, by soundfile's name."""

    @property
    def integer_bits(self) -> int | None:
        """Bits of one value; None for floating point."""

    def head(self) -> bytes:
        """Return all bytes before the audio."""

    def packed(self, block: NDArray[np.generic]) -> bytes:
        """Encode (channels, frames) integers, or floats of ±1.0 full scale, as the file's bytes."""

    def tail(self) -> bytes:
        """Return all bytes after the audio."""


class SequentialWriter:
    """Writer of audio into a new file, front to back.

    As a context manager it closes the file at the end and removes it after an error. `sha256`,
    `peak` (of the values as written, linear), `bytes` and `clipped` are valid after `close()`.
    Raises OutputError for errors of the disk, PromiseBroken if the audio differs from the template.
    """

    encoder_delay_frames = 0

    def __init__(self, path: Path, template: FileTemplate) -> None:
        self.path = path
        self.template = template
        self.peak = 0.0
        self.clipped = 0
        self.bytes = 0
        self._frames = 0
        self._digest = hashlib.sha256()
        with disk_errors(path):
            self._file = path.open("xb", buffering=1 << 20)
        try:
            self._put(self.template.head())
        except OutputError:
            self.discard()
            raise

    @property
    def sha256(self) -> str:
        """Hex digest of the bytes written so far; of the file once it is closed."""
        return self._digest.hexdigest()

    def write_float(self, block: NDArray[np.floating]) -> None:
        """Append (channels, frames) float, ±1.0 full scale, rounded where the file is PCM."""
        if self.template.integer_bits is not None:
            result = quantise_set({self.path.name: block}, self.template.integer_bits)
            self.clipped += sum(result.clipped.values())
            self.write_int(result.stems[self.path.name])
            return
        if not np.isfinite(block).all():
            raise PromiseBroken(f"{self.path.name}: NaN or Inf after frame {self._frames:,}")
        self._append(block, 1.0)

    def write_int(self, block: NDArray[np.int32]) -> None:
        """Append (channels, frames) signed integers in the range of the file's bits."""
        bits = self.template.integer_bits
        if bits is None:
            raise PromiseBroken(f"{self.path.name}: integers for a {self.template.subtype} file")
        full_scale = 2 ** (bits - 1)
        if block.size and not -full_scale <= block.min() <= block.max() < full_scale:
            raise PromiseBroken(f"{self.path.name}: integers beyond {bits} bits")
        self._append(block, float(full_scale))

    def replace_bext(self, bext: bytes) -> None:
        """Do nothing: only formats with a `bext` chunk replace it."""

    def close(self) -> None:
        """Check the length, write the bytes after the audio, and sync the file to the disk."""
        if self._file.closed:
            return
        if self._frames != self.template.frames:
            raise PromiseBroken(
                f"{self.path.name}: {self._frames:,} frames written, "
                f"{self.template.frames:,} announced"
            )
        self._put(self.template.tail())
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

    def __enter__(self) -> Self:
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

    def _append(self, block: NDArray[np.generic], full_scale: float) -> None:
        channels, frames = block.shape
        if channels != self.template.channels or self._frames + frames > self.template.frames:
            raise PromiseBroken(
                f"{self.path.name}: a block of {channels} channels, {frames:,} frames does not fit "
                f"{self.template.channels} channels, "
                f"{self.template.frames - self._frames:,} frames left"
            )
        if frames:
            loudest = max(abs(float(block.min())), abs(float(block.max())))
            self.peak = max(self.peak, loudest / full_scale)
        self._put(self.template.packed(block))
        self._frames += frames

    def _put(self, data: bytes) -> None:
        with disk_errors(self.path):
            self._file.write(data)
        self._digest.update(data)
        self.bytes += len(data)
