"""Audio through a chain of effects: every frame back at its place, in bounded memory."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bridge.dsp.meter import subtract_offsets
from bridge.dsp.processor import BLOCK_FRAMES, PLUGIN_FRAMES, Audio, ProcessSpec, process_stream
from bridge.effects.registry import nodes
from bridge.effects.tone import DcRemoval
from bridge.errors import PromiseBroken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pedalboard

    from bridge.dsp.processor import Node, Processor
    from bridge.effects.base import Effect


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
    spec = ProcessSpec(rate_hz, channels, frames + tail_frames)
    stages = build_stages(nodes(effects, spec), spec)
    audio: Iterator[Audio] = _checked(blocks, channels, frames)
    if offsets is not None:
        audio = _minus_offsets(audio, offsets)
    audio = itertools.chain(audio, _silence(channels, tail_frames))
    for stage in stages:
        audio = process_stream(stage, audio, spec)
    return audio


def build_stages(nodes: Sequence[Node], spec: ProcessSpec) -> list[Processor]:
    """The nodes with all pedalboard plugins that stand side by side joined into one."""
    stages: list[Processor] = []
    for is_processor, group in itertools.groupby(
        nodes, lambda node: hasattr(node, "latency_frames")
    ):
        run: list[Any] = list(group)
        stages += run if is_processor else [_PedalboardChain(run, spec.rate_hz)]
    return stages


class _PedalboardChain:
    """pedalboard's plugins in a row. With reset=False they keep their state between blocks."""

    latency_frames = 0

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


def _minus_offsets(blocks: Iterable[Audio], offsets: npt.NDArray[np.float64]) -> Iterator[Audio]:
    for block in blocks:
        yield subtract_offsets(block, offsets[:, np.newaxis])


def _silence(channels: int, frames: int) -> Iterator[Audio]:
    for start in range(0, frames, BLOCK_FRAMES):
        yield np.zeros((channels, min(BLOCK_FRAMES, frames - start)), np.float32)
