"""What the streaming engine asks of a model.

Two kinds: a `WaveformModel` is a network that is run on overlapping segments, whose outputs are
cross-faded; a `SegmentModel` says itself which segments it works on, and their outputs add up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from separator.chunking import SegmentPlan


class SegmentModel(nn.Module, ABC):
    """A separation model that works on segments of a plan and sums to the whole.

    sources: names of the stems, in the order of the output's second axis.
    rate_hz: the rate that it was trained at.
    channels: channels of the mixture that it takes.
    plan: its segments; the outputs of `segment`, overlap-added, are the output of the whole.
    needs_statistics: whether a first pass over the recording has to fill `statistics`.
    concurrent_segments: how many to compute side by side on a CPU, each with its own memory.
    takes_bfloat16: whether it has a `to_bfloat16` whose loss was measured; see `precision`.
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
        """Adds one segment (batch, channels, length) to the statistics."""
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
    """A network from the mixture's waveform to those of its stems, as released.

    sources: names of the stems, in the order of the output's second axis.
    rate_hz: the rate that it was trained at.
    channels: channels of the mixture that it takes.
    segment_s: length of the segments that the official program runs it on, in seconds.
    fixed_segment: whether it can take no longer segments than that.
    concurrent_segments: how many to compute side by side on a CPU, each with its own memory.
    takes_bfloat16: whether it has a `to_bfloat16` whose loss was measured; see `precision`.
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
        """The length, at least `frames`, that the network wants to see for `frames` of output.

        The engine fills up on both sides with what lies around the segment.
        """
        return frames

    @abstractmethod
    def forward(self, mixture: Tensor) -> Tensor:
        """(batch, channels, frames) -> (batch, stems, channels, n), float32.

        n is `frames`, or less by as much on both sides. From valid_frames(f) it is f at least.
        """
