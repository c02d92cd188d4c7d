"""Estimate of a batch's remaining time from measured speeds. Pure.

Speeds of models differ by an order of magnitude, so they are kept per kind of job (model and
preset). An unmeasured kind is assumed to have the mean speed of the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    Kind = tuple[str, str]  # model, hash of the preset

# Progress from which a running job's speed counts: before it, reading the file and loading the
# model dominate.
_TELLING_SHARE = 0.1


@dataclass(frozen=True)
class RemainingJob:
    """An unfinished job: its audio in seconds; share done (0..1) and run time if it is running."""

    kind: Kind
    audio_s: float
    share: float = 0.0
    running_s: float = 0.0


@dataclass
class Pace:
    """Measured seconds of work per second of audio."""

    _measured: dict[Kind, tuple[float, float]] = field(default_factory=dict)

    def add(self, kind: Kind, audio_s: float, work_s: float) -> None:
        """Record a finished job; not a silent one, which is not separated."""
        if audio_s > 0:
            audio, work = self._measured.get(kind, (0.0, 0.0))
            self._measured[kind] = (audio + audio_s, work + work_s)

    def remaining_s(self, left: Iterable[RemainingJob], workers: int = 1) -> float | None:
        """Estimated seconds until all jobs are done; None before any measurement.

        workers: number of jobs at a time. Waits before another attempt are not included.
        """
        jobs = list(left)
        running = [one for one in jobs if one.share >= _TELLING_SHARE and one.audio_s > 0]
        known = dict(self._measured)
        for one in running:
            audio, work = known.get(one.kind, (0.0, 0.0))
            known[one.kind] = (audio + one.share * one.audio_s, work + one.running_s)
        audio_s, work_s = (sum(column) for column in zip((0.0, 0.0), *known.values(), strict=True))
        if not jobs:
            return 0.0
        if not audio_s:
            return None
        work = 0.0
        for one in jobs:
            heard_s, took_s = known.get(one.kind, (audio_s, work_s))
            work += (1 - one.share) * one.audio_s * took_s / heard_s
        return work / max(1, min(workers, len(jobs)))


def format_duration(seconds: float) -> str:
    """A duration for display, with the precision of an estimate."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest_s = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes} min {rest_s:02} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
