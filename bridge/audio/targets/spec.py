"""Specification of one output file, and the interface of its writers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from bridge.audio.encode import WavTemplate
from bridge.audio.metadata.model import Mark
from bridge.audio.time_reference import at_rate

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from bridge.audio.metadata.model import Metadata
    from bridge.audio.targets.registry import Target


@dataclass(frozen=True)
class Spec:
    """Everything that determines one output file.

    Attributes:
        rate_hz, frames: of the audio passed to the writer.
        metadata: positions count from the file's first frame.
        rf64: see `WavTemplate`.
        bitrate_kbps, quality: of a lossy target, see `Output` of a preset.
    """

    target: Target
    rate_hz: int
    channels: int
    frames: int
    subtype: str
    channel_mask: int | None
    extensible: bool
    metadata: Metadata
    rf64: bool = False
    bitrate_kbps: int | None = None
    quality: float = 0.0

    @property
    def out_rate_hz(self) -> int:
        """Rate of the file when read back."""
        return self.target.out_rate_hz(self.rate_hz)

    @property
    def out_frames(self) -> int:
        """Length of the file when read back, at `out_rate_hz`."""
        return self.target.out_frames(self.frames, self.rate_hz)

    @property
    def out_metadata(self) -> Metadata:
        """Metadata with positions in frames at `out_rate_hz`."""
        if self.out_rate_hz == self.rate_hz:
            return self.metadata
        found = self.metadata
        marks = tuple(
            Mark(self._out(mark.position_frames), mark.name, self._out(mark.length_frames))
            for mark in found.marks
        )
        reference = found.time_reference
        rates_hz = (self.rate_hz, self.out_rate_hz)
        moved = None if reference is None else at_rate(reference, *rates_hz)
        return replace(found, marks=marks, time_reference=moved)

    def _out(self, frames: int) -> int:
        """Nearest frame at the rate of the file."""
        return (frames * self.out_rate_hz + self.rate_hz // 2) // self.rate_hz

    @property
    def wav(self) -> WavTemplate:
        """The same file as a WAV."""
        return WavTemplate(
            self.rate_hz,
            self.channels,
            self.frames,
            self.subtype,
            self.channel_mask,
            self.extensible,
            self.metadata.chunks,
            self.rf64,
        )


class Writer(Protocol):
    """Sequential writer of one file; its properties are valid after `close`."""

    path: Path
    clipped: int

    @property
    def peak(self) -> float:
        """Linear peak of the file when decoded."""

    @property
    def sha256(self) -> str:
        """Hex digest of the file."""

    @property
    def encoder_delay_frames(self) -> int:
        """Frames in front of the audio for players that ignore the delay stated in the file."""

    def write_float(self, block: NDArray[np.floating]) -> None:
        """Append (channels, frames) float, ±1.0 full scale."""

    def write_int(self, block: NDArray[np.int32]) -> None:
        """Append (channels, frames) signed integers in the range of the file's bits."""

    def replace_bext(self, bext: bytes) -> None:
        """Replace the `bext` by one of equal length, once its loudness is measured."""

    def close(self) -> None:
        """Finish the file and sync it to the disk."""

    def discard(self) -> None:
        """Close and remove the file."""
