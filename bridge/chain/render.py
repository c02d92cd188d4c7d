"""Audio through a chain of effects: every frame back at its place, in bounded memory."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bridge.chain.effect import PLUGIN_FRAMES, Audio, Place
from bridge.chain.effects import DcRemoval, nodes
from bridge.errors import PromiseBroken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pedalboard

    from bridge.chain.effect import Effect, Node, Processor

# Effects always see blocks of this size, whatever size arrives: so the result cannot depend on how
# the audio was cut, and pedalboard never sees a block with fewer frames than channels (it would
# take the frames for channels). Shorter ones cost a limiter twice the time.
BLOCK_FRAMES = 65_536

# No plugin looks ahead this long. One that holds frames back for longer is broken.
_MAX_LATENCY_S = 60


class Measure:
    """Mean and peak of audio that comes in blocks. Sums are float64, so hours lose nothing."""

    def __init__(self, channels: int) -> None:
        self._sum = np.zeros(channels, np.float64)
        self._high: Audio = np.zeros(channels, np.float32)
        self._low: Audio = np.zeros(channels, np.float32)
        self._frames = 0

    def add(self, block: Audio) -> None:
        """Take in a block (channels, frames), any number of frames."""
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
        """Frames taken in."""
        return self._frames

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """Mean of each channel, shape (channels,); zeros before the first frame."""
        return self._sum / max(self._frames, 1)

    @property
    def peak(self) -> float:
        """Highest absolute value in any channel, full scale is 1; NaN if there was one."""
        return self.reach(1.0)

    def reach(self, highest: float) -> float:
        """Peak relative to what a file can hold: -1.0 to `highest` (1.0, or a step less in PCM)."""
        high, low = float(self._high.max()), float(self._low.min())
        return float(np.max([high / highest, -low, 0.0]))

    def lowered(self, offsets: npt.NDArray[np.float64]) -> Measure:
        """That of the same audio minus a constant for each channel, as `lowered` gives it."""
        after = Measure(len(offsets))
        after._frames = self._frames
        after._sum = self._sum - self._frames * offsets
        # Rounding keeps order: the highest frame stays the highest.
        after._high = lowered(self._high[:, np.newaxis], offsets[:, np.newaxis])[:, 0]
        after._low = lowered(self._low[:, np.newaxis], offsets[:, np.newaxis])[:, 0]
        return after


def render(
    blocks: Iterable[Audio],
    effects: Sequence[Effect],
    *,
    rate_hz: float,
    channels: int,
    frames: int,
    offsets: npt.NDArray[np.float64] | None = None,
    tail_frames: int = 0,
) -> Iterator[Audio]:
    """Stream audio through one part of a chain (effects.parts).

    blocks: float32 (channels, any number of frames), `frames` in all; any number of channels.
    offsets: the mean of each channel, shape (channels,), where the part starts with DcRemoval.
    tail_frames: how much longer what comes out is, so that an echo can end (alignment.tail_frames).
    Hand it to the first part only: the others get audio that is that much longer already.
    Yields float32 blocks (channels, at least 1 frame), frames + tail_frames in all. Latency and
    look-ahead are taken out: a sound at frame n comes out at frame n. The same audio cut into
    other blocks gives the same.

    Raises at once ValueError for a DcRemoval that is not first or has no offsets, PresetError for
    an effect that cannot work at this rate, PluginError for a plugin that does not load; while
    streaming PromiseBroken if the frames do not add up.
    """
    removes_dc = bool(effects) and isinstance(effects[0], DcRemoval)
    if any(isinstance(effect, DcRemoval) for effect in effects[1:]):
        raise ValueError(
            "DcRemoval must be the first of its part: cut the chain with effects.parts"
        )
    if removes_dc != (offsets is not None):
        raise ValueError("offsets go with a part that starts with DcRemoval, and with no other")
    place = Place(rate_hz, channels, frames + tail_frames)
    stages = stages_of(nodes(effects, place), place)
    audio: Iterator[Audio] = _checked(blocks, channels, frames)
    if offsets is not None:
        audio = _without(audio, offsets)
    audio = itertools.chain(audio, _silence(channels, tail_frames))
    for stage in stages:
        audio = through(stage, audio, place)
    return audio


def stages_of(nodes: Sequence[Node], place: Place) -> list[Processor]:
    """The nodes with all pedalboard plugins that stand side by side joined into one."""
    stages: list[Processor] = []
    for is_ours, group in itertools.groupby(nodes, lambda node: hasattr(node, "late_frames")):
        run: list[Any] = list(group)
        stages += run if is_ours else [_Board(run, place.rate_hz)]
    return stages


class _Board:
    """pedalboard's plugins in a row. With reset=False they keep their state between blocks."""

    late_frames = 0

    def __init__(self, plugins: list[pedalboard.Plugin], rate_hz: float) -> None:
        import pedalboard

        self._chain = pedalboard.Chain(plugins)
        self._rate_hz = rate_hz

    def process(self, block: Audio) -> Audio:
        """At first as many frames fewer as the plugins report as latency."""
        out: Audio = self._chain.process(
            block, self._rate_hz, buffer_size=PLUGIN_FRAMES, reset=False
        )
        return out


def _checked(blocks: Iterable[Audio], channels: int, frames: int) -> Iterator[Audio]:
    """The blocks, without empty ones. PromiseBroken if their shape or sum is not as announced."""
    seen_frames = 0
    for block in blocks:
        if block.ndim != 2 or block.shape[0] != channels:
            raise PromiseBroken(
                f"a block of shape {block.shape} came where {channels} channels are due"
            )
        seen_frames += block.shape[1]
        if seen_frames > frames:
            raise PromiseBroken(f"more than the announced {frames} frames came to the effects")
        if block.shape[1]:
            yield block
    if seen_frames != frames:
        raise PromiseBroken(f"{seen_frames} frames came to the effects where {frames} are due")


def lowered(block: Audio, offsets: npt.NDArray[np.float64]) -> Audio:
    """Minus a constant for each channel, (channels, 1): subtracted in float64 and rounded once."""
    return (block - offsets).astype(np.float32)


def _without(blocks: Iterable[Audio], offsets: npt.NDArray[np.float64]) -> Iterator[Audio]:
    for block in blocks:
        yield lowered(block, offsets[:, np.newaxis])


def _silence(channels: int, frames: int) -> Iterator[Audio]:
    for start in range(0, frames, BLOCK_FRAMES):
        yield np.zeros((channels, min(BLOCK_FRAMES, frames - start)), np.float32)


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
