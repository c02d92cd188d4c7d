"""A batch's outcomes as CSV: a line per stem, or one for a bounce without stems."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from bridge.batch.outcome import OutcomeState, count_states
from bridge.batch.page import page
from bridge.daw.files import write_file
from bridge.daw.text import encodable, encoded
from bridge.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bridge.batch.outcome import Outcome

COLUMNS = (
    *("bounce", "result", "code", "reason", "preset", "model", "length_s", "work_s"),
    *("stem", "file", "lufs", "true_peak_dbtp", "peak_dbfs", "gain_db", "clipped_values"),
    "warnings",
)
SUFFIXES = (".csv", ".html")


def check_summary(path: Path) -> None:
    """Raise UsageError, before the work, if the summary cannot be written there."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--summary {path}: name a file that ends in {' or '.join(SUFFIXES)}")
    if path.is_dir():
        raise UsageError(f"--summary {path} is a folder; name a file")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--summary: {path.absolute().parent} is not a folder; create it first")


def write_summary(
    path: Path, title: str, found: Sequence[Outcome], made: str, not_read: Sequence[str] = ()
) -> None:
    """Write a summary as CSV or HTML, by the suffix.

    Args:
        path: a .csv or .html file.
        title: heading of the page.
        found: outcomes of the bounces.
        made: date, version and folders; HTML only.
        not_read: other files of the folder, with their formats; HTML only.

    Raises:
        OutputError: the file cannot be written.
    """
    is_csv = path.suffix.lower() == ".csv"
    text = csv_text(found) if is_csv else page(title, found, made, not_read)
    write_file(path.absolute(), encoded(encodable(text)))


def csv_text(found: Sequence[Outcome]) -> str:
    """Outcomes as CSV, with the manifests' levels; empty fields for levels not measured."""
    out = io.StringIO(newline="")
    table = csv.writer(out)  # as RFC 4180 has it: with CRLF, so that either in a name is quoted
    table.writerow(COLUMNS)
    for outcome in found:
        table.writerows(_rows(outcome))
    return out.getvalue()


def format_counts(found: Sequence[Outcome]) -> str:
    """Number of outcomes in each state, for display."""
    numbers = count_states(found)
    counts = [f"{numbers[end]} {end.value}" for end in OutcomeState if numbers[end]]
    return ", ".join(counts) or "no sound files"


def _rows(outcome: Outcome) -> Iterator[tuple[object, ...]]:
    about = (
        *(outcome.source.as_posix(), outcome.state.value, outcome.code, outcome.reason),
        *(outcome.preset, outcome.model),
    )
    made = outcome.manifest
    if made is None or outcome.folder is None:
        yield (*about, *("" for _ in COLUMNS[len(about) :]))
        return
    lengths = (round(made.duration_s, 3), round(sum(made.seconds.values()), 3))
    for stem in made.stems:
        yield (
            *(*about, *lengths, stem.name, str(outcome.folder / stem.path)),
            *(stem.lufs, stem.true_peak_dbtp, stem.peak_dbfs, stem.gain_db, stem.clipped_values),
            "; ".join(made.warnings),
        )
