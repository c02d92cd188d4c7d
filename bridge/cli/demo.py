"""`stembridge demo`: one conversion of real music, with every promise checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli import options


def demo(
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="DIR", help="Scratch folder. [default: a temporary one]"),
    ] = None,
) -> None:
    """Bounce real music into a watched scratch folder and check the stems that appear.

    Downloads the default weights once. Exits with 1 if a check fails.
    """
    import tempfile

    from bridge.cli.show import DownloadBar, note, plain, result, table
    from bridge.demo import run

    scratch = folder or Path(tempfile.mkdtemp(prefix="stembridge-demo-"))
    outcome = run(scratch.absolute(), options.resolved_settings(), DownloadBar(), note)
    table(
        "Stems",
        ("stem", "path", ">frames", ">time reference", ">peak dBFS"),
        ((s.name, s.path, s.frames, s.time_reference, s.peak_dbfs) for s in outcome.stems),
    )
    table(
        "Promises",
        ("", "promise", "measured"),
        (("ok" if p.kept else "!!", p.text, p.measured) for p in outcome.promises),
    )
    where = plain(str(scratch))
    result(f"The bounce and its stems are in {where}; delete the folder when done.")
    if not all(promise.kept for promise in outcome.promises):
        raise typer.Exit(1)
