"""`stembridge doctor`: what works on this machine, and which limit could bite."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def doctor(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]",
            help="Look at this watched folder and its drive too.",
            readable=False,  # that it cannot be read is a finding
        ),
    ] = None,
) -> None:
    """Check this machine: torch, device, weights, presets, plugins, limits, disk, settings.

    At each line: ok, -- for what could cause trouble, !! for what has to be mended.
    """
    from bridge.cli.show import plain, result, table
    from bridge.config import resolve
    from bridge.doctor import examine
    from bridge.doctor.in_force import settings_in_force

    resolved = resolve()
    findings = examine(resolved.settings, folder)
    rows = ((found.mark, found.name, plain(found.text)) for found in findings)
    table("This machine", ("", "check", "found"), rows)
    file = f"{resolved.file}{'' if resolved.file.exists() else ', which is not there'}"
    table(
        f"Settings in force (file: {file})",
        ("setting", "value", "from", "what it is"),
        (
            (one.name, plain(one.value), plain(one.origin), one.meaning)
            for one in settings_in_force(resolved)
        ),
    )
    wrong, doubtful = (sum(found.mark == mark for found in findings) for mark in ("!!", "--"))
    if wrong:
        result(f"{wrong} to mend (!!), {doubtful} to look at (--)")
        raise typer.Exit(1)
    result(f"ready to work; {doubtful} to look at (--)" if doubtful else "ready to work")
