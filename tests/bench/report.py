"""From measurements to Markdown. Pure: no clock, no files, no processes."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from tests.bench import results
from tests.bench.measure import KIND

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.bench.results import Entry, Length, Limits, Race

NONE = "–"
MB = 1e6
PRECISIONS = ("float32", "bfloat16")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose columns line up; all but the first are set to the right."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    widths = [max(width, 3) for width in widths]  # a rule has three dashes at least
    rule = [("-" * (w - 1) + ("-" if not i else ":")) for i, w in enumerate(widths)]
    lines.insert(1, rule)
    return "\n".join(_row(line, widths) for line in lines)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(padded)} |"


def machine(facts: Mapping[str, str]) -> str:
    return table(("what", "is"), facts.items())


def race(found: Race) -> str:
    """The table of one race, and what could not be measured."""
    header = ("program", "median s", "least s", "quartiles s", "times as fast (medians)")
    header += ("(least)", "CPU s", f"memory MB ({KIND}, all)", "(largest process)")
    header += ("SNR dB", "same bytes")
    rows = [_race_row(entry, found.reference) for entry in found.entries if entry.runs]
    return _with_missing(table(header, rows) if rows else "", found.entries)


def _race_row(entry: Entry, reference: Entry | None) -> list[str]:
    spread, memory = entry.wall_s, entry.memory
    assert spread is not None
    ratio = results.ratios(reference, entry) if reference and reference is not entry else None
    return [
        entry.name,
        f"{spread.median:.2f}",
        f"{spread.least:.2f}",
        f"{spread.quarter:.2f} to {spread.three_quarters:.2f}",
        *((f"{value:.2f}" for value in ratio) if ratio else (NONE, NONE)),
        number(entry.cpu_s, ".1f"),
        megabytes(memory.tree_peak_bytes if memory else None),
        megabytes(entry.process_peak_bytes),
        _likeness(entry),
        {True: "yes", False: "no", None: NONE}[entry.repeatable],
    ]


def peer_versions(found: Race) -> str:
    """What the peer was made of; nothing without a peer."""
    names = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    return f"Peer: {names}." if names else ""


def likeness_by_stem(found: Race) -> str:
    """SNR of every stem against the reference's."""
    entries = [entry for entry in found.entries if entry.snr_db]
    if not entries:
        return ""
    stems = list(entries[0].snr_db)
    rows = [[entry.name, *(decibels(entry.snr_db[stem]) for stem in stems)] for entry in entries]
    return table(("SNR dB", *stems), rows)


def limits(found: Race, limit: Limits) -> str:
    """HTDemucs against matrix products: alone, and within the separation of the race."""
    header = (
        "precision",
        "GFLOP/s",
        "limit of a segment s",
        "a segment alone s",
        "times the limit",
    )
    header += ("within the separation s", "times the limit")
    return table(header, [_limit_row(found, limit, name) for name in PRECISIONS])


def _limit_row(found: Race, limit: Limits, precision: str) -> list[str]:
    rate = limit.gflop_per_s[precision]
    least_s = results.segment_limit_s(rate)
    alone_s = limit.segment_s.get(precision)
    within_s = within_separation_s(found, precision)
    return [
        precision,
        f"{rate:.0f}",
        f"{least_s:.3f}",
        number(alone_s, ".2f"),
        number(alone_s and alone_s / least_s, ".2f"),
        number(within_s, ".2f"),
        number(within_s and within_s / least_s, ".2f"),
    ]


def within_separation_s(found: Race, precision: str) -> float | None:
    """Seconds per segment in our command's own figure for the separation; None without one."""
    for entry in found.entries:
        separate_s = entry.stage_s().get("separate")
        if entry.name == f"stembridge, {precision}" and separate_s is not None:
            return separate_s / results.segments(found.seconds)
    return None


