"""Float audio on disk between two passes: what needs whole-file numbers reads its input twice."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from bridge.audio.pack import frames_first
from bridge.dsp.meter import Measure, subtract_offsets
from bridge.system.disk import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Audio = NDArray[np.float32]

BLOCK_FRAMES = 65_536


class Staged:
    """One stem as raw interleaved float32, with its mean and peak taken on the way in.

    Reading yields (channels, up to BLOCK_FRAMES) float32 blocks, as often as wanted.
    offsets: what is taken from each channel then, (channels, 1) float64.
    """

    offsets: NDArray[np.float64] | None = None

    def __init__(self, path: Path, channels: int) -> None:
        self.path = path
        self.channels = channels
        self.measure = Measure(channels)
        with disk_errors(path):
            self._file = path.open("xb")

    def append(self, block: Audio) -> None:
        """Adds (channels, frames) float32."""
        self.measure.add(block)
        with disk_errors(self.path):
            self._file.write(frames_first(block, "f4").data)

    def close(self) -> None:
        """Ends writing. Nothing is synced: a crash throws the staging folder away."""
        with disk_errors(self.path):
            self._file.close()

    def remove(self) -> None:
        """Gives the disk space back."""
        with disk_errors(self.path):
            self.path.unlink(missing_ok=True)

    def __iter__(self) -> Iterator[Audio]:
        with disk_errors(self.path), self.path.open("rb") as file:
            while data := file.read(BLOCK_FRAMES * self.channels * 4):
                frames = np.frombuffer(data, np.float32).reshape(-1, self.channels)
                block = np.ascontiguousarray(frames.T)  # all that follows runs along a channel
                yield block if self.offsets is None else subtract_offsets(block, self.offsets)

    def centred(self) -> Staged:
        """The same file, read without its constant offsets; to be removed once."""
        view = copy.copy(self)
        view.offsets = self.measure.mean[:, np.newaxis]
        view.measure = self.measure.minus_offsets(self.measure.mean)
        return view


def stage(path: Path, channels: int, blocks: Iterable[Audio]) -> Staged:
    """Writes a whole stream of (channels, frames) blocks."""
    staged = Staged(path, channels)
    for block in blocks:
        staged.append(block)
    staged.close()
    return staged
