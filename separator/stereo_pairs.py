"""Conversion between any number of channels and stereo pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]


class StereoPairs:
    """Groups channels into pairs for a stereo model, in file order.

    Mono becomes a pair of equal channels, whose outputs are averaged. More channels form pairs
    (5.1: L R, C LFE, Ls Rs); an odd last one is treated as mono.
    """

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.pairs = (channels + 1) // 2

    def split(self, block: FloatArray) -> FloatArray:
        """(channels, frames) -> (pairs, 2, frames)."""
        if self.channels % 2:
            block = np.concatenate([block, block[-1:]])
        return block.reshape(self.pairs, 2, -1)

    def join(self, stems: FloatArray) -> FloatArray:
        """(pairs, stems, 2, frames) -> (stems, channels, frames)."""
        by_stem = stems.transpose(1, 0, 2, 3)
        joined = by_stem.reshape(by_stem.shape[0], 2 * self.pairs, -1)
        if self.channels % 2 == 0:
            return joined
        joined = joined[:, : self.channels].copy()
        joined[:, -1] = by_stem[:, -1].mean(axis=1)
        return joined
