"""`stembridge preview`: hear what a preset does, without waiting for the whole bounce."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli import options


def preview(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A bounce.")],
    preset: options.Preset = None,
    variables: options.Set = None,
    model: options.Model = None,
    precision: options.Precision = None,
    at: Annotated[
        float, typer.Option("--at", min=0, metavar="S", help="Where the stretch begins, seconds.")
    ] = 60.0,
    length: Annotated[
        float, typer.Option("--for", min=0.1, max=120, metavar="S", help="How long it is, seconds.")
    ] = 15.0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Where the files go. [default: a new temporary folder]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make the stems of a short stretch of FILE, and print where they are.

    Some seconds around it are separated too, so that it sounds as in the whole.
    """
    import tempfile

    from bridge.cli.inputs import check_out, check_sound_file, reason
    from bridge.cli.interrupts import deferred, raising
    from bridge.cli.show import JobBar, note, plain, result
    from bridge.errors import BounceError, OutputError, UsageError
    from bridge.preview import preview as make

    check_out(out)
    try:
        check_sound_file(file)
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None
    asked = options.Asked(preset, variables, model, precision)
    with (
        deferred() as stop,
        asked.converter() as converter,
        JobBar(file.name) as bar,
    ):
        look = raising(stop)
        converter.load(look)

        def listen(stage: str, share: float) -> None:
            look()
            bar.update(stage, share)

        folder = out or Path(tempfile.mkdtemp(prefix="stembridge-"))
        try:
            manifest, made = make(
                converter, file.absolute(), folder.absolute(), listen, at_s=at, for_s=length
            )
        except (BounceError, OutputError) as error:
            note(plain(f"{file}: {reason(file, error)}"))
            raise typer.Exit(1) from None
    for path in made:
        result(plain(str(path)))
    for warning in manifest.warnings:
        note(plain(f"{file}: {warning}"))
