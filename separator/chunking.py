"""Segmentation of a stream and overlap-add of the outputs, on numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]


def _same(frames: int) -> int:
    return frames


@dataclass(frozen=True)
class SegmentSpan:
    """Position of one segment: its valid output and the input that it needs.

    start_frame: start of the output in the stream; frames outside the stream are silence.
    frames: length of the output.
    before_frames: context before the output.
    input_frames: length of the input.
    """

    start_frame: int
    frames: int
    before_frames: int
    input_frames: int

    @property
    def first_frame(self) -> int:
        """Start of the input in the stream."""
        return self.start_frame - self.before_frames

    @property
    def end_frame(self) -> int:
        """End of the input in the stream, exclusive."""
        return self.first_frame + self.input_frames


@dataclass(frozen=True)
class SegmentPlan:
    """Overlapping segments of equal length over a stream of any length.

    Segment `i` covers the frames from `start(i)` to `start(i) + length_frames`. The outputs of
    all segments, added where they overlap, are the output: a model applies its own transition
    window.
    """

    length_frames: int
    hop_frames: int
    lead_frames: int = 0  # of silence that the first segment takes before frame 0

    def __post_init__(self) -> None:
        if not 0 < self.hop_frames <= self.length_frames:
            raise ValueError(f"the hop must be 1..{self.length_frames}, not {self.hop_frames}")
        if self.lead_frames < 0:
            raise ValueError("the lead must not be negative")

    @property
    def context_frames(self) -> int:
        """Upper limit of a segment's context before its output."""
        return 0

    @property
    def window(self) -> FloatArray | None:
        """(length_frames,) weights of a segment's output; None: it has its weights already."""
        return None

    def start(self, index: int) -> int:
        """First frame of segment `index`; negative inside the lead."""
        return index * self.hop_frames - self.lead_frames

    def count(self, total_frames: int) -> int:
        """Number of segments in a stream of `total_frames`: those that start before its end."""
        if total_frames <= 0:
            return 0
        return -(-(total_frames + self.lead_frames) // self.hop_frames)

    def cut(self, index: int, total_frames: int | None = None) -> SegmentSpan:
        """Span of segment `index`; total_frames: length of the stream, None before its end."""
        del total_frames  # the last segment is padded with silence
        return SegmentSpan(self.start(index), self.length_frames, 0, self.length_frames)


@dataclass(frozen=True)
class TransitionPlan(SegmentPlan):
    """Cross-faded segments: the weighted mean of all segments that cover a frame.

    The weights rise and fall linearly and are raised to `power`. The last segments end with the
    stream. A model that needs valid_frames(n) of input for n of output gets context from the
    stream on both sides, and silence only outside the stream.
    """

    power: float = 1.0
    valid_frames: Callable[[int], int] = _same

    @property
    def context_frames(self) -> int:
        """The input length of the longest segment, as an upper limit."""
        return self.valid_frames(self.length_frames)

    @property
    def window(self) -> FloatArray:
        """A triangle with a peak of 1; its flanks differ by at most one frame."""
        half = self.length_frames // 2
        rise = np.arange(1, half + 1, dtype=np.float32)
        fall = np.arange(self.length_frames - half, 0, -1, dtype=np.float32)
        triangle = np.concatenate([rise, fall])
        weights: FloatArray = (triangle / triangle.max()) ** np.float32(self.power)
        return weights

    def cut(self, index: int, total_frames: int | None = None) -> SegmentSpan:
        """See `SegmentPlan.cut`."""
        start = self.start(index)
        frames = self.length_frames
        if total_frames is not None:
            frames = min(frames, total_frames - start)
        wanted = self.valid_frames(frames)
        return SegmentSpan(start, frames, (wanted - frames) // 2, wanted)


class Segmenter:
    """Cuts a stream of blocks (..., frames) into the segments of a plan.

    Holds one segment, its context and one block at most.
    """

    def __init__(self, plan: SegmentPlan) -> None:
        self._plan = plan
        self._buffer: FloatArray | None = None
        self._first = -plan.lead_frames - plan.context_frames  # frame at which the buffer begins
        self._next = 0
        self._seen_frames = 0

    def push(self, block: FloatArray) -> Iterator[tuple[SegmentSpan, FloatArray]]:
        """Segments with complete input: (span, input (..., span.input_frames))."""
        self._seen_frames += block.shape[-1]
        if self._buffer is None:
            lead = np.zeros((*block.shape[:-1], -self._first), np.float32)
            self._buffer = np.concatenate([lead, block], axis=-1)
        else:
            self._buffer = np.concatenate([self._buffer, block], axis=-1)
        while True:
            cut = self._plan.cut(self._next)
            if max(cut.end_frame, cut.start_frame + cut.frames) > self._seen_frames:
                return
            yield self._take(cut)

    def finish(self) -> Iterator[tuple[SegmentSpan, FloatArray]]:
        """The remaining segments, with silence after the end."""
        if self._buffer is None:
            return
        while self._next < self._plan.count(self._seen_frames):
            cut = self._plan.cut(self._next, self._seen_frames)
            missing = cut.end_frame - self._first - self._buffer.shape[-1]
            if missing > 0:
                silence = np.zeros((*self._buffer.shape[:-1], missing), np.float32)
                self._buffer = np.concatenate([self._buffer, silence], axis=-1)
            yield self._take(cut)

    def _take(self, cut: SegmentSpan) -> tuple[SegmentSpan, FloatArray]:
        assert self._buffer is not None
        first = cut.first_frame - self._first
        segment = self._buffer[..., first : first + cut.input_frames]
        self._next += 1
        keep = self._plan.start(self._next) - self._plan.context_frames
        self._buffer = self._buffer[..., max(keep - self._first, 0) :]
        self._first = max(keep, self._first)
        return cut, segment


class OverlapAdd:
    """Overlap-add of segment outputs; returns frames once no later segment can change them."""

    def __init__(self, plan: SegmentPlan) -> None:
        self._plan = plan
        self._window = plan.window
        self._tail: FloatArray | None = None  # begins at the start of the next segment
        self._weight: FloatArray | None = None  # of the tail's frames
        self._skip_frames = plan.lead_frames  # still to be dropped: they lie before frame 0

    def push(self, cut: SegmentSpan, output: FloatArray) -> FloatArray:
        """Add one output (..., cut.frames); returns the finished frames (..., n)."""
        if self._window is None:
            total = np.array(output, dtype=np.float32)
        else:
            total = output * self._window[: cut.frames]
        hop = self._plan.hop_frames
        if self._tail is not None:
            total[..., : self._tail.shape[-1]] += self._tail
        self._tail = total[..., hop:]
        return self._past_lead(self._weighted(total[..., :hop], cut))

    def finish(self) -> FloatArray | None:
        """Remaining frames after the last segment: (..., n) or None."""
        tail, self._tail = self._tail, None
        if tail is None:
            return None
        return self._past_lead(tail if self._weight is None else tail / self._weight)

    def _weighted(self, done: FloatArray, cut: SegmentSpan) -> FloatArray:
        """Divide the sum by the weights, if the plan has any."""
        if self._window is None:
            return done
        weight = self._window[: cut.frames].copy()
        if self._weight is not None:
            weight[: len(self._weight)] += self._weight
        self._weight = weight[self._plan.hop_frames :]
        return np.divide(done, weight[: self._plan.hop_frames], out=done)

    def _past_lead(self, frames: FloatArray) -> FloatArray:
        skip = min(self._skip_frames, frames.shape[-1])
        self._skip_frames -= skip
        return frames[..., skip:]


def regroup(blocks: Iterator[FloatArray], least_frames: int) -> Iterator[FloatArray]:
    """Merge blocks (..., frames) to at least `least_frames` each, except the last.

    A live source may deliver single frames, and each block has a fixed cost downstream.
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
    """FIFO of frames: blocks in, blocks of other sizes out."""

    def __init__(self) -> None:
        self._blocks: list[FloatArray] = []
        self.held_frames = 0

    def push(self, block: FloatArray) -> None:
        """Append a block (..., frames)."""
        if block.shape[-1]:
            self._blocks.append(block)
            self.held_frames += block.shape[-1]

    def take(self, frames: int) -> FloatArray:
        """The oldest `frames` frames; raises ValueError when fewer are held."""
        if frames > self.held_frames:
            raise ValueError(f"{frames} frames requested, {self.held_frames} held")
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
