"""`stembridge preview`: stems of a short stretch of a bounce."""

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
        float, typer.Option("--at", min=0, metavar="S", help="Start of the stretch in seconds.")
    ] = 60.0,
    length: Annotated[
        float, typer.Option("--for", min=0.1, max=120, metavar="S", help="Its length in seconds.")
    ] = 15.0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder for the files. [default: a new temporary one]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Convert a short stretch of FILE and print the paths of its stems.

    Some seconds of context around it are separated too, so that it sounds as in the whole file.
    """
    import tempfile

    from bridge.cli.inputs import check_out, check_sound_file, error_text
    from bridge.cli.interrupts import deferred_signals, interrupt_check
    from bridge.cli.show import JobBar, note, plain, result
    from bridge.errors import BounceError, OutputError, UsageError
    from bridge.preview import preview as make

    check_out(out)
    try:
        check_sound_file(file)
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None
    separation = options.SeparationOptions(preset, variables, model, precision)
    with (
        deferred_signals() as stop,
        separation.converter() as converter,
        JobBar(file.name) as bar,
    ):
        check_interrupt = interrupt_check(stop)
        converter.load(check_interrupt)

        def on_progress(stage: str, share: float) -> None:
            check_interrupt()
            bar.update(stage, share)

        folder = out or Path(tempfile.mkdtemp(prefix="stembridge-"))
        try:
            manifest, made = make(
                converter, file.absolute(), folder.absolute(), on_progress, at_s=at, for_s=length
            )
        except (BounceError, OutputError) as error:
            note(plain(f"{file}: {error_text(file, error)}"))
            raise typer.Exit(1) from None
    for path in made:
        result(plain(str(path)))
    for warning in manifest.warnings:
        note(plain(f"{file}: {warning}"))
