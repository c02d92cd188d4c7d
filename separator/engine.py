"""The streaming engine: blocks of a mixture in, blocks of the mixture and its stems out.

    mixture ─► rate of the model ─► lanes: segments ─► network ─► overlap-add ─► weighted mean
       └──────────── waits for its stems ───────────────── rate of the mixture ◄─────┘

Memory does not depend on the length of the audio: every queue here is emptied as soon as the
next step can take what is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from separator.chunking import OverlapAdd, Queue, Segmenter, regroup
from separator.errors import InputError
from separator.resampling import Resampler
from separator.stereo_pairs import StereoPairs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from separator.chunking import SegmentSpan
    from separator.strategy import Lane, Strategy

    FloatArray = NDArray[np.float32]

LEAST_BLOCK_FRAMES = 4096  # smaller blocks are gathered: each costs a call into the resampler


@dataclass(frozen=True)
class Engine:
    """Runs a strategy over a stream of blocks.

    model_rate_hz: sample rate of the networks. stems: number of their outputs.
    """

    strategy: Strategy
    model_rate_hz: int
    stems: int

    def measure(self, blocks: Iterable[FloatArray], rate_hz: int) -> Any:
        """Statistics of the whole recording, by a first pass; None if it is empty."""
        intake: _InputStage | None = None
        first_pass: Any = None
        for block in regroup(iter(blocks), LEAST_BLOCK_FRAMES):
            if intake is None:
                intake = _InputStage(self.model_rate_hz, rate_hz, len(block))
                first_pass = self.strategy.first_pass(intake.pairs.pairs)
            first_pass.push(intake.push(block))
        if intake is None:
            return None
        first_pass.push(intake.finish())
        return first_pass.result()

    def stream(
        self, blocks: Iterable[FloatArray], rate_hz: int, statistics: Any
    ) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Separate a recording block by block.

        Args:
            blocks: (channels, frames) float32 each.
            rate_hz: sample rate of the blocks.
            statistics: result of `measure`, or None for a strategy with one pass.

        Yields:
            Mixture (channels, n) and stems (stems, channels, n); the n add up to the frames of
            the input.

        Raises:
            InputError: a block has another number of channels than the first.
        """
        run = _StreamState(self, rate_hz, statistics)
        for cut, lane, output in self.strategy.placement.run(run.compute, run.tasks(blocks)):
            lane.add(cut, output)
            yield from run.ready()
        yield from run.finish()


@dataclass(frozen=True)
class _Task:
    """One segment to compute with one network."""

    lane: _LaneState
    cut: SegmentSpan
    mixture: FloatArray

    @property
    def kind(self) -> object:
        """Key that the tasks of a batch share."""
        return self.lane, self.cut.frames, self.mixture.shape


class _StreamState:
    """The state of one stream."""

    def __init__(self, engine: Engine, rate_hz: int, statistics: Any) -> None:
        self._engine = engine
        self._rate_hz = rate_hz
        self._statistics = statistics
        self._lanes = [_LaneState(lane) for lane in engine.strategy.lanes]
        self._output: _OutputStage | None = None

    def tasks(self, blocks: Iterable[FloatArray]) -> Iterator[_Task]:
        """Segments to compute, lane by lane as the mixture arrives."""
        intake: _InputStage | None = None
        for block in regroup(iter(blocks), LEAST_BLOCK_FRAMES):
            if intake is None:
                intake = _InputStage(self._engine.model_rate_hz, self._rate_hz, len(block))
                self._output = _OutputStage(self._engine, self._rate_hz, intake.pairs)
            assert self._output is not None
            mixture = intake.push(block)
            self._output.expect(block)
            yield from self._cut(mixture)
        if intake is not None:
            yield from self._cut(intake.finish())
            for lane in self._lanes:
                for cut, segment in lane.segmenter.finish():
                    yield _Task(lane, cut, segment)

    def _cut(self, mixture: FloatArray) -> Iterator[_Task]:
        mixture = self._engine.strategy.prepare(mixture, self._statistics)
        for lane in self._lanes:
            for cut, segment in lane.segmenter.push(mixture):
                yield _Task(lane, cut, segment)

    def compute(self, tasks: Sequence[_Task]) -> list[tuple[SegmentSpan, _LaneState, FloatArray]]:
        """Outputs of a batch of segments; the only method that runs in worker threads."""
        lane, frames = tasks[0].lane, tasks[0].cut.frames
        mixture = (
            np.concatenate([task.mixture for task in tasks]) if tasks[1:] else tasks[0].mixture
        )
        outputs = lane.lane.run(mixture, self._statistics, frames)
        return [
            (task.cut, lane, output)
            for task, output in zip(tasks, np.split(outputs, len(tasks)), strict=True)
        ]

    def ready(self) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Frames that all lanes have finished."""
        assert self._output is not None
        frames = min(lane.done.held_frames for lane in self._lanes)
        if frames:
            mean = self._lanes[0].take(frames)
            for lane in self._lanes[1:]:
                mean = mean + lane.take(frames)
            yield from self._output.push(self._engine.strategy.restore(mean, self._statistics))

    def finish(self) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Remaining frames after the last segment."""
        if self._output is None:
            return
        for lane in self._lanes:
            lane.end()
        yield from self.ready()
        yield from self._output.finish()


