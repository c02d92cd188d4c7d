"""Streaming audio through a chain of effects, with latency removed and in bounded memory."""

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
    """Stream audio through one pass of a chain (`registry.split_passes`).

    Latency and look-ahead are removed: a sound at frame n comes out at frame n. The result does not
    depend on how the audio is divided into blocks.

    Args:
        blocks: float32 (channels, any number of frames), `frames` frames in all.
        effects: the effects of the pass.
        rate_hz: sample rate.
        channels: number of channels.
        frames: length of the input.
        offsets: mean of each channel, (channels,) float64, where the pass starts with DcRemoval.
        tail_frames: frames to append so that an echo can end (`alignment.tail_frames`); only for
            the first pass, as later ones get the longer audio.

    Returns:
        float32 blocks (channels, at least 1 frame), frames + tail_frames frames in all.

    Raises:
        ValueError: a DcRemoval is not the first effect, or has no offsets.
        PresetError: an effect does not support this format.
        PluginError: a plugin does not load.
        PromiseBroken: while streaming, if the frames do not add up.
    """
    removes_dc = bool(effects) and isinstance(effects[0], DcRemoval)
    if any(isinstance(effect, DcRemoval) for effect in effects[1:]):
        raise ValueError("DcRemoval must be the first effect of a pass; use registry.split_passes")
    if removes_dc != (offsets is not None):
        raise ValueError(
            "offsets are required for a pass that starts with DcRemoval, and for no other"
        )
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
    """Join neighbouring pedalboard plugins into one processor."""
    stages: list[Processor] = []
    for is_processor, group in itertools.groupby(
        nodes, lambda node: hasattr(node, "latency_frames")
    ):
        run: list[Any] = list(group)
        stages += run if is_processor else [_PedalboardChain(run, spec.rate_hz)]
    return stages


class _PedalboardChain:
    """pedalboard plugins in series; reset=False keeps their state between blocks."""

    latency_frames = 0

    def __init__(self, plugins: list[pedalboard.Plugin], rate_hz: float) -> None:
        import pedalboard

        self._chain = pedalboard.Chain(plugins)
        self._rate_hz = rate_hz

    def process(self, block: Audio) -> Audio:
        """Process a block; the first calls return fewer frames, by the reported latency."""
        out: Audio = self._chain.process(
            block, self._rate_hz, buffer_size=PLUGIN_FRAMES, reset=False
        )
        return out


def _checked(blocks: Iterable[Audio], channels: int, frames: int) -> Iterator[Audio]:
    """The blocks that are not empty. Raises PromiseBroken for a wrong shape or total length."""
    seen_frames = 0
    for block in blocks:
        if block.ndim != 2 or block.shape[0] != channels:
            raise PromiseBroken(
                f"effects got a block of shape {block.shape} instead of {channels} channels"
            )
        seen_frames += block.shape[1]
        if seen_frames > frames:
            raise PromiseBroken(f"effects got more than {frames} frames")
        if block.shape[1]:
            yield block
    if seen_frames != frames:
        raise PromiseBroken(f"effects got {seen_frames} frames instead of {frames}")


def _minus_offsets(blocks: Iterable[Audio], offsets: npt.NDArray[np.float64]) -> Iterator[Audio]:
    for block in blocks:
        yield subtract_offsets(block, offsets[:, np.newaxis])


def _silence(channels: int, frames: int) -> Iterator[Audio]:
    for start in range(0, frames, BLOCK_FRAMES):
        yield np.zeros((channels, min(BLOCK_FRAMES, frames - start)), np.float32)
