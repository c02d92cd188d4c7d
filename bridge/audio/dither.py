"""Dither: noise that makes the rounding error independent of the audio.

TPDF: the sum of two uniform distributions, each one step wide. The error of a rounded value then
has mean 0 and variance 1/4 step^2 whatever the audio is (Lipshitz, Wannamaker and Vanderkooy,
"Quantization and dither: a theoretical survey", J. Audio Eng. Soc. 40 (5), 1992, section 4.3), so
the noise floor of 16 bit lies at -98.1 dBFS RMS over the whole band (-95.1 dB against a sine at
full scale).

Shaped: that error filtered by (1 - 1/z)^2: quieter up to a sixth of the rate (12 dB at 3.5 kHz and
44.1 kHz, where hearing is most sensitive) and louder above, 7.8 dB louder in total.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DitherKind = Literal["none", "tpdf", "shaped"]

# How far rounding and dither together can be off, in steps: 1/2 and 1; shaped, |1| + |-2| + |1|
# times that.
REACH_STEPS = {"none": 0.5, "tpdf": 1.5, "shaped": 6.0}

# The grain of the noise, in steps, and how much is drawn at once: what stays in the cache.
_GRAIN_STEPS = 2.0**-16
_DRAWN_FRAMES = 16_384


def choose(
    wanted: Literal["auto", "tpdf", "shaped", "none"],
    *,
    source_bits: int | None,
    target_bits: int | None,
    processed: bool,
    silent: bool = False,
) -> DitherKind:
    """Choose the dither of a file.

    `auto` is TPDF where depth is lost: the source is deeper than the target, or effects or a level
    of its own changed the audio. Stems of an unprocessed set at the source's own depth get none,
    whatever their common gain: their rounding errors cancel in their sum (see `quantise`), which is
    then the bounce times the gain, to one step. Digital silence rounds without an error and gets
    none.

    Args:
        wanted: the preset's choice.
        source_bits, target_bits: None for floating point.
        processed: the audio was changed by anything but separation and the stems' common gain.
        silent: all of it is digital silence.
    """
    if target_bits is None:
        return "none"
    if wanted != "auto":
        return wanted
    deeper = source_bits is None or source_bits > target_bits
    return "tpdf" if (deeper or processed) and not silent else "none"


class Dither:
    """Dither noise of one file, with its rounding; independent of the block size.

    seed: text; the same seed gives the same noise. Every channel has noise of its own.
    """

    def __init__(self, kind: DitherKind, seed: str, channels: int) -> None:
        digest = hashlib.sha256(seed.encode("utf-8", "surrogateescape")).digest()
        self._random = np.random.PCG64(int.from_bytes(digest, "big"))
        self._drawn = np.zeros((channels, 0))
        self.kind = kind
        self._channels = channels
        # Of the shaped kind: sums of the audio and of what was given out, without whole steps.
        self._once = np.zeros((channels, 1))
        self._twice = np.zeros((channels, 1))
        self._given = np.zeros((channels, 2))

    def round(self, exact: NDArray[np.float64]) -> NDArray[np.float64]:
        """Round values in steps, (channels, frames), to whole steps."""
        noise = self._noise(exact.shape[1])
        if self.kind == "shaped":
            return self._round_shaped(exact, noise)
        rounded: NDArray[np.float64] = noise + exact
        return np.rint(rounded, out=rounded)

    def _noise(self, frames: int) -> NDArray[np.float64]:
        """Next frames of noise in steps, -1 to 1, (channels, frames)."""
        while (left := self._drawn.shape[1]) < frames:
            drawn = self._draw()
            self._drawn = np.concatenate([self._drawn, drawn], axis=1) if left else drawn
        noise, self._drawn = self._drawn[:, :frames], self._drawn[:, frames:]
        return noise

    def _draw(self) -> NDArray[np.float64]:
        """Draw differences of two uniform 16-bit numbers.

        Their granularity is 96 dB below the noise itself.
        """
        drawn = self._random.random_raw(self._channels * _DRAWN_FRAMES // 2).view(np.uint32)
        difference = drawn & np.uint32(0xFFFF)
        drawn >>= 16
        difference -= drawn  # wraps around as signed numbers do
        noise: NDArray[np.float64] = difference.view(np.int32) * np.float64(_GRAIN_STEPS)
        return noise.reshape(self._channels, _DRAWN_FRAMES)

    def _round_shaped(
        self, exact: NDArray[np.float64], noise: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The second difference of the rounded second sum.

        Rounding the second sum adds an even error to it, and the second difference filters that
        error by (1 - 1/z)^2 and gives the audio back. Whole steps pass both ways unchanged, so they
        are taken out first: then the sums stay small.
        """
        whole = np.floor(exact)
        once = np.cumsum(np.concatenate([self._once, exact - whole], axis=1), axis=1)
        lifted = np.floor(once)
        steps = np.concatenate([self._twice, (once - lifted)[:, 1:]], axis=1)
        twice = np.cumsum(steps, axis=1)
        given = np.concatenate([self._given, np.rint(twice[:, 1:] + noise)], axis=1)
        settled = np.floor(twice[:, -1:])
        self._once = (once - lifted)[:, -1:]
        self._twice, self._given = twice[:, -1:] - settled, given[:, -2:] - settled
        rounded: NDArray[np.float64] = whole + np.diff(lifted, axis=1) + np.diff(given, n=2, axis=1)
        return rounded
