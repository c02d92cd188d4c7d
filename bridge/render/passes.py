"""Staged audio through a chain, a pass over it for each part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.effects.chain import render
from bridge.effects.registry import DcRemoval, parts
from bridge.render.mixing import with_silence
from bridge.render.staged import stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from bridge.effects.registry import Effect
    from bridge.render.staged import Staged
    from bridge.render.stopwatch import Stopwatch

    Audio = NDArray[np.float32]


@dataclass(frozen=True)
class ChainRunner:
    """What all chains of a job have in common. frames: of what comes out."""

    folder: Path
    rate_hz: int
    channels: int
    frames: int
    watch: Stopwatch

    def through(self, label: str, dry: Staged, chain: Sequence[Effect], *, keep: bool) -> Staged:
        """After a chain, part by part; what has the files' length and no chain, itself.

        label: what files are called. keep: leave the dry audio on disk.
        """
        wet, longer_by, todo = dry, self.frames - dry.measure.frames, parts(chain)
        if longer_by and not todo:
            padded = with_silence(dry, self.channels, longer_by)
            wet = stage(self.folder / f"{label}.longer", self.channels, padded)
        centred = not longer_by and bool(todo) and _only_centres(todo[-1])
        for number, part in enumerate(todo[:-1] if centred else todo):
            path = self.folder / f"{label}.part{number}"
            after = self._part(wet, part, path, 0 if number else longer_by)
            if wet is not dry:
                wet.remove()
            wet = after
        if wet is not dry and not keep:
            dry.remove()
        return wet.centred() if centred else wet

    def _part(self, wet: Staged, part: Sequence[Effect], path: Path, tail_frames: int) -> Staged:
        with self.watch.stage("chain") as report:
            rendered = render(
                wet,
                part,
                rate_hz=self.rate_hz,
                channels=self.channels,
                frames=wet.measure.frames,
                offsets=wet.measure.mean if isinstance(part[0], DcRemoval) else None,
                tail_frames=tail_frames,
            )
            return stage(path, self.channels, with_progress(rendered, report, self.frames))


def _only_centres(part: Sequence[Effect]) -> bool:
    """Whether nothing but a constant is taken away: that is done as the audio is read."""
    return len(part) == 1 and isinstance(part[0], DcRemoval) and part[0].highpass_hz is None


def with_progress(
    blocks: Iterable[Audio], report: Callable[[float], None], frames: int
) -> Iterator[Audio]:
    """The same blocks; `report` hears the share of `frames` done after each."""
    done = 0
    for block in blocks:
        yield block
        done += block.shape[1]
        report(done / frames)
