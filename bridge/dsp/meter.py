"""Levels of one file, measured in one pass: for gain staging and for the report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bridge.dsp.decibel import linear_to_dbfs
from bridge.dsp.loudness import Loudness
from bridge.dsp.loudness_range import Programme, programme_loudness
from bridge.dsp.true_peak import REACH_FRAMES, TruePeak

if TYPE_CHECKING:
    from bridge.dsp.processor import Audio


class Statistics:
    """Mean and peak of audio that comes in blocks.

    Sums are float64, so that hours of audio lose no precision.
    """

    def __init__(self, channels: int) -> None:
        self._sum = np.zeros(channels, np.float64)
        self._high: Audio = np.zeros(channels, np.float32)
        self._low: Audio = np.zeros(channels, np.float32)
        self._frames = 0

    def add(self, block: Audio) -> None:
        """Add a float32 block (channels, any number of frames)."""
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
        """Frames added so far."""
        return self._frames

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """Mean of each channel, shape (channels,); zeros before the first frame."""
        return self._sum / max(self._frames, 1)

    @property
    def peak(self) -> float:
        """Highest absolute value in any channel, full scale is 1; NaN if the audio holds one."""
        return self.relative_peak(1.0)

    def relative_peak(self, highest: float) -> float:
        """Peak relative to a file's range: -1.0 to `highest` (1.0, or one step less in PCM)."""
        high, low = float(self._high.max()), float(self._low.min())
        return float(np.max([high / highest, -low, 0.0]))

    def minus_offsets(self, offsets: npt.NDArray[np.float64]) -> Statistics:
        """Statistics of the same audio after subtracting a per-channel offset."""
        after = Statistics(len(offsets))
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
    """Levels of one file. Peaks are linear, full scale is 1.

    Where only `relative_peak` is measured, the other fields keep the values of silence.

    Attributes:
        relative_peak: the peak relative to what the file can hold, see `Statistics.relative_peak`.
        peak: the highest absolute value of a frame.
        true_peak: the highest absolute value of the interpolated curve.
        lufs: integrated loudness, -inf where nothing passes the gates.
        dc: the largest constant offset of a channel.
    """

    relative_peak: float
    peak: float = 0.0
    true_peak: float = 0.0
    lufs: float = -math.inf
    dc: float = 0.0

    @property
    def true_peak_dbtp(self) -> float:
        """True peak in dBTP; -inf for silence."""
        return linear_to_dbfs(self.true_peak)


class Meter:
    """Meter of peak, true peak, loudness and offset; its memory does not grow with the audio."""

    def __init__(
        self, rate_hz: float, channels: int, *, mask: int | None = None, highest: float = 1.0
    ) -> None:
        self._statistics = Statistics(channels)
        self._loudness = Loudness(rate_hz, channels, mask)
        self._curve = TruePeak(rate_hz)
        self._true_peak = 0.0
        self._kept: Audio = np.zeros((channels, 2 * REACH_FRAMES), np.float32)
        self._highest = highest

    def add(self, block: Audio) -> None:
        """Add the next frames, (channels, any number) float32."""
        self._statistics.add(block)
        if not block.shape[1] or not math.isfinite(self._statistics.peak):
            return  # a peak that is not finite is refused by gain staging
        self._loudness.add(block)
        around = np.concatenate([self._kept, block], axis=1)
        self._kept = around[:, -2 * REACH_FRAMES :]
        self._true_peak = self._highest_of(around)

    def _highest_of(self, audio: Audio) -> float:
        """The highest true peak so far. Only frames that can exceed it are interpolated.

        Both ends lack their neighbours; they are measured with the next block.
        """
        known = max(self._true_peak, self._statistics.peak)
        inside = slice(REACH_FRAMES, audio.shape[1] - REACH_FRAMES)
        return float(self._curve.between(audio, known)[inside].max(initial=known))

    @property
    def levels(self) -> Levels:
        """Levels of all audio added so far."""
        end = np.concatenate([self._kept, np.zeros_like(self._kept)], axis=1)
        return Levels(
            relative_peak=self._statistics.relative_peak(self._highest),
            peak=self._statistics.peak,
            true_peak=self._highest_of(end),
            lufs=self._loudness.integrated_lufs,
            dc=float(np.abs(self._statistics.mean).max()),
        )

    @property
    def programme(self) -> Programme:
        """Programme loudness (EBU Tech 3341, 3342) of all audio added so far."""
        return programme_loudness(self._loudness.step_powers)