class _LaneState:
    """Input segmenter and output queue of one lane."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.segmenter = Segmenter(lane.plan)
        self.done = Queue()  # (pairs, stems, 2, n) each
        self._overlap_add = OverlapAdd(lane.plan)

    def add(self, cut: SegmentSpan, output: FloatArray) -> None:
        """Add the network's output of one segment."""
        self.done.push(self._overlap_add.push(cut, output))

    def end(self) -> None:
        """Flush the overlap after the last segment."""
        tail = self._overlap_add.finish()
        if tail is not None:
            self.done.push(tail)

    def take(self, frames: int) -> FloatArray:
        """The lane's weighted contribution to the mean."""
        block = self.done.take(frames)
        return block if self.lane.share is None else block * self.lane.share


class _InputStage:
    """Converts blocks of the mixture to stereo pairs (pairs, 2, n) at the model's rate."""

    def __init__(self, model_rate_hz: int, rate_hz: int, channels: int) -> None:
        self.pairs = StereoPairs(channels)
        self._resampler = Resampler(rate_hz, model_rate_hz, channels)

    def push(self, block: FloatArray) -> FloatArray:
        if len(block) != self.pairs.channels:
            raise InputError(
                f"a block has {len(block)} channels, the ones before had {self.pairs.channels}"
            )
        return self.pairs.split(self._resampler.push(block))

    def finish(self) -> FloatArray:
        return self.pairs.split(self._resampler.finish())


class _OutputStage:
    """Converts stems of the pairs at the model's rate to blocks at the mixture's rate."""

    def __init__(self, engine: Engine, rate_hz: int, pairs: StereoPairs) -> None:
        self._pairs = pairs
        self._stems = engine.stems
        self._resampler = Resampler(engine.model_rate_hz, rate_hz, self._stems * pairs.channels)
        self._mixture = Queue()

    def expect(self, mixture: FloatArray) -> None:
        """Hold a block (channels, frames) of the mixture until its stems are ready."""
        self._mixture.push(mixture)

    def push(self, stems: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Blocks that become complete with stems (pairs, stems, 2, frames)."""
        rows = self._stems * self._pairs.channels
        yield from self._emit(self._resampler.push(self._pairs.join(stems).reshape(rows, -1)))

    def finish(self) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Remaining blocks, up to the last frame of the mixture."""
        yield from self._emit(self._resampler.finish())
        missing = self._mixture.held_frames
        if missing:  # two roundings of the rate conversion, or less than a frame at its rate
            rows = self._stems * self._pairs.channels
            yield from self._emit(np.zeros((rows, missing), np.float32))

    def _emit(self, rows: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
        frames = min(rows.shape[1], self._mixture.held_frames)  # silence after the end is cut
        if frames:
            stems = rows[:, :frames].reshape(self._stems, self._pairs.channels, frames)
            yield self._mixture.take(frames), stems
