"""Output of the commands: results to standard output, progress and notes to standard error.

Bars and fitted tables on a terminal, plain lines elsewhere.
"""

from __future__ import annotations

import codecs
import json
import sys
import time
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from rich.console import Console
    from rich.progress import Progress, TaskID

    from bridge.ledger.states import Job
    from bridge.publish.manifest import Manifest

# Approximate share of each stage in a job, for a single bar over all stages.
STAGE_SHARES = {
    "survey": 0.04,
    "separate": 0.72,
    "chain": 0.08,
    "encode": 0.1,
    "verify": 0.05,
    "session": 0.0,
    "publish": 0.01,
}
_CONTROLS = frozenset({"Cc", "Zl", "Zp"})
# Bidi overrides and isolates (UAX 9, section 2), which would display a line in another order.
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
PLAIN_WIDTH = 200  # columns of a table in a file or a pipe: wide enough for paths


def console(*, error: bool = False) -> Console:
    """A console on standard output or standard error."""
    from rich.console import Console

    made = Console(stderr=error, highlight=False, soft_wrap=True)
    if not made.is_terminal:
        made.width = PLAIN_WIDTH
    return made


def note(text: str) -> None:
    """Print a line to standard error."""
    print(text, file=sys.stderr, flush=True)


def plain(text: str) -> str:
    """Text as one safe line: control characters, such as those of file names, become spaces."""
    shown = (" " if unicodedata.category(c) in _CONTROLS or c in _BIDI else c for c in text)
    cleaned = "".join(shown)
    return cleaned.encode("utf-8", "replace").decode()


def result(text: str) -> None:
    """Print a line to standard output; undecodable bytes of file names appear as \\udc.. ."""
    print(text.encode("utf-8", "backslashreplace").decode())


def json_result(data: object) -> None:
    """Print data as indented JSON to standard output, in ASCII unless the stream is UTF-8."""
    encoding = codecs.lookup(sys.stdout.encoding or "ascii").name
    result(json.dumps(data, indent=2, ensure_ascii=encoding != "utf-8"))


def copy_result(data: bytes) -> None:
    """Write a UTF-8 text file to standard output, byte for byte unless it is a terminal."""
    if sys.stdout.isatty():
        print(data.decode("utf-8"), end="")
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


def table(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; a column name with a leading > aligns its column to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title, box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        numbers = column.startswith(">")
        made.add_column(column.lstrip(">"), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(str(cell)) for cell in row))
    out = console()
    out.soft_wrap = False
    out.print(made)


def overall_share(stage: str, share: float) -> float:
    """Progress of a whole job (0..1), from a stage and the progress in it (0..1)."""
    before = 0.0
    for name, weight in STAGE_SHARES.items():
        if name == stage:
            return before + weight * share
        before += weight
    return before


def summary(manifest: Manifest, folder: Path) -> str:
    """One line about a finished job."""
    gain = f", gain {manifest.gain_db:.3g} dB" if manifest.gain_db else ""
    names = ", ".join(stem.name for stem in manifest.stems)
    return f"{names} → {folder} ({manifest.speed:.1f}× real time{gain})"


class JobBar:
    """Context manager: progress bar of one job on a terminal, nothing elsewhere."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> JobBar:
        err = console(error=True)
        if err.is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[stage]}"),
                TimeRemainingColumn(),
                console=err,
                transient=True,
            )
            self._progress.start()
            self._task = self._progress.add_task(self._label, total=1.0, stage="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def update(self, stage: str, share: float) -> None:
        """Show a stage and the progress in it (0..1)."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=overall_share(stage, share), stage=stage)


class DownloadBar:
    """Progress of downloads: a bar on a terminal, a line at every tenth elsewhere."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._tenths: dict[str, int] = {}

    def __call__(self, done_bytes: int, total_bytes: int | None, label: str) -> None:
        err = console(error=True)
        if err.is_terminal:
            self._bar(err, done_bytes, total_bytes, label)
            return
        tenth = 10 * done_bytes // total_bytes if total_bytes else 0
        if tenth > self._tenths.get(label, -1):
            self._tenths[label] = tenth
            share = f" {10 * tenth} %" if total_bytes else ""
            note(f"fetching {label}:{share} {done_bytes / 1e6:.1f} MB")

    def _bar(self, err: Console, done_bytes: int, total_bytes: int | None, label: str) -> None:
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TransferSpeedColumn,
        )

        if self._progress is None:
            self._progress = Progress(
                TextColumn("fetching {task.description}", markup=False),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                console=err,
            )
            self._progress.start()
        if label not in self._tasks:
            self._tasks[label] = self._progress.add_task(label, total=total_bytes)
        self._progress.update(self._tasks[label], completed=done_bytes, total=total_bytes)
        if total_bytes is not None and done_bytes >= total_bytes:
            self._progress.stop()
            self._progress, self._tasks = None, {}


def skip_line(job: Job) -> tuple[str, str]:
    """Kind and text of the line for a skipped job."""
    if job.has_no_stems:
        return "skip", f"{job.source_path}: {job.reason}"
    return "same", f"{job.source_path}: unchanged content, its stems are there"


class EventLines:
    """Event listener of the watch service: a line per event, a bar for the running job."""

    def __init__(self) -> None:
        self._bar: JobBar | None = None

    def note(self, text: str) -> None:
        """See `bridge.service.events.EventListener`."""
        self._line("note", text)

    def event(self, name: str, text: str, **facts: object) -> None:
        """See `bridge.service.events.EventListener`."""
        if name != "left-alone":  # texts and pictures: for the log alone
            self._line("note", text)

    def started(self, job: Job) -> None:
        """See `bridge.service.events.EventListener`."""
        self._line("start", str(job.source_path))
        self._bar = JobBar(str(job.source_path)).__enter__()

    def progress(self, job: Job, stage: str, share: float) -> None:
        """See `bridge.service.events.EventListener`."""
        if self._bar is not None:
            self._bar.update(stage, share)

    def done(self, job: Job, manifest: Manifest) -> None:
        """See `bridge.service.events.EventListener`."""
        folder = job.recipe.out_dir / (job.output_path or "")
        self._end("done", f"{job.source_path}: {summary(manifest, folder)}")
        for warning in manifest.warnings:
            self._line("note", warning)

    def skipped(self, job: Job) -> None:
        """See `bridge.service.events.EventListener`."""
        self._end(*skip_line(job))

    def failed(self, job: Job, reason: str, *, retry: bool) -> None:
        """See `bridge.service.events.EventListener`."""
        later = " (will be tried again)" if retry else ""
        self._end("FAILED", f"{job.source_path}: {reason}{later}")

    def released(self, job: Job, reason: str) -> None:
        """See `bridge.service.events.EventListener`."""
        self._end("note", f"{job.source_path}: {reason}")

    def _end(self, kind: str, text: str) -> None:
        if self._bar is not None:
            self._bar.__exit__()
            self._bar = None
        self._line(kind, text)

    def _line(self, kind: str, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {kind:6} {plain(text)}", flush=True)
