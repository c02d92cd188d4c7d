"""`stembridge doctor`: what works on this machine, and which limit could bite."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def doctor(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="Look at this watched folder and its drive too."),
    ] = None,
) -> None:
    """Check this machine: torch, device, weights, events, memory, limits, disk, settings."""
    from bridge.checkup import examine
    from bridge.cli.show import table
    from bridge.config import resolve

    resolved = resolve()
    findings = examine(resolved.settings, folder)
    table("This machine", ("", "check", "found"), ((f.mark, f.name, f.text) for f in findings))
    table(
        f"Settings ({resolved.file}{'' if resolved.file.exists() else ', not there'})",
        ("setting", "value", "from"),
        (
            (name, value, resolved.origins[name])
            for name, value in resolved.settings.model_dump().items()
        ),
    )
    if any(not f.fine for f in findings):
        raise typer.Exit(1)
