"""Base classes of the models, as used by the streaming engine.

A `WaveformModel` is a network for overlapping segments with cross-faded outputs; a `SegmentModel`
defines its own segments, with outputs that are added.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from separator.chunking import SegmentPlan


class SegmentModel(nn.Module, ABC):
    """A separation model with a segmentation of its own.

    sources: names of the stems, in the order of the output's second axis.
    rate_hz: sample rate of the training data.
    channels: number of channels of the mixture.
    plan: the segmentation; overlap-added outputs of `segment` are the output.
    needs_statistics: whether a first pass over the recording must fill `statistics`.
    concurrent_segments: segments computed in parallel on a CPU, each with its own memory.
    takes_bfloat16: whether `to_bfloat16` is supported; see `precision`.
    """

    sources: tuple[str, ...]
    rate_hz: int
    channels: int
    plan: SegmentPlan
    needs_statistics: bool = False
    concurrent_segments: int = 1
    takes_bfloat16: bool = False

    def to_bfloat16(self) -> None:
        """Casts the weights of all that may be less exact; inputs and outputs stay float32."""
        raise NotImplementedError(f"{type(self).__name__} computes in float32")

    @abstractmethod
    def segment(self, mixture: Tensor, statistics: Any = None) -> Tensor:
        """(batch, channels, plan.length_frames) -> (batch, stems, channels, length), float32."""

    def new_statistics(self, batch: int) -> Any:
        """Empty statistics of a recording, for models that need a first pass."""
        raise NotImplementedError(f"{type(self).__name__} needs no statistics")

    def observe(self, mixture: Tensor, statistics: Any) -> None:
        """Add one segment (batch, channels, length) to the statistics."""
        raise NotImplementedError(f"{type(self).__name__} needs no statistics")

    def forward(self, mixture: Tensor) -> Tensor:
        """(batch, channels, frames) -> (batch, stems, channels, frames), float32, any length."""
        batch, channels, frames = mixture.shape
        plan = self.plan
        count = plan.count(frames)
        end = plan.start(count - 1) + plan.length_frames if count else 0
        padded = nn.functional.pad(mixture, (plan.lead_frames, max(end - frames, 0)))

        def cut(index: int) -> Tensor:
            first = plan.start(index) + plan.lead_frames
            return padded[..., first : first + plan.length_frames]

        statistics = None
        if self.needs_statistics:
            statistics = self.new_statistics(batch)
            for index in range(count):
                self.observe(cut(index), statistics)
        shape = (batch, len(self.sources), channels, padded.shape[-1])
        total = torch.zeros(shape, dtype=mixture.dtype, device=mixture.device)
        for index in range(count):
            first = plan.start(index) + plan.lead_frames
            total[..., first : first + plan.length_frames] += self.segment(cut(index), statistics)
        return total[..., plan.lead_frames : plan.lead_frames + frames]


class WaveformModel(nn.Module, ABC):
    """A network from the mixture's waveform to the stems' waveforms, as released.

    sources: names of the stems, in the order of the output's second axis.
    rate_hz: sample rate of the training data.
    channels: number of channels of the mixture.
    segment_s: segment length of the official program, in seconds.
    fixed_segment: whether longer segments are not possible.
    concurrent_segments: segments computed in parallel on a CPU, each with its own memory.
    takes_bfloat16: whether `to_bfloat16` is supported; see `precision`.
    """

    sources: tuple[str, ...]
    rate_hz: int
    channels: int
    segment_s: float
    fixed_segment: bool = False
    concurrent_segments: int = 1
    takes_bfloat16: bool = False

    def to_bfloat16(self) -> None:
        """Casts the weights of all that may be less exact; inputs and outputs stay float32."""
        raise NotImplementedError(f"{type(self).__name__} computes in float32")

    def valid_frames(self, frames: int) -> int:
        """Input length, at least `frames`, for `frames` of valid output.

        The engine adds context from both sides of the segment.
        """
        return frames

    @abstractmethod
    def forward(self, mixture: Tensor) -> Tensor:
        """(batch, channels, frames) -> (batch, stems, channels, n), float32.

        n is `frames`, or less by the same number on both sides; from valid_frames(f), at least f.
        """
