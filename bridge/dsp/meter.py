"""All levels of one file in one pass: what the gain is chosen by, and what the report says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bridge.dsp.decibel import linear_to_dbfs
from bridge.dsp.loudness import Loudness
from bridge.dsp.loudness_range import Programme, of_steps
from bridge.dsp.true_peak import REACH_FRAMES, TruePeak

if TYPE_CHECKING:
    from bridge.dsp.processor import Audio


class Measure:
    """Mean and peak of audio that comes in blocks. Sums are float64, so hours lose nothing."""

    def __init__(self, channels: int) -> None:
        self._sum = np.zeros(channels, np.float64)
        self._high: Audio = np.zeros(channels, np.float32)
        self._low: Audio = np.zeros(channels, np.float32)
        self._frames = 0

    def add(self, block: Audio) -> None:
        """Take in a block (channels, frames), any number of frames."""
        if block.shape[1] == 0:
            return
        self._sum += np.sum(block, axis=1, dtype=np.float64)
        # These keep a NaN, which the built-in max and min may drop.
        highs, lows = block.max(axis=1), block.min(axis=1)
        if self._frames:
            highs, lows = np.maximum(highs, self._high), np.minimum(lows, self._low)
        self._high, self._low = highs, lows
        self._frames += block.shape[1]

    @property
    def frames(self) -> int:
        """Frames taken in."""
        return self._frames

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """Mean of each channel, shape (channels,); zeros before the first frame."""
        return self._sum / max(self._frames, 1)

    @property
    def peak(self) -> float:
        """Highest absolute value in any channel, full scale is 1; NaN if there was one."""
        return self.reach(1.0)

    def reach(self, highest: float) -> float:
        """Peak relative to what a file can hold: -1.0 to `highest` (1.0, or a step less in PCM)."""
        high, low = float(self._high.max()), float(self._low.min())
        return float(np.max([high / highest, -low, 0.0]))

    def minus_offsets(self, offsets: npt.NDArray[np.float64]) -> Measure:
        """Statistics of the same audio after subtracting a per-channel offset."""
        after = Measure(len(offsets))
        after._frames = self._frames
        after._sum = self._sum - self._frames * offsets
        # Rounding keeps order: the highest frame stays the highest.
        after._high = subtract_offsets(self._high[:, np.newaxis], offsets[:, np.newaxis])[:, 0]
        after._low = subtract_offsets(self._low[:, np.newaxis], offsets[:, np.newaxis])[:, 0]
        return after


def subtract_offsets(block: Audio, offsets: npt.NDArray[np.float64]) -> Audio:
    """A block minus a per-channel offset (channels, 1), subtracted in float64 and rounded once."""
    return (block - offsets).astype(np.float32)


@dataclass(frozen=True)
class Levels:
    """Of one file. Peaks are linear, full scale is 1.

    reach: the peak relative to what the file can hold (`Measure.reach`). true_peak: of the curve
    through the frames. lufs: integrated, -inf where nothing passes the gates. dc: the largest
    constant offset of a channel. Where only `reach` is asked for, the rest is as of silence.
    """

    reach: float
    peak: float = 0.0
    true_peak: float = 0.0
    lufs: float = -math.inf
    dc: float = 0.0

    @property
    def true_peak_dbtp(self) -> float:
        """-inf for silence."""
        return linear_to_dbfs(self.true_peak)


class Meter:
    """Takes in blocks (channels, any number of frames); memory does not depend on their sum."""

    def __init__(
        self, rate_hz: float, channels: int, *, mask: int | None = None, highest: float = 1.0
    ) -> None:
        self._measure = Measure(channels)
        self._loudness = Loudness(rate_hz, channels, mask)
        self._curve = TruePeak(rate_hz)
        self._true_peak = 0.0
        self._kept: Audio = np.zeros((channels, 2 * REACH_FRAMES), np.float32)
        self._highest = highest

    def add(self, block: Audio) -> None:
        """The next frames, float32."""
        self._measure.add(block)
        if not block.shape[1] or not math.isfinite(self._measure.peak):
            return  # whoever reads the peak says what is wrong
        self._loudness.add(block)
        around = np.concatenate([self._kept, block], axis=1)
        self._kept = around[:, -2 * REACH_FRAMES :]
        self._true_peak = self._highest_of(around)

    def _highest_of(self, audio: Audio) -> float:
        """Of all that is known. Only what can be higher than that is interpolated.

        Both ends lack what lies beyond: they come again with the next block.
        """
        known = max(self._true_peak, self._measure.peak)
        inside = slice(REACH_FRAMES, audio.shape[1] - REACH_FRAMES)
        return float(self._curve.between(audio, known)[inside].max(initial=known))

    @property
    def levels(self) -> Levels:
        """Of all that was added."""
        end = np.concatenate([self._kept, np.zeros_like(self._kept)], axis=1)
        return Levels(
            reach=self._measure.reach(self._highest),
            peak=self._measure.peak,
            true_peak=self._highest_of(end),
            lufs=self._loudness.integrated_lufs,
            dc=float(np.abs(self._measure.mean).max()),
        )

    @property
    def programme(self) -> Programme:
        """Loudness as broadcasters state it, of all that was added."""
        return of_steps(self._loudness.step_powers)
