"""`stembridge status`: what became of every bounce."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli import options

if TYPE_CHECKING:
    from bridge.ledger.states import Job


def status(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Only this watched folder.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Newest bounces shown.")] = 30,
) -> None:
    """Show what became of every bounce: done, failed with its reason, pending or running."""
    from bridge.cli.show import table
    from bridge.ledger.store import Ledger

    path = options.settings().ledger_path
    if not path.exists():
        typer.echo("nothing has been watched yet: `stembridge watch FOLDER` begins")
        return
    ledger = Ledger(path)
    where = None if folder is None else folder.absolute()
    jobs = ledger.jobs(where, limit=limit)
    table(
        None, ("bounce", "state", "when", "stems or reason"), (_row(job) for job in reversed(jobs))
    )
    counts = ledger.counts(where)
    typer.echo(", ".join(f"{count} {state.value}" for state, count in counts.items() if count))


def _row(job: Job) -> tuple[str, str, str, str]:
    import time

    from bridge.cli.show import plain

    when_s = job.finished_s or job.started_s or job.created_s
    outcome = job.reason or (str(job.manifest_path.parent) if job.manifest_path else "")
    if job.state.value == "pending":  # what came before a `retry` is past
        outcome = f"{outcome} (attempt {job.attempts + 1} follows)" if job.attempts else ""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when_s))
    return plain(str(job.source_path)), job.state.value, when, plain(outcome)
