"""What one file of a job is to be, and how a file is written whatever it is."""

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
    """One file. rate_hz, frames: of what is written into it.

    metadata: its positions count from the file's first frame. rf64: see `WavTemplate`.
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
        """The rate at which the file is read back."""
        return self.target.out_rate_hz(self.rate_hz)

    @property
    def out_frames(self) -> int:
        """The frames that are read back, at that rate."""
        return self.target.out_frames(self.frames, self.rate_hz)

    @property
    def out_metadata(self) -> Metadata:
        """The metadata with positions in frames of the file that is read back."""
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
        """The nearest frame at the rate of the file."""
        return (frames * self.out_rate_hz + self.rate_hz // 2) // self.rate_hz

    @property
    def wav(self) -> WavTemplate:
        """The same as a WAV."""
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
    """A file that is written front to back; what it says of itself holds after `close`."""

    path: Path
    clipped: int

    @property
    def peak(self) -> float:
        """Of what a reader of the file gets, linear."""

    @property
    def sha256(self) -> str:
        """Of the file, hex."""

    @property
    def encoder_delay_frames(self) -> int:
        """In front of the audio, for players that do not read the file's own word about it."""

    def write_float(self, block: NDArray[np.floating]) -> None:
        """Append (channels, frames) float, ±1.0 full scale."""

    def write_int(self, block: NDArray[np.int32]) -> None:
        """Append (channels, frames) signed integers in the range of the file's bits."""

    def restate(self, bext: bytes) -> None:
        """Another `bext` of the same length, known only when all audio was heard."""

    def close(self) -> None:
        """Finish it, and see it onto the disk."""

    def discard(self) -> None:
        """Close and remove it."""