def stages(model: str, entries: Sequence[Entry]) -> str:
    """Where our time goes under each preset; the first is what the others are compared with."""
    measured = [entry for entry in entries if entry.stages]
    if not measured:
        return _with_missing("", entries)
    # The longest first: it has all stages in their order, most likely.
    longest_first = sorted((entry.stage_s() for entry in measured), key=len, reverse=True)
    names = list(dict.fromkeys(name for seconds in longest_first for name in seconds))
    rows = []
    for entry in measured:
        seconds = entry.stage_s()
        share = chain_share(measured[0], entry)
        cells = [f"{seconds[name]:.3f}" if name in seconds else NONE for name in names]
        rows.append([entry.name, *cells, NONE if share is None else f"{100 * share:.1f} %"])
    header = (f"{model}, preset", *(f"{name} s" for name in names), "chain's cost")
    return _with_missing(table(header, rows), entries)


def chain_share(plain: Entry, entry: Entry) -> float | None:
    """What a preset's effects cost, as a share of the separation.

    Its chain, and what its encoding (where the limiter works) takes longer than that of a preset
    without effects.
    """
    seconds, without = entry.stage_s(), plain.stage_s()
    if not seconds.get("separate"):
        return None
    longer = seconds.get("encode", 0.0) - without.get("encode", 0.0)
    return (seconds.get("chain", 0.0) + max(longer, 0.0)) / seconds["separate"]


def growth(lengths: Sequence[Length]) -> str:
    """Time and memory over the length of the music; each model against its own first length."""
    header = ("model", "minutes", "median s", "separation s", "for the same work")
    header += ("memory MB", "to the first")
    first = {length.model: length for length in reversed(lengths)}
    rows = [_growth_row(one, first[one.model]) for one in lengths if one.entry.runs]
    return _with_missing(table(header, rows) if rows else "", [one.entry for one in lengths])


def _growth_row(length: Length, first: Length) -> list[str]:
    entry = length.entry
    spread = entry.wall_s
    assert spread is not None
    memory, before = entry.peak_bytes, first.entry.peak_bytes
    return [
        length.model,
        f"{length.minutes:g}",
        f"{spread.median:.1f}",
        number(entry.stage_s().get("separate"), ".1f"),
        number(slowdown(length, first), ".3f"),
        megabytes(memory),
        number(memory / before if memory and before else None, ".3f"),
    ]


def slowdown(length: Length, first: Length) -> float | None:
    """Separation time for the same work, in units of that of the first length.

    HTDemucs works in segments, of which short music has more per second: its time is per segment.
    That of others is per minute.
    """
    here, there = (one.entry.stage_s().get("separate") for one in (length, first))
    if not here or not there:
        return None
    return (here / _work(length)) / (there / _work(first))


def _work(length: Length) -> float:
    seconds = 60 * length.minutes
    return results.segments(seconds) if length.model == "htdemucs" else seconds


# Cells


def number(value: float | None, spec: str) -> str:
    return NONE if value is None else format(value, spec)


def megabytes(size_bytes: int | None) -> str:
    return NONE if size_bytes is None else f"{size_bytes / MB:.0f}"


def decibels(value: float) -> str:
    return "equal" if math.isinf(value) and value > 0 else f"{value:.1f}"


def _likeness(entry: Entry) -> str:
    if entry.unlike:
        return "not alike"
    return decibels(min(entry.snr_db.values())) if entry.snr_db else NONE


def _with_missing(text: str, entries: Iterable[Entry]) -> str:
    """The table, and a line for everything that has no figure, with the reason."""
    lines = [f"- {one.name}: not measured: {one.missing}" for one in entries if one.missing]
    lines += [f"- {one.name}: not alike: {one.unlike}" for one in entries if one.unlike]
    return "\n\n".join(part for part in (text, "\n".join(lines)) if part)


# The file


def replaced(document: str, sections: Mapping[str, str]) -> str:
    """The document with these sections put between their marks; all else stays as it is.

    Raises:
        ValueError: a section has no marks in the document.
    """
    for name, body in sections.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        document, count = pattern.subn(
            lambda match, body=body: f"{match[1]}\n{body}\n\n{match[2]}", document
        )
        if count != 1:
            raise ValueError(f"the document needs one section <!-- {name} -->, it has {count}")
    return document
