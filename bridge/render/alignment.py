"""Alignment check of effect chains: sound at frame n of the input stays at frame n.

The checks run the actual effects with their settings, so that a plugin's real latency counts, not
the reported one.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from bridge.dsp.delay import burst, delays_frames
from bridge.dsp.meter import Statistics
from bridge.dsp.processor import ProcessSpec
from bridge.effects.chain import render
from bridge.effects.registry import DcRemoval, Fade, check, split_passes
from bridge.errors import PresetError
from bridge.render.mixing import check_pans, used_sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bridge.audio.probe import AudioInfo
    from bridge.dsp.processor import Audio
    from bridge.effects.base import Effect
    from bridge.presets.loader import Preset
    from bridge.presets.mixdown import Mixdown

# A tail has ended where it stays 96 dB below full scale: half a 16-bit step.
_TAIL_END = 10 ** (-96 / 20)
# Upper limit: an echo with much feedback would last for hours.
MAX_TAIL_S = 30.0


def check_alignment(effects: Sequence[Effect], rate_hz: float, channels: int) -> None:
    """Check that a chain works at this rate and width, and keeps sound aligned.

    An impulse runs through the chain, without effects that delay sound by intention (echo, room, a
    plugin with `latency: reported`) and those that silence the ends of a file.

    Args:
        effects: the chain.
        rate_hz: sample rate of the bounce.
        channels: number of channels of the bounce.

    Raises:
        PresetError: an effect does not support this format, or the chain moves sound.
        PluginError: a plugin does not load or fails.
    """
    check(effects, ProcessSpec(rate_hz, channels))
    timed = tuple(effect for effect in effects if not effect.intended_delay)
    if timed:
        # The identity holds hashes of the plugin's files, which a frozen effect does not.
        _check_delays(timed, json.dumps([effect.identity() for effect in timed]), rate_hz, channels)


@lru_cache(maxsize=64)
def _check_delays(timed: tuple[Effect, ...], identity: str, rate_hz: float, channels: int) -> None:
    """Cached check: loading plugins is slow. Errors are not cached."""
    del identity  # part of the cache key
    delays = delays_frames(lambda audio: apply_chain(timed, audio, rate_hz), rate_hz, channels)
    if any(delays):
        listed = " or ".join(map(str, delays))
        raise PresetError(
            f"the chain moves sound by {listed} frames at {rate_hz:g} Hz; take its plugins out one "
            "by one, or write `latency: reported` for one that means it"
        )


def tail_frames(effects: Sequence[Effect], rate_hz: float, channels: int) -> int:
    """Frames that the chain still sounds after its input has ended; MAX_TAIL_S at most.

    Measured with a loud burst, so that every stem gets the same length. Fades and DC removal do not
    count.

    Args:
        effects: the chain.
        rate_hz: sample rate of the bounce.
        channels: number of channels of the bounce.
    """
    audible = [effect for effect in effects if not isinstance(effect, (Fade, DcRemoval))]
    if not audible:
        return 0
    burst_frames = math.ceil(0.1 * rate_hz)
    # `burst` fills a tenth of its frames; keep that part.
    audio = burst(channels, 10 * burst_frames, 0)[:, :burst_frames]
    tail = math.ceil(MAX_TAIL_S * rate_hz)
    position, last = 0, 0
    for block in _rendered(audible, audio, rate_hz, tail):
        loud = np.flatnonzero(np.abs(block).max(axis=0) > _TAIL_END)
        last = position + int(loud[-1]) + 1 if loud.size else last
        position += block.shape[1]
    return max(last - burst_frames, 0)


def checked_tail_frames(
    preset: Preset,
    outputs: Sequence[str],
    buses: Mapping[str, Mixdown],
    sources: Sequence[str],
    info: AudioInfo,
) -> int:
    """Check all chains of a job; return how many frames longer than the bounce its files are.

    A bus may ring on after its stems have ended, so their tails add up.

    Args:
        preset: the preset in force.
        outputs: names of the outputs.
        buses: mixdowns by name.
        sources: names of the stems that the separation delivers.
        info: format of the bounce.

    Raises:
        PresetError: a chain does not support the bounce, or moves sound.
        PluginError: a plugin does not load or fails.
    """
    check_pans(buses, sources, info.channels)
    of_stems = {preset.chain_of(name) for name in used_sources(outputs, buses, sources)}
    of_buses = {bus.chain for bus in buses.values()}
    for chain in of_stems | of_buses:
        check_alignment(chain, info.rate_hz, info.channels)
    if preset.limiter is not None:
        check((preset.limiter,), ProcessSpec(info.rate_hz, info.channels))
    if preset.tails == "cut":
        return 0
    return sum(
        max((tail_frames(chain, info.rate_hz, info.channels) for chain in chains), default=0)
        for chains in (of_stems, of_buses)
    )


def apply_chain(effects: Sequence[Effect], audio: Audio, rate_hz: float, tail: int = 0) -> Audio:
    """Apply a chain to a whole array.

    Args:
        effects: the chain.
        audio: float32 (channels, frames).
        rate_hz: sample rate.
        tail: frames to append for tails.

    Returns:
        float32 (channels, frames + tail).
    """
    empty = np.zeros((audio.shape[0], 0), np.float32)
    return np.concatenate([empty, *_rendered(effects, audio, rate_hz, tail)], axis=1)


def _rendered(
    effects: Sequence[Effect], audio: Audio, rate_hz: float, tail: int
) -> Iterator[Audio]:
    """Render pass by pass; DC removal needs the mean of the whole audio before it."""
    blocks: Iterator[Audio] = iter([audio])
    frames = audio.shape[1]
    for number, part in enumerate(split_passes(effects)):
        offsets = None
        if isinstance(part[0], DcRemoval):
            whole = np.concatenate(list(blocks), axis=1)
            measure = Statistics(whole.shape[0])
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
