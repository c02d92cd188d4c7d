"""Integrated loudness by ITU-R BS.1770-4, annex 1, of audio that comes in blocks.

K-weighting, mean squares of 400 ms that begin every 100 ms, and two gates. What is kept of the
audio is one number for every 100 ms.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bridge.dsp.filters import TILE_FRAMES, Recursive

if TYPE_CHECKING:
    from bridge.dsp.filters import Biquad
    from bridge.dsp.processor import Audio

STEPS_PER_S = 10  # gating blocks begin every 100 ms
_STEPS_PER_BLOCK = 4  # and last for 400 ms
_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0
_OFFSET_LUFS = -0.691  # so that a sine of 997 Hz at 0 dBFS in one channel reads -3.01

# The standard gives its filters as coefficients at 48 kHz. These are the analogue filters behind
# them, which give those coefficients there and hold at any rate: a shelf (frequency, gain, Q, and
# how its middle is shared out between both ends), and a high-pass of second order.
_SHELF_HZ, _SHELF_DB, _SHELF_Q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
_SHELF_MIDDLE = 0.4996667741545416
_HIGHPASS_HZ, _HIGHPASS_Q = 38.13547087602444, 0.5003270373238773

# Bits of a channel mask (Microsoft, KSAUDIO_SPEAKER): table 4 of the annex weights what lies to the
# sides and behind by 1.41, and leaves the effects channel out.
_EFFECTS = 0x8
_AROUND = 0x10 | 0x20 | 0x100 | 0x200 | 0x400
_AROUND_WEIGHT = 1.41


def channel_weights(channels: int, mask: int | None = None) -> npt.NDArray[np.float64]:
    """What each channel counts, (channels,). Without a mask that fits, all count 1."""
    bits = [1 << n for n in range(32) if (mask or 0) >> n & 1]
    if len(bits) != channels:
        return np.ones(channels)
    return np.array([0.0 if b & _EFFECTS else _AROUND_WEIGHT if b & _AROUND else 1.0 for b in bits])


class Loudness:
    """A meter. Add all blocks, then read `integrated_lufs`."""

    def __init__(self, rate_hz: float, channels: int, mask: int | None = None) -> None:
        self._weights = channel_weights(channels, mask)
        self._step_frames = round(rate_hz / STEPS_PER_S)
        self._filter = Recursive(k_weighting(rate_hz), channels)
        self._waiting: Audio = np.zeros((channels, 0), np.float32)
        self._heard: Audio = np.zeros((channels, 0), np.float32)
        self._powers: list[npt.NDArray[np.float64]] = []

    def add(self, block: Audio) -> None:
        """The next frames, (channels, any number) float32."""
        audio = np.concatenate([self._waiting, block], axis=1)
        whole = audio.shape[1] // TILE_FRAMES * TILE_FRAMES
        self._waiting = audio[:, whole:]
        self._heard = np.concatenate([self._heard, self._filter.process(audio[:, :whole])], axis=1)
        powers = self._step_powers(self._heard)
        self._powers.append(powers)
        self._heard = self._heard[:, len(powers) * self._step_frames :]

    def _step_powers(self, heard: Audio) -> npt.NDArray[np.float64]:
        """The weighted sum over the channels of the mean square of each whole step."""
        steps = heard.shape[1] // self._step_frames
        squares = np.square(heard[:, : steps * self._step_frames])
        means = squares.reshape(len(heard), steps, self._step_frames).mean(axis=2)
        powers: npt.NDArray[np.float64] = self._weights @ means.astype(np.float64)
        return powers

    @property
    def integrated_lufs(self) -> float:
        """Of all the audio; -inf where nothing passes the gates, as in silence or under 400 ms."""
        return integrated_lufs(self.step_powers)

    @property
    def step_powers(self) -> npt.NDArray[np.float64]:
        """Weighted power of each whole 100 ms so far."""
        waiting = self._waiting.shape[1]
        tile = np.pad(self._waiting, ((0, 0), (0, TILE_FRAMES - waiting)))
        # A copy, as more frames may come in place of the silence.
        last = copy.copy(self._filter).process(tile)[:, :waiting]
        ended = self._step_powers(np.concatenate([self._heard, last], axis=1))
        return np.concatenate([*self._powers, ended])


def integrated_lufs(step_powers: npt.NDArray[np.float64]) -> float:
    """The gated loudness of the weighted powers of 100 ms each (pure)."""
    if len(step_powers) < _STEPS_PER_BLOCK:
        return -math.inf
    blocks = np.convolve(step_powers, np.full(_STEPS_PER_BLOCK, 1 / _STEPS_PER_BLOCK), "valid")
    kept = blocks[blocks > power_of(_ABSOLUTE_GATE_LUFS)]
    if not kept.size:
        return -math.inf
    relative = power_of(lufs_of(float(kept.mean())) + _RELATIVE_GATE_LU)
    return lufs_of(float(kept[kept > relative].mean()))


def lufs_of(power: float) -> float:
    """Loudness of a weighted power above 0."""
    return _OFFSET_LUFS + 10.0 * math.log10(power)


def power_of(lufs: float) -> float:
    """The weighted power of a loudness."""
    return float(10.0 ** ((lufs - _OFFSET_LUFS) / 10.0))


def k_weighting(rate_hz: float) -> tuple[Biquad, Biquad]:
    """The standard's two filters at any rate: (b0, b1, b2, a1, a2) of each. Pure."""
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
    # The standard leaves the gain of this one above 1.
    highpass = (1.0, -2.0, 1.0, 2.0 * (k * k - 1.0) / a0, (1.0 - k / _HIGHPASS_Q + k * k) / a0)
    return shelf, highpass
