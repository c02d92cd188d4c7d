"""What was measured, as plain values, and the sums over it. Pure."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.bench.measure import Usage

SEGMENT_GFLOP = 224.0  # one segment of HTDemucs, counted by torch.utils.flop_counter
SEGMENT_S = 39 / 5
SEGMENT_STRIDE_S = 0.75 * SEGMENT_S  # overlap 0.25


@dataclass(frozen=True)
class Spread:
    """Of one quantity over several runs."""

    least: float
    quarter: float
    median: float
    three_quarters: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Quartiles interpolate linearly between the runs (method 7 of Hyndman and Fan 1996)."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0], values[0])
        quarters = statistics.quantiles(values, n=4, method="inclusive")
        return cls(min(values), *quarters)


@dataclass
class Entry:
    """One program with one setting, in a race or alone.

    peer: whether it is what others are compared with. runs: timed. memory: of a run of its own.
    stages: our own seconds per stage, of each timed run. sums: the sha256 of its stems, likewise.
    snr_db: of each stem against the peer's. unlike: why they could not be compared.
    missing: why there are no figures.
    """

    name: str
    peer: bool = False
    runs: list[Usage] = field(default_factory=list)
    memory: Usage | None = None
    stages: list[Mapping[str, float]] = field(default_factory=list)
    snr_db: Mapping[str, float] = field(default_factory=dict)
    sums: list[tuple[str, ...]] = field(default_factory=list)
    unlike: str | None = None
    missing: str | None = None

    @property
    def wall_s(self) -> Spread | None:
        """None where no run was timed."""
        return Spread.of([run.wall_s for run in self.runs]) if self.runs else None

    @property
    def cpu_s(self) -> float | None:
        """The median."""
        known = [run.cpu_s for run in self.runs if run.cpu_s is not None]
        return statistics.median(known) if known else None

    @property
    def process_peak_bytes(self) -> int | None:
        """The highest of the kernel's peaks of one process, over all runs."""
        usages = [*self.runs, *([self.memory] if self.memory else [])]
        return max((u.process_peak_bytes for u in usages if u.process_peak_bytes), default=None)

    @property
    def peak_bytes(self) -> int | None:
        """The larger of both ways to measure it; each alone can only be too low.

        The sum misses what programs beside the command share with it, the kernel's peak all
        processes but one.
        """
        tree = self.memory.tree_peak_bytes if self.memory else None
        return max((size for size in (tree, self.process_peak_bytes) if size), default=None)

    @property
    def repeatable(self) -> bool | None:
        """Whether all runs gave the same bytes; None where there is nothing to compare."""
        return len(set(self.sums)) == 1 if len(self.sums) > 1 else None

    def stage_s(self) -> dict[str, float]:
        """The median of each of our stages, and the rest of the process ("start and end")."""
        if not self.stages:
            return {}
        names = list(dict.fromkeys(name for run in self.stages for name in run))
        medians = {
            name: statistics.median([run.get(name, 0.0) for run in self.stages]) for name in names
        }
        rest = [
            run.wall_s - sum(stages.values())
            for run, stages in zip(self.runs, self.stages, strict=True)
        ]
        return {**medians, "start and end": statistics.median(rest)}


@dataclass(frozen=True)
class Race:
    """Programs that separated the same file in turn; versions: of the peer's packages."""

    model: str
    seconds: float
    entries: tuple[Entry, ...]
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def reference(self) -> Entry | None:
        """The first peer that has figures."""
        return next((entry for entry in self.entries if entry.peer and entry.runs), None)


@dataclass(frozen=True)
class Length:
    """Our command on music of one length."""

    model: str
    minutes: float
    entry: Entry


@dataclass(frozen=True)
class Limits:
    """See `limits`: what the machine can do, by precision."""

    threads: int
    gflop_per_s: Mapping[str, float]
    segment_s: Mapping[str, float]

    def best_with(self, other: Limits) -> Limits:
        """The best of two looks: something else may have been running during one of them."""
        rates = _merged(max, self.gflop_per_s, other.gflop_per_s)
        return Limits(self.threads, rates, _merged(min, self.segment_s, other.segment_s))


def _merged(
    best: Callable[[list[float]], float], one: Mapping[str, float], other: Mapping[str, float]
) -> dict[str, float]:
    names = dict.fromkeys((*one, *other))
    return {name: best([kind[name] for kind in (one, other) if name in kind]) for name in names}


def ratios(reference: Entry, entry: Entry) -> tuple[float, float] | None:
    """How many times as fast as the reference: by the medians, by the minima."""
    theirs, ours = reference.wall_s, entry.wall_s
    if theirs is None or ours is None:
        return None
    return theirs.median / ours.median, theirs.least / ours.least


def segments(seconds: float) -> int:
    """Of HTDemucs for a file of this length, at the usual overlap."""
    return math.ceil(seconds / SEGMENT_STRIDE_S)


def segment_limit_s(gflop_per_s: float) -> float:
    """Of one segment, if all of it were matrix products at that rate."""
    return SEGMENT_GFLOP / gflop_per_s
