"""Output of an evaluation as CSV and JSON."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bridge import __version__
from bridge.errors import OutputError, UsageError
from bridge.evaluate.scores import MEASURES, WINDOW_S, Scores, summarise
from separator.metrics import FILTER_FRAMES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bridge.evaluate.run import Evaluation
    from bridge.evaluate.scores import Row

DEFINITIONS = {
    "sdr_db": "whole track, all channels, as the Music Demixing Challenge 2021 defines it",
    "si_sdr_db": "whole track, one scale for all channels (Le Roux et al. 2019)",
    "bss_*": (
        f"BSS Eval 4 as museval: windows of {WINDOW_S:g} s, filters of {FILTER_FRAMES} frames "
        "fitted to the track, median over windows without silence"
    ),
    "null": "not defined, or infinite",
}


def check_writable(path: Path) -> None:
    """Raise UsageError, before the work, if the file cannot be created."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path.absolute().parent} is not a folder; create it first")


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write a line per track, system and stem, with empty fields for undefined scores.

    Raises OutputError.
    """
    try:
        # Undecodable bytes in a track's name are written unchanged.
        with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            writer.writerow(("track", "system", "stem", *MEASURES))
            for row in rows:
                scores = _finite(row.scores)
                writer.writerow((row.track, row.system, row.stem, *scores.values()))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error


def write_json(path: Path, evaluation: Evaluation) -> None:
    """Write scores, medians over tracks, notes and definitions. Raises OutputError."""
    text = json.dumps(to_json(evaluation), indent=2, ensure_ascii=False, allow_nan=False)
    try:
        # Undecodable bytes appear as \udc.. in JSON.
        path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as JSON data."""
    return {
        "generator": f"stembridge {__version__}",
        "definitions": DEFINITIONS,
        "scores": [
            {"track": row.track, "system": row.system, "stem": row.stem, **_finite(row.scores)}
            for row in evaluation.rows
        ],
        "medians": [
            {"system": row.system, "stem": row.stem, "tracks": row.tracks, **_finite(row.scores)}
            for row in summarise(evaluation.rows)
        ],
        "notes": list(evaluation.notes),
    }


def _finite(scores: Scores) -> dict[str, float | None]:
    """Scores rounded to the digits that agree across machines; None for NaN and infinity."""
    return {
        name: round(value, 4) if math.isfinite(value) else None
        for name, value in asdict(scores).items()
    }
