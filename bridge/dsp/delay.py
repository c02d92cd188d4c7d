"""Measurement of the delay of an effect chain, with test signals.

An aligned chain puts an impulse at frame n out at frame n. A filter spreads the impulse, so:

- largest value at n: aligned (the pre-ringing of a linear-phase filter is allowed);
- largest value after n, first value at n: aligned (a low-pass rises, a room builds up);
- first value after n: late by the difference in frames;
- largest value before n: early by the difference in frames.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.dsp.processor import Audio

# Room before the impulse for early output, and after it for late output.
LEAD_S, AFTER_S = 0.25, 1.25
# Values 100 dB below the largest one are not counted as arrivals.
_FLOOR = 1e-5
# Half of full scale: loud enough for a gate, with room for a boost.
_LEVEL = 0.5


def delays_frames(run: Callable[[Audio], Audio], rate_hz: float, channels: int) -> tuple[int, ...]:
    """Measure by how many frames `run` delays sound.

    The output for silence (hum, noise) is subtracted first.

    Args:
        run: processes float32 (channels, n) with fresh effects, as many frames out as in.
        rate_hz: sample rate of the test signals.
        channels: number of channels of the test signals.

    Returns:
        The distinct delays of the channels, sorted; negative where output is early, (0,) for an
        aligned chain, () where the output is silent.
    """
    lead_frames = math.ceil(LEAD_S * rate_hz)
    frames = lead_frames + math.ceil(AFTER_S * rate_hz)
    at_rest = run(np.zeros((channels, frames), np.float32))
    for signal in (impulse(channels, frames, lead_frames), burst(channels, frames, lead_frames)):
        delays = {_delay_frames(channel, lead_frames) for channel in run(signal) - at_rest}
        if delays != {None}:
            return tuple(sorted(delay for delay in delays if delay is not None))
    return ()


def impulse(channels: int, frames: int, at_frame: int) -> Audio:
    """An impulse, softer in each further channel, so that no difference of two is silent.

    Args:
        channels: number of channels.
        frames: length of the signal.
        at_frame: position of the impulse.

    Returns:
        float32 (channels, frames).
    """
    audio = np.zeros((channels, frames), np.float32)
    audio[:, at_frame] = _LEVEL * 0.8 ** np.arange(channels)
    return audio


def burst(channels: int, frames: int, at_frame: int) -> Audio:
    """Loud noise over a tenth of the remaining frames, for effects that ignore an impulse.

    Args:
        channels: number of channels.
        frames: length of the signal.
        at_frame: start of the noise.

    Returns:
        float32 (channels, frames).
    """
    audio = np.zeros((channels, frames), np.float32)
    length = (frames - at_frame) // 10
    noise = np.random.default_rng(0).uniform(-_LEVEL, _LEVEL, (channels, length))
    noise[:, 0] = _LEVEL  # the first frame must not be silent
    audio[:, at_frame : at_frame + length] = noise
    return audio


def _delay_frames(channel: Audio, at_frame: int) -> int | None:
    """Delay of one channel relative to `at_frame`; None if the channel is silent."""
    level = np.abs(channel)
    largest = int(level.argmax())
    if level[largest] < _FLOOR * _LEVEL:
        return None
    if largest < at_frame:
        return largest - at_frame
    if largest == at_frame:
        return 0
    arrived = np.flatnonzero(level > _FLOOR * level[largest])
    return max(int(arrived[0]) - at_frame, 0)
