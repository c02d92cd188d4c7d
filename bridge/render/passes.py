"""Chains over staged audio: one pass for each part of a chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.effects.chain import render
from bridge.effects.registry import DcRemoval, split_passes
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
    """Renders the chains of a job to staged audio of `frames` frames."""

    folder: Path
    rate_hz: int
    channels: int
    frames: int
    watch: Stopwatch

    def render_chain(
        self, label: str, dry: Staged, chain: Sequence[Effect], *, keep: bool
    ) -> Staged:
        """Render a chain pass by pass.

        Args:
            label: prefix of the staged files.
            dry: the input.
            chain: the effects.
            keep: leave the dry audio on disk.

        Returns:
            The rendered audio; `dry` itself where there is nothing to do.
        """
        wet, missing_frames, todo = dry, self.frames - dry.statistics.frames, split_passes(chain)
        if missing_frames and not todo:
            padded = with_silence(dry, self.channels, missing_frames)
            wet = stage(self.folder / f"{label}.longer", self.channels, padded)
        centred = not missing_frames and bool(todo) and _is_offset_only(todo[-1])
        for number, part in enumerate(todo[:-1] if centred else todo):
            path = self.folder / f"{label}.part{number}"
            after = self._part(wet, part, path, 0 if number else missing_frames)
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
                frames=wet.statistics.frames,
                offsets=wet.statistics.mean if isinstance(part[0], DcRemoval) else None,
                tail_frames=tail_frames,
            )
            return stage(path, self.channels, with_progress(rendered, report, self.frames))


def _is_offset_only(part: Sequence[Effect]) -> bool:
    """Whether a part only subtracts the mean, which `Staged.centred` does on reading."""
    return len(part) == 1 and isinstance(part[0], DcRemoval) and part[0].highpass_hz is None


def with_progress(
    blocks: Iterable[Audio], report: Callable[[float], None], frames: int
) -> Iterator[Audio]:
    """Yield the blocks and report progress after each.

    Args:
        blocks: float32 (channels, any number of frames).
        report: called with the share done, from 0 to 1.
        frames: total length.
    """
    done = 0
    for block in blocks:
        yield block
        done += block.shape[1]
        report(done / frames)
