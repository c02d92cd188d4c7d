"""Normalisation of a network's input by the mean and standard deviation of the recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

EPSILON = 1e-8  # silence stays silence (demucs/api.py)


@dataclass(frozen=True)
class NormalisationStatistics:
    """Mean and standard deviation of each stereo pair's mono mix; (pairs, 1, 1) float32."""

    mean: FloatArray
    std: FloatArray

    def normalised(self, mixture: FloatArray) -> FloatArray:
        """The mixture (pairs, 2, frames) with mean 0 and standard deviation 1."""
        return (mixture - self.mean) / self.std

    def restored(self, stems: FloatArray) -> FloatArray:
        """Network outputs (pairs, stems, 2, frames), scaled back to the mixture's level."""
        restored = stems * self.std[:, None]
        restored += self.mean[:, None]
        return restored


class NormalisationMeter:
    """Running mean and standard deviation of a recording, in float64."""

    def __init__(self, pairs: int) -> None:
        self._sum = np.zeros(pairs)
        self._squares = np.zeros(pairs)
        self._frames = 0

    def push(self, mixture: FloatArray) -> None:
        """Add a block (pairs, 2, frames)."""
        mono = mixture.mean(axis=1, dtype=np.float64)
        self._sum += mono.sum(axis=-1)
        self._squares += np.square(mono).sum(axis=-1)
        self._frames += mono.shape[-1]

    def result(self) -> NormalisationStatistics:
        """Mean and sample standard deviation (n - 1) of all blocks so far."""
        frames = max(self._frames, 1)
        mean = self._sum / frames
        variance = (self._squares - frames * mean**2) / max(frames - 1, 1)
        std = np.sqrt(np.maximum(variance, 0.0)) + EPSILON
        as_column = (slice(None), None, None)
        return NormalisationStatistics(
            mean[as_column].astype(np.float32), std[as_column].astype(np.float32)
        )
