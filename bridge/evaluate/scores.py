"""Scores of one system on one track, and medians over tracks."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from bridge.evaluate.matching import ACCOMPANIMENT, VOCALS, Group, match
from separator import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from bridge.evaluate.references import Reference

    FloatArray = NDArray[np.float32]

WINDOW_S = 1.0  # length and hop of BSS Eval's windows, as in museval


@dataclass(frozen=True)
class Scores:
    """Scores of one stem in dB; see `separator.metrics`. NaN for undefined measures.

    sdr_db, si_sdr_db: over the whole track. bss_*: BSS Eval 4, the median over its windows.
    """

    sdr_db: float
    si_sdr_db: float
    bss_sdr_db: float
    bss_isr_db: float
    bss_sir_db: float
    bss_sar_db: float


@dataclass(frozen=True)
class Row:
    """The scores of one stem by one system on one track."""

    track: str
    system: str
    stem: str
    scores: Scores


@dataclass(frozen=True)
class SummaryRow:
    """The median of one stem's scores by one system over the tracks that have them."""

    system: str
    stem: str
    tracks: int
    scores: Scores


def score(
    system: str, track: Reference, estimates: Mapping[str, FloatArray]
) -> tuple[list[Row], list[str]]:
    """Scores of all comparable stems, and notes on the assignment of the stems.

    For a system with vocals and several other stems, an extra row scores their sum as the
    accompaniment, with BSS Eval of the two alone, as in museval.

    Args:
        system: its name.
        track: the true stems and the mixture.
        estimates: stem name -> (channels, frames) float32, as long as the track.
    """
    matching = match(tuple(estimates), tuple(track.stems))
    rows = _score_set(system, track, estimates, matching.groups)
    accompaniment = matching.accompaniment()
    if accompaniment is not None:
        vocals = next(group for group in matching.groups if group.true == (VOCALS,))
        pair = _score_set(system, track, estimates, (vocals, accompaniment))
        rows += [row for row in pair if row.stem == ACCOMPANIMENT]
    return rows, matching.notes()


def _score_set(
    system: str,
    track: Reference,
    estimates: Mapping[str, FloatArray],
    groups: Sequence[Group],
) -> list[Row]:
    if not groups:
        return []
    true = np.stack([_sum(track.stems, group.true) for group in groups])
    estimated = np.stack([_sum(estimates, group.estimated) for group in groups])
    bss = {name: np.full(len(groups), np.nan) for name in ("sdr_db", "isr_db", "sir_db", "sar_db")}
    if len(groups) > 1:  # BSS Eval needs another stem for the interference
        window_frames = round(WINDOW_S * track.rate_hz)
        bss = metrics.bss_eval(true, estimated, window_frames=window_frames).medians()
    return [
        Row(
            track.name,
            system,
            group.name,
            Scores(
                metrics.sdr_db(true[index], estimated[index]),
                metrics.si_sdr_db(true[index], estimated[index]),
                *(float(values[index]) for values in bss.values()),
            ),
        )
        for index, group in enumerate(groups)
    ]


def _sum(stems: Mapping[str, FloatArray], names: Sequence[str]) -> FloatArray:
    total = stems[names[0]]
    for name in names[1:]:
        total = total + stems[name]
    return total


def summarise(rows: Iterable[Row]) -> list[SummaryRow]:
    """Medians over tracks, in the order of the first rows of systems and stems."""
    found: dict[tuple[str, str], list[Scores]] = {}
    for row in rows:
        found.setdefault((row.system, row.stem), []).append(row.scores)
    return [
        SummaryRow(system, stem, len(scores), _medians(scores))
        for (system, stem), scores in found.items()
    ]


def _medians(scores: Sequence[Scores]) -> Scores:
    columns = zip(*(astuple(one) for one in scores), strict=True)
    counted = ([value for value in column if not math.isnan(value)] for column in columns)
    return Scores(*(median(column) if column else math.nan for column in counted))


MEASURES = tuple(field.name for field in fields(Scores))
