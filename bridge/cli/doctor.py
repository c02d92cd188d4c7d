"""`stembridge doctor`: check of this machine and of the settings in force."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def doctor(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]",
            help="Check this watched folder and its drive too.",
            readable=False,  # an unreadable folder is a finding, not a usage error
        ),
    ] = None,
) -> None:
    """Check this machine: torch, device, weights, presets, plugins, limits, disk, settings.

    Each line begins with ok, -- (could cause trouble) or !! (must be fixed).
    """
    from bridge.cli.show import plain, result, table
    from bridge.config import resolve
    from bridge.doctor import examine
    from bridge.doctor.in_force import settings_in_force

    resolved = resolve()
    findings = examine(resolved.settings, folder)
    rows = ((found.mark, found.name, plain(found.text)) for found in findings)
    table("This machine", ("", "check", "found"), rows)
    file = f"{resolved.file}{'' if resolved.file.exists() else ', which does not exist'}"
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
        result(f"{wrong} to fix (!!), {doubtful} to check (--)")
        raise typer.Exit(1)
    result(f"ready to work; {doubtful} to check (--)" if doubtful else "ready to work")
