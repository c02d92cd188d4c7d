"""What the project wants to reach, beside what was measured. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench import results
from tests.bench.report import chain_share, slowdown, within_separation_s

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.bench.results import Entry, Length, Limits, Race

OURS = "stembridge"
LEAST_RATIO = {"htdemucs": 3.0, "spleeter:2stems": 4.0}
LEAST_RATIO_FLOAT32 = 1.4  # HTDemucs
MOST_LIMITS = 3.0  # times the bfloat16 limit, of a segment
MOST_BYTES = {"htdemucs": 1_200_000_000, "spleeter:2stems": 700_000_000}
MOST_SLOWDOWN, MOST_GROWTH = 1.05, 1.10  # from the first length to the others
MOST_CHAIN = 0.05  # of the separation


@dataclass(frozen=True)
class Target:
    """One of them. least: whether `wanted` is the least or the most that is wanted."""

    what: str
    wanted: float
    measured: float
    least: bool
    spec: str = ".2f"

    @property
    def kept(self) -> bool:
        return self.measured >= self.wanted if self.least else self.measured <= self.wanted

    def row(self) -> list[str]:
        wanted = f"{'at least' if self.least else 'at most'} {self.wanted:{self.spec}}"
        return [self.what, wanted, f"{self.measured:{self.spec}}", "yes" if self.kept else "no"]


def of_race(found: Race, limits: Limits | None) -> Iterator[Target]:
    """Those that a race can tell of."""
    ours = _entry(found, OURS)
    floats = _entry(found, f"{OURS}, float32")
    if found.reference and ours and (ratio := results.ratios(found.reference, ours)):
        what = f"{found.model}: times as fast as the peer, medians"
        yield Target(what, LEAST_RATIO[found.model], ratio[0], least=True)
    if found.model == "htdemucs" and found.reference and floats:
        ratio = results.ratios(found.reference, floats)
        if ratio:
            what = "htdemucs: likewise in float32"
            yield Target(what, LEAST_RATIO_FLOAT32, ratio[0], least=True)
    if ours and ours.peak_bytes:
        what, most_mb = f"{found.model}: peak memory in MB", MOST_BYTES[found.model] / 1e6
        yield Target(what, most_mb, ours.peak_bytes / 1e6, least=False, spec=".0f")
    within_s = within_separation_s(found, "bfloat16")
    if limits and within_s:
        limit_s = results.segment_limit_s(limits.gflop_per_s["bfloat16"])
        what = "htdemucs: a segment in bfloat16, times the limit"
        yield Target(what, MOST_LIMITS, within_s / limit_s, least=False)


def of_growth(lengths: Sequence[Length]) -> Iterator[Target]:
    """Those of every length beyond a model's first."""
    first = {length.model: length for length in reversed(lengths)}
    for length in lengths:
        start = first[length.model]
        if length is start:
            continue
        where = f"{length.model}: {length.minutes:g} min against {start.minutes:g} min"
        slower = slowdown(length, start)
        if slower:
            yield Target(f"{where}, time", MOST_SLOWDOWN, slower, least=False, spec=".3f")
        here, there = length.entry.peak_bytes, start.entry.peak_bytes
        if here and there:
            yield Target(f"{where}, memory", MOST_GROWTH, here / there, least=False, spec=".3f")


def of_presets(model: str, entries: Sequence[Entry]) -> Iterator[Target]:
    """The cost of the chain of each preset."""
    for entry in entries:
        share = chain_share(entries[0], entry)
        if share is not None:
            what = f"{model}: chain of {entry.name}, share of the separation"
            yield Target(what, MOST_CHAIN, share, least=False, spec=".3f")


def _entry(found: Race, name: str) -> Entry | None:
    return next((one for one in found.entries if one.name == name and one.runs), None)
