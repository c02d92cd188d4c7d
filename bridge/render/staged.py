"""Staged audio: float32 on disk between two passes over a file."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from bridge.audio.pack import frames_first
from bridge.dsp.meter import Statistics, subtract_offsets
from bridge.system.disk import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Audio = NDArray[np.float32]

BLOCK_FRAMES = 65_536


class Staged:
    """One stem as raw interleaved float32 on disk, with mean and peak measured on writing.

    Iteration yields (channels, up to BLOCK_FRAMES) float32 blocks and can be repeated.

    Attributes:
        offsets: subtracted from each channel on reading, (channels, 1) float64, or None.
    """

    offsets: NDArray[np.float64] | None = None

    def __init__(self, path: Path, channels: int) -> None:
        self.path = path
        self.channels = channels
        self.statistics = Statistics(channels)
        with disk_errors(path):
            self._file = path.open("xb")

    def append(self, block: Audio) -> None:
        """Append a float32 block (channels, frames)."""
        self.statistics.add(block)
        with disk_errors(self.path):
            self._file.write(frames_first(block, "f4").data)

    def close(self) -> None:
        """Finish writing. No fsync: after a crash the staging folder is discarded."""
        with disk_errors(self.path):
            self._file.close()

    def remove(self) -> None:
        """Delete the file."""
        with disk_errors(self.path):
            self.path.unlink(missing_ok=True)

    def __iter__(self) -> Iterator[Audio]:
        with disk_errors(self.path), self.path.open("rb") as file:
            while data := file.read(BLOCK_FRAMES * self.channels * 4):
                frames = np.frombuffer(data, np.float32).reshape(-1, self.channels)
                block = np.ascontiguousarray(frames.T)  # later stages iterate along a channel
                yield block if self.offsets is None else subtract_offsets(block, self.offsets)

    def centred(self) -> Staged:
        """A view of the same file that subtracts the mean of each channel on reading."""
        view = copy.copy(self)
        view.offsets = self.statistics.mean[:, np.newaxis]
        view.statistics = self.statistics.minus_offsets(self.statistics.mean)
        return view


def stage(path: Path, channels: int, blocks: Iterable[Audio]) -> Staged:
    """Write a whole stream to a new file.

    Args:
        path: the file; must not exist.
        channels: number of channels.
        blocks: float32 (channels, any number of frames).
    """
    staged = Staged(path, channels)
    for block in blocks:
        staged.append(block)
    staged.close()
    return staged
