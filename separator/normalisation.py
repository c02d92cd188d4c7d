"""Mean and spread of a whole recording, by which a network's input is normalised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

EPSILON = 1e-8  # silence stays silence (demucs/api.py)


@dataclass(frozen=True)
class Level:
    """Of the mono mix of each stereo pair; both (pairs, 1, 1) float32."""

    mean: FloatArray
    spread: FloatArray

    def normalised(self, mixture: FloatArray) -> FloatArray:
        """(pairs, 2, frames) -> the same with mean 0 and standard deviation 1."""
        return (mixture - self.mean) / self.spread

    def restored(self, stems: FloatArray) -> FloatArray:
        """(pairs, stems, 2, frames), as the network gave them, at the mixture's level."""
        restored = stems * self.spread[:, None]
        restored += self.mean[:, None]
        return restored


class LevelMeter:
    """Sums over the recording, in float64."""

    def __init__(self, pairs: int) -> None:
        self._sum = np.zeros(pairs)
        self._squares = np.zeros(pairs)
        self._frames = 0

    def push(self, mixture: FloatArray) -> None:
        """Takes in (pairs, 2, frames)."""
        mono = mixture.mean(axis=1, dtype=np.float64)
        self._sum += mono.sum(axis=-1)
        self._squares += np.square(mono).sum(axis=-1)
        self._frames += mono.shape[-1]

    def result(self) -> Level:
        """Mean and standard deviation (of a sample: n - 1) of all that was pushed."""
        frames = max(self._frames, 1)
        mean = self._sum / frames
        variance = (self._squares - frames * mean**2) / max(frames - 1, 1)
        spread = np.sqrt(np.maximum(variance, 0.0)) + EPSILON
        as_column = (slice(None), None, None)
        return Level(mean[as_column].astype(np.float32), spread[as_column].astype(np.float32))
