"""Processors: audio through something with a state, block by block, every frame at its place."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from bridge.errors import PromiseBroken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pedalboard

Audio: TypeAlias = npt.NDArray[np.float32]


# Foreign plugins are never asked for more frames at once: not all take more.
PLUGIN_FRAMES = 8192


@dataclass(frozen=True)
class Place:
    """Where an effect is to work. frames: of the whole audio, tail included."""

    rate_hz: float
    channels: int
    frames: int = 0


class Processor(Protocol):
    """A node with a state, for one run over one stem.

    late_frames: how much later a sound comes out than it went in, where the node does not take
    that out itself.
    """

    late_frames: int

    def process(self, block: Audio) -> Audio:
        """The next frames, (channels, n) float32: at first perhaps fewer than came in."""


# What an effect is made of. Neighbouring pedalboard plugins are run as one chain.
Node: TypeAlias = "pedalboard.Plugin | Processor"


# Effects always see blocks of this size, whatever size arrives: so the result cannot depend on how
# the audio was cut, and pedalboard never sees a block with fewer frames than channels (it would
# take the frames for channels). Shorter ones cost a limiter twice the time.
BLOCK_FRAMES = 65_536


# No plugin looks ahead this long. One that holds frames back for longer is broken.
_MAX_LATENCY_S = 60


def through(processor: Processor, blocks: Iterable[Audio], place: Place) -> Iterator[Audio]:
    """Audio of `place.frames` frames through one processor, frame for frame.

    With reset=False pedalboard drops as many frames at the start as its plugins report as latency,
    and `late_frames` says what else is to be dropped (or added, where it is negative). So what
    comes out is in place but late: silence pushes the last frames out.
    """
    due_frames = place.frames
    skip_frames = processor.late_frames
    if skip_frames < 0 and due_frames:
        early_frames = min(-skip_frames, due_frames)
        due_frames -= early_frames
        yield np.zeros((place.channels, early_frames), np.float32)
    silence = np.zeros((place.channels, BLOCK_FRAMES), np.float32)
    flush = itertools.repeat(silence, math.ceil(_MAX_LATENCY_S * place.rate_hz / BLOCK_FRAMES))
    for block in itertools.chain(_regular(blocks, place.channels), flush):
        if due_frames == 0:
            return
        out = processor.process(block)
        dropped = min(max(skip_frames, 0), out.shape[1])
        skip_frames -= dropped
        out = out[:, dropped : dropped + due_frames]
        due_frames -= out.shape[1]
        if out.shape[1]:
            yield out
    if due_frames:
        raise PromiseBroken(
            f"the effects kept back {due_frames} frames; report this with the preset"
        )


def _regular(blocks: Iterable[Audio], channels: int) -> Iterator[Audio]:
    """The same audio in blocks of BLOCK_FRAMES, the last filled up with silence."""
    regular = np.zeros((channels, BLOCK_FRAMES), np.float32)
    filled = 0
    for block in blocks:
        start = 0
        if not filled and block.shape[1] == BLOCK_FRAMES:  # as what was staged comes
            yield block
            continue
        while start < block.shape[1]:
            take = min(BLOCK_FRAMES - filled, block.shape[1] - start)
            regular[:, filled : filled + take] = block[:, start : start + take]
            filled += take
            start += take
            if filled == BLOCK_FRAMES:
                yield regular
                regular = np.zeros((channels, BLOCK_FRAMES), np.float32)
                filled = 0
    if filled:
        yield regular
