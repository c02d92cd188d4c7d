"""Processors: stateful audio processing block by block, with latency removed."""

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


# Most frames that a third-party plugin gets at once: some accept no more.
PLUGIN_FRAMES = 8192


@dataclass(frozen=True)
class ProcessSpec:
    """Rate, channels and length that an effect is prepared for; frames include the tail."""

    rate_hz: float
    channels: int
    frames: int = 0


class Processor(Protocol):
    """A node with a state, for one run over one stem.

    latency_frames: the delay of the output that the caller has to remove.
    """

    latency_frames: int

    def process(self, block: Audio) -> Audio:
        """Process the next frames, (channels, n) float32; first calls may return fewer."""


# Building block of an effect. Neighbouring pedalboard plugins run as one chain.
Node: TypeAlias = "pedalboard.Plugin | Processor"


# Effects always get blocks of this size, so that the result does not depend on the input's blocks,
# and pedalboard never gets a block with fewer frames than channels (it would take frames for
# channels). Shorter blocks double the time of a limiter.
BLOCK_FRAMES = 65_536


# Longer than the look-ahead of any plugin; one that holds frames back for longer is broken.
_MAX_LATENCY_S = 60


def process_stream(
    processor: Processor, blocks: Iterable[Audio], spec: ProcessSpec
) -> Iterator[Audio]:
    """Stream audio of `spec.frames` frames through one processor, with latency removed.

    With reset=False pedalboard drops the latency that its plugins report; `latency_frames` is the
    rest to drop (or to add, where it is negative). Silence flushes the last frames.

    Args:
        processor: fresh, used for this audio only.
        blocks: float32 (channels, any number of frames).
        spec: rate, channels and total length.

    Yields:
        float32 blocks, `spec.frames` frames in all.

    Raises:
        PromiseBroken: the processor held frames back for over a minute.
    """
    due_frames = spec.frames
    skip_frames = processor.latency_frames
    if skip_frames < 0 and due_frames:
        early_frames = min(-skip_frames, due_frames)
        due_frames -= early_frames
        yield np.zeros((spec.channels, early_frames), np.float32)
    silence = np.zeros((spec.channels, BLOCK_FRAMES), np.float32)
    flush = itertools.repeat(silence, math.ceil(_MAX_LATENCY_S * spec.rate_hz / BLOCK_FRAMES))
    for block in itertools.chain(_regular(blocks, spec.channels), flush):
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
            f"the effects held back {due_frames} frames; report this with the preset"
        )


def _regular(blocks: Iterable[Audio], channels: int) -> Iterator[Audio]:
    """The same audio in blocks of BLOCK_FRAMES; the last one is padded with silence."""
    regular = np.zeros((channels, BLOCK_FRAMES), np.float32)
    filled = 0
    for block in blocks:
        start = 0
        if not filled and block.shape[1] == BLOCK_FRAMES:  # staged audio comes in this size
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
