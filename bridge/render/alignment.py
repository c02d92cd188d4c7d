"""The law of the chain: what goes in at frame n comes out at frame n. Checked on the chain itself.

The checks run the actual effects with the actual settings, so a plugin's real latency counts, not
the one that it states.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from bridge.dsp.delay import burst, delays_frames
from bridge.dsp.meter import Measure
from bridge.dsp.processor import Place
from bridge.effects.chain import render
from bridge.effects.registry import DcRemoval, Fade, check, parts
from bridge.errors import PresetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridge.dsp.processor import Audio
    from bridge.effects.base import Effect

# A tail has ended where it stays 96 dB below full scale: half a step of 16 bit.
_TAIL_END = 10 ** (-96 / 20)
# No more than this is added: an echo with much feedback would go on for hours.
MAX_TAIL_S = 30.0


def check_alignment(effects: Sequence[Effect], rate_hz: float, channels: int) -> None:
    """PresetError for a chain that cannot work here, or moves sound. PluginError as for render.

    An impulse goes through the whole chain, without the effects that are late on purpose (echo,
    room, a plugin with `latency: reported`) and those that silence the ends.
    """
    check(effects, Place(rate_hz, channels))
    timed = tuple(effect for effect in effects if not effect.late_on_purpose)
    if timed:
        # Its files count with their content, which a frozen effect does not hold.
        _verify(timed, json.dumps([effect.identity() for effect in timed]), rate_hz, channels)


@lru_cache(maxsize=64)
def _verify(timed: tuple[Effect, ...], identity: str, rate_hz: float, channels: int) -> None:
    """Once for each chain, rate and width, as plugins take a while to load. Errors are not kept."""
    del identity  # tells chains apart
    late = delays_frames(lambda audio: apply_chain(timed, audio, rate_hz), rate_hz, channels)
    if any(late):
        apart = " or ".join(map(str, late))
        raise PresetError(
            f"the chain moves sound by {apart} frames at {rate_hz:g} Hz; take its plugins out one "
            "by one, or write `latency: reported` for one that means it"
        )


def tail_frames(effects: Sequence[Effect], rate_hz: float, channels: int) -> int:
    """How long the chain still sounds after its input has ended; MAX_TAIL_S at most.

    Measured with a loud burst, so that every stem gets the same length. Fades and what only shapes
    the end of a file are left out.
    """
    sounding = [effect for effect in effects if not isinstance(effect, (Fade, DcRemoval))]
    if not sounding:
        return 0
    burst_frames = math.ceil(0.1 * rate_hz)
    # The burst fills a tenth of what it is made in; it is cut there.
    audio = burst(channels, 10 * burst_frames, 0)[:, :burst_frames]
    tail = math.ceil(MAX_TAIL_S * rate_hz)
    position, last = 0, 0
    for block in _rendered(sounding, audio, rate_hz, tail):
        heard = np.flatnonzero(np.abs(block).max(axis=0) > _TAIL_END)
        last = position + int(heard[-1]) + 1 if heard.size else last
        position += block.shape[1]
    return max(last - burst_frames, 0)


def apply_chain(effects: Sequence[Effect], audio: Audio, rate_hz: float, tail: int = 0) -> Audio:
    """A whole array (channels, frames) through a chain; `tail` frames longer."""
    empty = np.zeros((audio.shape[0], 0), np.float32)
    return np.concatenate([empty, *_rendered(effects, audio, rate_hz, tail)], axis=1)


def _rendered(
    effects: Sequence[Effect], audio: Audio, rate_hz: float, tail: int
) -> Iterator[Audio]:
    """Part by part; all but the last part as a whole, as its mean may be needed."""
    blocks: Iterator[Audio] = iter([audio])
    frames = audio.shape[1]
    for number, part in enumerate(parts(effects)):
        offsets = None
        if isinstance(part[0], DcRemoval):
            whole = np.concatenate(list(blocks), axis=1)
            measure = Measure(whole.shape[0])
            measure.add(whole)
            offsets, blocks = measure.mean, iter([whole])
        longer = tail if number == 0 else 0
        blocks = render(
            blocks,
            part,
            rate_hz=rate_hz,
            channels=audio.shape[0],
            frames=frames,
            offsets=offsets,
            tail_frames=longer,
        )
        frames += longer
    return blocks
