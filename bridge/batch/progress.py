"""Progress of a running batch: the state of each bounce, updated by the service's events."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from bridge.batch.pace import Pace, RemainingJob

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bridge.batch.pace import Kind
    from bridge.batch.plan import Item
    from bridge.ledger.states import Job, Recipe
    from bridge.publish.manifest import Manifest


class ProgressState(str, Enum):
    """Where a bounce stands in a running batch."""

    WAITING = "waiting"
    RUNNING = "running"
    RETRY = "again later"
    DONE = "done"
    SAME = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"
    LEFT = "left"


# A released job (LEFT) may start again: when the disk has room, or as a newer render.
_ENDED = frozenset(
    {ProgressState.DONE, ProgressState.SAME, ProgressState.SKIPPED, ProgressState.FAILED}
)


@dataclass(frozen=True)
class BounceProgress:
    """One bounce: its state, and of a running one the stage and its share done (0..1)."""

    source: str
    kind: Kind
    audio_s: float = 0.0
    state: ProgressState = ProgressState.WAITING
    stage: str = ""
    share: float = 0.0
    begun_s: float = 0.0
    text: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether this state is final."""
        return self.state in _ENDED


class Progress:
    """Event listener that keeps the state of each bounce; see `bridge.service.events`.

    overall: the share done of a whole job, given a stage and its share. clock: monotonic seconds.
    """

    def __init__(
        self,
        items: Mapping[Item, float],
        pace: Pace,
        *,
        overall: Callable[[str, float], float],
        workers: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._overall, self._pace, self._workers, self._clock = overall, pace, workers, clock
        self._lock = threading.Lock()
        self._lines = {
            item.source: BounceProgress(str(item.source), _kind(item.recipe), audio_s)
            for item, audio_s in items.items()
        }
        self.paused: str | None = None

    @property
    def lines(self) -> tuple[BounceProgress, ...]:
        """Progress of all bounces, in the order of the plan."""
        with self._lock:
            return tuple(self._lines.values())

    def by_source(self) -> dict[Path, BounceProgress]:
        """Progress by the bounce's path, relative to the batch's folder."""
        with self._lock:
            return dict(self._lines)

    def remaining_s(self) -> float | None:
        """Estimated seconds until all is done; None before any measurement."""
        now_s = self._clock()
        with self._lock:
            left = [
                RemainingJob(line.kind, line.audio_s, line.share, now_s - line.begun_s)
                if line.state is ProgressState.RUNNING
                else RemainingJob(line.kind, line.audio_s)
                for line in self._lines.values()
                if not line.has_ended
            ]
            return self._pace.remaining_s(left, self._workers)

    def note(self, text: str) -> None:
        """See `bridge.service.events.EventListener`."""

    def event(self, name: str, text: str, **facts: object) -> None:
        """See `bridge.service.events.EventListener`."""
        if name in {"paused", "resumed"}:
            self.paused = str(facts.get("reason", text)) if name == "paused" else None

    def started(self, job: Job) -> None:
        """See `bridge.service.events.EventListener`."""
        begun_s = self._clock()
        self._put(job, state=ProgressState.RUNNING, stage="", share=0.0, begun_s=begun_s, text="")

    def progress(self, job: Job, stage: str, share: float) -> None:
        """See `bridge.service.events.EventListener`."""
        self._put(job, stage=stage, share=self._overall(stage, share))

    def done(self, job: Job, manifest: Manifest) -> None:
        """See `bridge.service.events.EventListener`."""
        line = self._put(
            job, state=ProgressState.DONE, stage="", share=1.0, audio_s=manifest.duration_s
        )
        with self._lock:
            if not manifest.source.is_silent:
                self._pace.add(line.kind, line.audio_s, self._clock() - line.begun_s)

    def skipped(self, job: Job) -> None:
        """See `bridge.service.events.EventListener`."""
        state = ProgressState.SKIPPED if job.has_no_stems else ProgressState.SAME
        self._put(job, state=state, stage="", share=1.0, text=job.reason or "")

    def failed(self, job: Job, reason: str, *, retry: bool) -> None:
        """See `bridge.service.events.EventListener`."""
        state = ProgressState.RETRY if retry else ProgressState.FAILED
        self._put(job, state=state, stage="", share=0.0, text=reason)

    def released(self, job: Job, reason: str) -> None:
        """See `bridge.service.events.EventListener`."""
        self._put(job, state=ProgressState.LEFT, stage="", share=0.0, text=reason)

    def _put(self, job: Job, **changes: object) -> BounceProgress:
        """Update a bounce; one that is not in the plan is added."""
        with self._lock:
            line = self._lines.get(job.source_path) or BounceProgress(
                str(job.source_path), _kind(job.recipe)
            )
            line = replace(line, kind=_kind(job.recipe), **changes)  # type: ignore[arg-type]
            self._lines[job.source_path] = line
            return line


def _kind(recipe: Recipe) -> Kind:
    return recipe.model, recipe.preset_hash
