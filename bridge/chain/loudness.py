"""Integrated loudness by ITU-R BS.1770-4, annex 1, of audio that comes in blocks.

K-weighting, mean squares of 400 ms that begin every 100 ms, and two gates. What is kept of the
audio is one number for every 100 ms.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from bridge.chain.effect import Audio

STEPS_PER_S = 10  # gating blocks begin every 100 ms
_STEPS_PER_BLOCK = 4  # and last for 400 ms
_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0
_OFFSET_LUFS = -0.691  # so that a sine of 997 Hz at 0 dBFS in one channel reads -3.01

# The standard gives its filters as coefficients at 48 kHz. These are the analogue filters behind
# them, which give those coefficients there and hold at any rate: a shelf (frequency of its middle
# as the standard's form has it, gain, Q), and a high-pass of second order.
_SHELF_HZ, _SHELF_DB, _SHELF_Q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
_HIGHPASS_HZ = 38.13547087602444  # its Q is 0.5003: two equal first orders, within 0.01 dB

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
        self._rate_hz = rate_hz
        self._weights = channel_weights(channels, mask)
        self._step_frames = round(rate_hz / STEPS_PER_S)
        self._filters, self._gain = _k_weighting(rate_hz)
        self._left: Audio = np.zeros((channels, 0), np.float32)
        self._powers: list[npt.NDArray[np.float64]] = []

    def add(self, block: Audio) -> None:
        """The next frames, (channels, any number) float32. The filters see whole steps only."""
        audio = np.concatenate([self._left, block], axis=1) if self._left.size else block
        whole = audio.shape[1] // self._step_frames * self._step_frames
        self._left = audio[:, whole:].copy()
        if not whole:
            return
        heard: Any = self._filters.process(
            np.ascontiguousarray(audio[:, :whole]), self._rate_hz, buffer_size=whole, reset=False
        )
        squares = np.square(heard).reshape(len(heard), -1, self._step_frames)
        self._powers.append(self._weights @ squares.mean(axis=2, dtype=np.float64))

    @property
    def integrated_lufs(self) -> float:
        """Of all the audio; -inf where nothing passes the gates, as in silence or under 400 ms."""
        return integrated_lufs(self.step_powers)

    @property
    def step_powers(self) -> npt.NDArray[np.float64]:
        """Weighted power of each whole 100 ms so far."""
        return np.concatenate([np.zeros(0), *self._powers]) * self._gain


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


def _k_weighting(rate_hz: float) -> tuple[Any, float]:
    """The filters, and what their power is to be multiplied by.

    pedalboard's shelf (of the Audio EQ Cookbook) is the standard's with its middle elsewhere, and
    its high-pass lets all highs through, where the standard's lifts them a little.
    """
    import pedalboard

    shift = 10 ** (-_SHELF_DB / 80)
    shelf_hz = _moved(_SHELF_HZ, shift, rate_hz)
    k = math.tan(math.pi * _HIGHPASS_HZ / rate_hz)
    lift = (1 + k / 0.5003270373238773 + k * k) ** 2
    chain = pedalboard.Chain(
        [
            pedalboard.HighShelfFilter(shelf_hz, _SHELF_DB, _SHELF_Q),
            pedalboard.HighpassFilter(_HIGHPASS_HZ),
            pedalboard.HighpassFilter(_HIGHPASS_HZ),
        ]
    )
    return chain, lift


def _moved(frequency_hz: float, factor: float, rate_hz: float) -> float:
    """A frequency times a factor before the bilinear transform bends it."""
    return math.atan(math.tan(math.pi * frequency_hz / rate_hz) * factor) * rate_hz / math.pi
