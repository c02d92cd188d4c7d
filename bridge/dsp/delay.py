"""Is what comes out where it went in? Test signals, and when they arrive. Pure.

The law: an impulse at frame n comes out at frame n. A filter spreads it, so what counts is:

- the largest arrival is at n: aligned (what a filter without phase sends ahead is no offence);
- it is later, but something arrives at n already: aligned (a low-pass rises, a room builds up);
- nothing arrives until later: late by so many frames;
- the largest arrival is before n: early by so many frames.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.dsp.processor import Audio

# Long enough before the impulse for what comes too early, and after it for what comes too late.
LEAD_S, AFTER_S = 0.25, 1.25
# What is 100 dB below the largest arrival does not count as one.
_FLOOR = 1e-5
# Half of full scale: loud enough for a gate, with room for a boost.
_LEVEL = 0.5


def delays_frames(run: Callable[[Audio], Audio], rate_hz: float, channels: int) -> tuple[int, ...]:
    """By how many frames `run` delays sound, each delay once; negative where it is early.

    run: float32 (channels, n) through fresh effects, as many frames out as in. What they give to
    silence (hum, noise) is taken off. More than one delay: the channels come apart. (0,) is
    aligned, and nothing at all where nothing is ever heard.
    """
    lead_frames = math.ceil(LEAD_S * rate_hz)
    frames = lead_frames + math.ceil(AFTER_S * rate_hz)
    at_rest = run(np.zeros((channels, frames), np.float32))
    for signal in (impulse(channels, frames, lead_frames), burst(channels, frames, lead_frames)):
        late = {_late(channel, lead_frames) for channel in run(signal) - at_rest}
        if late != {None}:
            return tuple(sorted(each for each in late if each is not None))
    return ()


def impulse(channels: int, frames: int, at_frame: int) -> Audio:
    """One frame of sound, a little softer in each channel: so that no sum of two is silent."""
    audio = np.zeros((channels, frames), np.float32)
    audio[:, at_frame] = _LEVEL * 0.8 ** np.arange(channels)
    return audio


def burst(channels: int, frames: int, at_frame: int) -> Audio:
    """A tenth of the rest as loud noise: for what an impulse is too short for, as a gate."""
    audio = np.zeros((channels, frames), np.float32)
    length = (frames - at_frame) // 10
    noise = np.random.default_rng(0).uniform(-_LEVEL, _LEVEL, (channels, length))
    noise[:, 0] = _LEVEL  # the first frame must be heard
    audio[:, at_frame : at_frame + length] = noise
    return audio


def _late(channel: Audio, at_frame: int) -> int | None:
    """When one channel arrives, against when it should; None if it is silent."""
    loudness = np.abs(channel)
    largest = int(loudness.argmax())
    if loudness[largest] < _FLOOR * _LEVEL:
        return None
    if largest < at_frame:
        return largest - at_frame
    if largest == at_frame:
        return 0
    arrived = np.flatnonzero(loudness > _FLOOR * loudness[largest])
    return max(int(arrived[0]) - at_frame, 0)
