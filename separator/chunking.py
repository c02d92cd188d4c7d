"""Segments of a stream: where each starts, how its blocks are gathered, how outputs are added up.

Everything here is arithmetic on numpy arrays: no model, no clock, no file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class SegmentPlan:
    """Overlapping segments of equal length over a stream of any length.

    Segment `i` covers the frames from `start(i)` to `start(i) + length_frames`; what lies before
    frame 0 or past the end is silence. The outputs of all segments, added where they overlap,
    are the output: a model applies its own transition window.
    """

    length_frames: int
    hop_frames: int
    lead_frames: int = 0  # of silence that the first segment takes before frame 0

    def __post_init__(self) -> None:
        if not 0 < self.hop_frames <= self.length_frames:
            raise ValueError(f"the hop must be 1..{self.length_frames}, not {self.hop_frames}")
        if not 0 <= self.lead_frames < self.length_frames:
            raise ValueError(f"the lead must be 0..{self.length_frames - 1} frames")

    def start(self, index: int) -> int:
        """First frame of segment `index`; negative inside the lead."""
        return index * self.hop_frames - self.lead_frames

    def count(self, total_frames: int) -> int:
        """How many segments a stream of `total_frames` needs: each begins before its end."""
        if total_frames <= 0:
            return 0
        return -(-(total_frames + self.lead_frames) // self.hop_frames)


class Segmenter:
    """Cuts a stream of blocks (..., frames) into the segments of a plan.

    Holds one segment and one block at most.
    """

    def __init__(self, plan: SegmentPlan) -> None:
        self._plan = plan
        self._buffer: FloatArray | None = None  # begins at start(self._next)
        self._next = 0
        self._seen_frames = 0

    def push(self, block: FloatArray) -> Iterator[FloatArray]:
        """The segments that `block` (..., frames) completes, each (..., length_frames)."""
        self._seen_frames += block.shape[-1]
        if self._buffer is None:
            lead = np.zeros((*block.shape[:-1], self._plan.lead_frames), np.float32)
            self._buffer = np.concatenate([lead, block], axis=-1)
        else:
            self._buffer = np.concatenate([self._buffer, block], axis=-1)
        while self._buffer.shape[-1] >= self._plan.length_frames:
            yield self._take()

    def finish(self) -> Iterator[FloatArray]:
        """The remaining segments, with silence after the end."""
        if self._buffer is None:
            return
        while self._next < self._plan.count(self._seen_frames):
            missing = self._plan.length_frames - self._buffer.shape[-1]
            if missing > 0:
                silence = np.zeros((*self._buffer.shape[:-1], missing), np.float32)
                self._buffer = np.concatenate([self._buffer, silence], axis=-1)
            yield self._take()

    def _take(self) -> FloatArray:
        assert self._buffer is not None
        segment = self._buffer[..., : self._plan.length_frames]
        self._buffer = self._buffer[..., self._plan.hop_frames :]
        self._next += 1
        return segment


class OverlapAdd:
    """Adds up segment outputs and hands out the frames that no later segment can change."""

    def __init__(self, plan: SegmentPlan) -> None:
        self._plan = plan
        self._tail: FloatArray | None = None  # begins at the start of the next segment
        self._skip_frames = plan.lead_frames  # still to be dropped: they lie before frame 0

    def push(self, segment: FloatArray) -> FloatArray:
        """Adds one output (..., length_frames); returns the finished frames (..., n)."""
        total = np.array(segment, dtype=np.float32)
        if self._tail is not None:
            total[..., : self._tail.shape[-1]] += self._tail
        self._tail = total[..., self._plan.hop_frames :]
        return self._past_lead(total[..., : self._plan.hop_frames])

    def finish(self) -> FloatArray | None:
        """What is left after the last segment: (..., length_frames - hop_frames) or None."""
        tail, self._tail = self._tail, None
        return None if tail is None else self._past_lead(tail)

    def _past_lead(self, frames: FloatArray) -> FloatArray:
        skip = min(self._skip_frames, frames.shape[-1])
        self._skip_frames -= skip
        return frames[..., skip:]


def regroup(blocks: Iterator[FloatArray], least_frames: int) -> Iterator[FloatArray]:
    """The same frames in blocks (..., frames) of at least `least_frames`, but for the last.

    A live source may deliver single frames; what follows has a cost per block.
    """
    held: list[FloatArray] = []
    held_frames = 0
    for block in blocks:
        held.append(block)
        held_frames += block.shape[-1]
        if held_frames >= least_frames:
            yield held[0] if len(held) == 1 else np.concatenate(held, axis=-1)
            held, held_frames = [], 0
    if held:
        yield held[0] if len(held) == 1 else np.concatenate(held, axis=-1)


class Queue:
    """Frames in, the same frames out in other block sizes; holds what has not been taken."""

    def __init__(self) -> None:
        self._blocks: list[FloatArray] = []
        self.held_frames = 0

    def push(self, block: FloatArray) -> None:
        """Appends (..., frames)."""
        if block.shape[-1]:
            self._blocks.append(block)
            self.held_frames += block.shape[-1]

    def take(self, frames: int) -> FloatArray:
        """The oldest `frames` frames; raises ValueError when fewer are held."""
        if frames > self.held_frames:
            raise ValueError(f"{frames} frames asked for, {self.held_frames} held")
        taken: list[FloatArray] = []
        missing = frames
        while missing:
            block = self._blocks[0]
            taken.append(block[..., :missing])
            if block.shape[-1] > missing:
                self._blocks[0] = block[..., missing:]
            else:
                self._blocks.pop(0)
            missing -= taken[-1].shape[-1]
        self.held_frames -= frames
        return taken[0] if len(taken) == 1 else np.concatenate(taken, axis=-1)
