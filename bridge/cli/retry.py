"""`stembridge retry`: put failed bounces back into the queue."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli import options


def retry(
    bounces: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[BOUNCE...]", help="Only these. [default: all failed ones]"),
    ] = None,
) -> None:
    """Put failed bounces back into the queue of the watch service."""
    from bridge.cli.show import plain, result
    from bridge.ledger.store import Ledger

    path = options.resolved_settings().ledger_path
    count = 0
    if path.exists():
        paths = [bounce.absolute() for bounce in bounces] if bounces else None
        count = Ledger(path).retry(paths=paths)
    if count:
        result(f"{count} back in the queue")
    elif bounces:
        names = ", ".join(f"'{bounce}'" for bounce in bounces)
        result(plain(f"nothing to retry: of {names} none has failed; see `stembridge status`"))
    else:
        result("nothing to retry: no bounce has failed")
