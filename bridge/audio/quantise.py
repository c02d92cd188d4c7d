"""Lossless conversion between float audio and integers (pure).

libsndfile scales floats by 2**(bits-1) - 1 when writing and 2**(bits-1) when reading, so that PCM
changes in a round trip. Here both directions use 2**(bits-1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bridge.errors import PromiseBroken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bridge.audio.dither import Dither

BITS = (8, 16, 24, 32)

# The largest integer lies one step below +1.0. An error of that size is still rounding and is
# carried; anything more is audio above full scale, and the next stem must not hear it.
_CARRIED_STEPS = 1.5

# Small enough that the temporaries stay in the cache: four times as fast as a whole block.
_TILE_FRAMES = 8192


@dataclass(frozen=True)
class Quantised:
    """Integers by stem name, (channels, frames) int32; `clipped` counts values beyond full scale.

    +1.0 itself, one step above the largest integer, does not count as clipped.
    """

    stems: dict[str, NDArray[np.int32]]
    clipped: dict[str, int]


def quantise(block: NDArray[np.floating], bits: int) -> NDArray[np.int32]:
    """Round (channels, frames) float, ±1.0 full scale, to signed integers of `bits` bits.

    round-half-even(x * 2**(bits-1)), clipped to [-2**(bits-1), 2**(bits-1) - 1]. `bits` is 8, 16,
    24 or 32. Raises PromiseBroken for NaN or Inf, which no integer can hold.
    """
    return quantise_set({"audio": block}, bits).stems["audio"]


def quantise_set(
    blocks: Mapping[str, NDArray[np.floating]],
    bits: int,
    dither: Mapping[str, Dither] | None = None,
) -> Quantised:
    """Round the stems of the same frames together, so that their sum stays that of the mixture.

    Each stem's rounding error is added to the next stem before that one is rounded: the sum of all
    stems is then off by at most half a step, however many they are, as long as none clips. Frames
    are independent, so blocks of any size give the same integers.

    Args:
        blocks: (channels, frames) float by stem name, ±1.0 full scale.
        bits: 8, 16, 24 or 32.
        dither: for every stem, or None. The carried errors include the dither, so the sum of all
            stems has the noise of one, as if the mixture had been dithered.

    Raises:
        PromiseBroken: a stem holds NaN or Inf.
    """
    scale = 2.0 ** _checked(bits)
    stems = {name: np.empty(block.shape, np.int32) for name, block in blocks.items()}
    clipped = dict.fromkeys(blocks, 0)
    frames = max((block.shape[-1] for block in blocks.values()), default=0)
    for first in range(0, frames, _TILE_FRAMES):
        tile = slice(first, first + _TILE_FRAMES)
        carry: NDArray[np.float64] | float = 0.0
        for name, block in blocks.items():
            exact = block[:, tile] * np.float64(scale)
            exact += carry
            rounded = np.rint(exact) if dither is None else dither[name].round(exact)
            kept, carry, over = _within(name, exact, rounded, scale)
            stems[name][:, tile] = kept
            clipped[name] += over
    return Quantised(stems, clipped)


def _within(
    name: str, exact: NDArray[np.float64], rounded: NDArray[np.float64], scale: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Whole steps in range, the error to carry on, and the number of clipped values."""
    lowest, highest = rounded.min(), rounded.max()
    if not (np.isfinite(lowest) and np.isfinite(highest)):  # min and max hand NaN on
        raise PromiseBroken(f"stem {name} holds NaN or Inf; report this with the bounce")
    if -scale <= lowest and highest < scale:
        return rounded, exact - rounded, 0
    kept = np.clip(rounded, -scale, scale - 1.0)
    over = np.abs(exact - kept) > _CARRIED_STEPS
    return kept, exact - np.where(over, rounded, kept), int(np.count_nonzero(over))


def dequantise(values: NDArray[np.int32], bits: int) -> NDArray[np.float32]:
    """Convert signed integers of `bits` bits to float32, ±1.0 full scale; exact up to 24 bits."""
    return (values.astype(np.float64) / 2.0 ** _checked(bits)).astype(np.float32)


def _checked(bits: int) -> int:
    if bits not in BITS:
        raise PromiseBroken(f"{bits}-bit integers are not written; the choice is 8, 16, 24, 32")
    return bits - 1
