"""Integrated loudness by ITU-R BS.1770-4, annex 1, measured block by block.

K-weighting, mean squares of 400 ms that begin every 100 ms, and two gates. Memory holds one number
for every 100 ms of audio.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bridge.dsp.filters import TILE_FRAMES, RecursiveFilter

if TYPE_CHECKING:
    from bridge.dsp.filters import Biquad
    from bridge.dsp.processor import Audio

STEPS_PER_S = 10  # gating blocks begin every 100 ms
_STEPS_PER_BLOCK = 4  # and last for 400 ms
_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0
_OFFSET_LUFS = -0.691  # a sine of 997 Hz at 0 dBFS in one channel reads -3.01

# The standard gives coefficients at 48 kHz only. These analogue prototypes give the same
# coefficients at 48 kHz and work at any rate: a shelf (frequency, gain, Q, and the exponent of its
# mid gain), and a second-order high-pass.
_SHELF_HZ, _SHELF_DB, _SHELF_Q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
_SHELF_MIDDLE = 0.4996667741545416
_HIGHPASS_HZ, _HIGHPASS_Q = 38.13547087602444, 0.5003270373238773

# Bits of a channel mask (Microsoft, KSAUDIO_SPEAKER): table 4 of the annex weights channels at the
# sides and behind by 1.41, and excludes the low-frequency effects channel.
_EFFECTS = 0x8
_AROUND = 0x10 | 0x20 | 0x100 | 0x200 | 0x400
_AROUND_WEIGHT = 1.41


def channel_weights(channels: int, mask: int | None = None) -> npt.NDArray[np.float64]:
    """Weight of each channel, (channels,) float64; all 1 where the mask does not fit."""
    bits = [1 << n for n in range(32) if (mask or 0) >> n & 1]
    if len(bits) != channels:
        return np.ones(channels)
    return np.array([0.0 if b & _EFFECTS else _AROUND_WEIGHT if b & _AROUND else 1.0 for b in bits])


class Loudness:
    """Loudness meter: add all blocks, then read `integrated_lufs`."""

    def __init__(self, rate_hz: float, channels: int, mask: int | None = None) -> None:
        self._weights = channel_weights(channels, mask)
        self._step_frames = round(rate_hz / STEPS_PER_S)
        self._filter = RecursiveFilter(k_weighting(rate_hz), channels)
        self._waiting: Audio = np.zeros((channels, 0), np.float32)
        self._weighted: Audio = np.zeros((channels, 0), np.float32)
        self._powers: list[npt.NDArray[np.float64]] = []

    def add(self, block: Audio) -> None:
        """Add the next frames, (channels, any number) float32."""
        audio = np.concatenate([self._waiting, block], axis=1)
        whole = audio.shape[1] // TILE_FRAMES * TILE_FRAMES
        self._waiting = audio[:, whole:]
        self._weighted = np.concatenate(
            [self._weighted, self._filter.process(audio[:, :whole])], axis=1
        )
        powers = self._step_powers(self._weighted)
        self._powers.append(powers)
        self._weighted = self._weighted[:, len(powers) * self._step_frames :]

    def _step_powers(self, weighted: Audio) -> npt.NDArray[np.float64]:
        """Weighted sum over the channels of the mean square of each whole step."""
        steps = weighted.shape[1] // self._step_frames
        squares = np.square(weighted[:, : steps * self._step_frames])
        means = squares.reshape(len(weighted), steps, self._step_frames).mean(axis=2)
        powers: npt.NDArray[np.float64] = self._weights @ means.astype(np.float64)
        return powers

    @property
    def integrated_lufs(self) -> float:
        """Integrated loudness; -inf where nothing passes the gates (silence, under 400 ms)."""
        return integrated_lufs(self.step_powers)

    @property
    def step_powers(self) -> npt.NDArray[np.float64]:
        """Weighted power of each whole 100 ms so far."""
        waiting = self._waiting.shape[1]
        tile = np.pad(self._waiting, ((0, 0), (0, TILE_FRAMES - waiting)))
        # A copy of the filter, as further frames may follow instead of the padding.
        last = copy.copy(self._filter).process(tile)[:, :waiting]
        ended = self._step_powers(np.concatenate([self._weighted, last], axis=1))
        return np.concatenate([*self._powers, ended])


def integrated_lufs(step_powers: npt.NDArray[np.float64]) -> float:
    """Gated loudness of the weighted powers of 100 ms each."""
    if len(step_powers) < _STEPS_PER_BLOCK:
        return -math.inf
    blocks = np.convolve(step_powers, np.full(_STEPS_PER_BLOCK, 1 / _STEPS_PER_BLOCK), "valid")
    kept = blocks[blocks > lufs_to_power(_ABSOLUTE_GATE_LUFS)]
    if not kept.size:
        return -math.inf
    relative = lufs_to_power(power_to_lufs(float(kept.mean())) + _RELATIVE_GATE_LU)
    return power_to_lufs(float(kept[kept > relative].mean()))


def power_to_lufs(power: float) -> float:
    """Loudness in LUFS of a weighted power above 0."""
    return _OFFSET_LUFS + 10.0 * math.log10(power)


def lufs_to_power(lufs: float) -> float:
    """Weighted power of a loudness in LUFS."""
    return float(10.0 ** ((lufs - _OFFSET_LUFS) / 10.0))


def k_weighting(rate_hz: float) -> tuple[Biquad, Biquad]:
    """The two K-weighting filters at any rate: (b0, b1, b2, a1, a2) of each."""
    k = math.tan(math.pi * _SHELF_HZ / rate_hz)
    high = 10.0 ** (_SHELF_DB / 20.0)
    middle = high**_SHELF_MIDDLE
    a0 = 1.0 + k / _SHELF_Q + k * k
    shelf = (
        (high + middle * k / _SHELF_Q + k * k) / a0,
        2.0 * (k * k - high) / a0,
        (high - middle * k / _SHELF_Q + k * k) / a0,
        2.0 * (k * k - 1.0) / a0,
        (1.0 - k / _SHELF_Q + k * k) / a0,
    )
    k = math.tan(math.pi * _HIGHPASS_HZ / rate_hz)
    a0 = 1.0 + k / _HIGHPASS_Q + k * k
    # The standard does not normalise the gain of the high-pass.
    highpass = (1.0, -2.0, 1.0, 2.0 * (k * k - 1.0) / a0, (1.0 - k / _HIGHPASS_Q + k * k) / a0)
    return shelf, highpass
