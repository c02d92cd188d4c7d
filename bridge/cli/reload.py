"""`stembridge reload`: running services read their settings again."""

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
    """Have running services read the settings file and their preset again, between two bounces.

    Each one says what has changed, or what is wrong and that it goes on as before. What it was told
    on its own command line stays in force.
    """
    from bridge.cli.show import note, plain, result
    from bridge.ledger.store import Ledger

    path = options.settings().ledger_path
    services = []
    if path.exists():
        table = Ledger(path).services
        services = table.living(None if folder is None else folder.absolute())
        for service in services:
            table.ask_to_reload(service)  # heard of within seconds
            _hang_up(service.process)  # and at once, where that can be
    if not services:
        where = "" if folder is None else f" on {plain(str(folder))}"
        note(f"no service is running{where}: the next one reads its settings anyway")
        raise typer.Exit(1)
    for service in services:
        result(plain(f"asked the service on {service.folder} (process {service.process.pid})"))


def _hang_up(process: Process) -> None:
    import contextlib
    import os
    import signal

    if hasattr(signal, "SIGHUP") and process.is_here and not process.is_gone:
        with contextlib.suppress(OSError):  # it ended just now, or is another user's
            os.kill(process.pid, signal.SIGHUP)
