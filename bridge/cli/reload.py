"""`stembridge reload`: make running services read their settings again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli import options

if TYPE_CHECKING:
    from bridge.system.processes import Process


def reload(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Only services on this folder.")
    ] = None,
) -> None:
    """Make running services read the settings file and their preset again, between two bounces.

    Each service logs the changes, or an error, after which it keeps its old settings. Options of
    its own command line stay in force.
    """
    from bridge.cli.show import note, plain, result
    from bridge.ledger.store import Ledger

    path = options.resolved_settings().ledger_path
    services = []
    if path.exists():
        table = Ledger(path).services
        services = table.living(None if folder is None else folder.absolute())
        for service in services:
            table.ask_to_reload(service)  # polled every few seconds
            _hang_up(service.process)  # takes effect at once, where signals exist
    if not services:
        where = "" if folder is None else f" on {plain(str(folder))}"
        note(f"no service is running{where}: the next one reads its settings when it starts")
        raise typer.Exit(1)
    for service in services:
        result(plain(f"notified the service on {service.folder} (process {service.process.pid})"))


def _hang_up(process: Process) -> None:
    import contextlib
    import os
    import signal

    if hasattr(signal, "SIGHUP") and process.is_here and not process.is_gone:
        with contextlib.suppress(OSError):  # it just ended, or belongs to another user
            os.kill(process.pid, signal.SIGHUP)
