"""Progress display of a batch: a live table on a terminal, one line per event elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bridge.batch.pace import format_duration
from bridge.batch.progress import ProgressState
from bridge.cli.show import console, note, plain, skip_line, summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, RenderableType
    from rich.live import Live

    from bridge.batch.progress import BounceProgress, Progress
    from bridge.ledger.states import Job
    from bridge.publish.manifest import Manifest

_STYLES = {
    ProgressState.RUNNING: "bold",
    ProgressState.DONE: "green",
    ProgressState.SAME: "dim",
    ProgressState.SKIPPED: "dim",
    ProgressState.FAILED: "red",
    ProgressState.RETRY: "yellow",
    ProgressState.LEFT: "yellow",
    ProgressState.WAITING: "dim",
}
_REFRESHES_PER_S = 4  # smooth enough for a bar, at negligible cost
# Lines of the terminal that are not rows: the table's head and rule, the text above and below.
_OTHER_LINES = 7
_BAR_CELLS = 20


class Board:
    """Event listener and context manager that displays a `Progress`."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._console: Console = console(error=True)
        self._live: Live | None = None

    def __enter__(self) -> Board:
        if self._console.is_terminal:
            from rich.live import Live

            self._console.soft_wrap = False
            self._live = Live(
                console=self._console,
                get_renderable=self._table,
                refresh_per_second=_REFRESHES_PER_S,
                transient=True,  # replaced by the summary
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def note(self, text: str) -> None:
        """See `bridge.service.events.EventListener`."""
        self._say("note", text)

    def event(self, name: str, text: str, **facts: object) -> None:
        """See `bridge.service.events.EventListener`."""
        self._say("note", text)

    def started(self, job: Job) -> None:
        """See `bridge.service.events.EventListener`."""
        if self._live is None:
            self._say("start", str(job.source_path))

    def progress(self, job: Job, stage: str, share: float) -> None:
        """Ignored: the table reads the `Progress`."""

    def done(self, job: Job, manifest: Manifest) -> None:
        """See `bridge.service.events.EventListener`."""
        if self._live is None:
            folder = job.recipe.out_dir / (job.output_path or "")
            self._end("done", f"{job.source_path}: {summary(manifest, folder)}")

    def skipped(self, job: Job) -> None:
        """See `bridge.service.events.EventListener`."""
        if self._live is None:
            self._end(*skip_line(job))

    def failed(self, job: Job, reason: str, *, retry: bool) -> None:
        """See `bridge.service.events.EventListener`."""
        later = " (will be tried again)" if retry else ""
        self._end("FAILED", f"{job.source_path}: {reason}{later}")

    def released(self, job: Job, reason: str) -> None:
        """See `bridge.service.events.EventListener`."""
        self._say("note", f"{job.source_path}: {reason}")

    def _end(self, kind: str, text: str) -> None:
        """Print the end of a job, with the overall progress where there is no table."""
        self._say(kind, text if self._live else f"{text} ({overview(self._progress)})")

    def _say(self, kind: str, text: str) -> None:
        line = f"{time.strftime('%H:%M:%S')} {kind:6} {plain(text)}"
        if self._live is None:
            note(line)
        else:
            self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _table(self) -> RenderableType:
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        room = max(1, self._console.height - _OTHER_LINES)
        made = Table(box=SIMPLE_HEAD, pad_edge=False, expand=True)
        made.add_column("bounce", ratio=1, no_wrap=True, overflow="ellipsis")
        made.add_column("state", no_wrap=True)
        made.add_column("stage", no_wrap=True, min_width=8)
        made.add_column("done", no_wrap=True, min_width=_BAR_CELLS + 5)
        for line in visible(self._progress.lines, room):
            cells = (plain(line.source), line.state.value, line.stage, _bar(line))
            made.add_row(*(Text(cell, style=_STYLES[line.state]) for cell in cells))
        below = [Text(overview(self._progress), style="bold")]
        if self._progress.paused is not None:
            below.append(Text(f"PAUSED: {plain(self._progress.paused)}", style="red"))
        return Group(made, *below)


def visible(lines: Sequence[BounceProgress], room: int) -> Sequence[BounceProgress]:
    """At most `room` lines, around the running ones. Pure."""
    running = [index for index, line in enumerate(lines) if line.state is ProgressState.RUNNING]
    waiting = (index for index, line in enumerate(lines) if not line.has_ended)
    middle = running[0] if running else next(waiting, len(lines))
    first = max(0, min(middle - room // 3, len(lines) - room))
    return lines[first : first + room]


def overview(progress: Progress) -> str:
    """Overall progress on one line."""
    lines = progress.lines
    ended = sum(line.has_ended for line in lines)
    failed = sum(line.state is ProgressState.FAILED for line in lines)
    text = f"{ended} of {len(lines)}" + (f", {failed} failed" if failed else "")
    remaining_s = progress.remaining_s()
    if remaining_s:
        text += f", about {format_duration(remaining_s)} left"
    return text


def _bar(line: BounceProgress) -> str:
    """Progress bar of a running job, in characters of every font."""
    if line.state is not ProgressState.RUNNING:
        return ""
    full = round(line.share * _BAR_CELLS)
    return f"{'█' * full}{'░' * (_BAR_CELLS - full)} {line.share:4.0%}"
