"""`stembridge split`: convert files now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bridge.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.convert import Converter
    from bridge.errors import StembridgeError


@options.with_separation_options
def split(
    # readable=False: an unreadable file fails alone, and the others are converted.
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Bounces.", readable=False)
    ],
    out: options.Out = None,
    separation: options.SeparationOptions = options.DEFAULT_OPTIONS,
    session: options.Session = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the manifests as one JSON list.")
    ] = False,
) -> None:
    """Convert FILEs now; the stems go to Stems/<bounce>/ beside each file, or to DIR."""
    from bridge.cli.inputs import check_out
    from bridge.cli.interrupts import deferred_signals, interrupt_check
    from bridge.cli.show import json_result
    from bridge.system import standard_streams

    standard_streams.keep_exit_code()
    check_out(out)
    with (
        deferred_signals() as stop,
        separation.converter(session=session) as converter,
    ):
        check_interrupt = interrupt_check(stop)
        converter.load(check_interrupt)
        outcomes = [_one(converter, file, out, check_interrupt, quiet=as_json) for file in files]
    if as_json:
        json_result(outcomes)
    if any("error" in outcome for outcome in outcomes):
        raise typer.Exit(1)


def _one(
    converter: Converter,
    file: Path,
    out: Path | None,
    check_interrupt: Callable[[], None],
    *,
    quiet: bool,
) -> dict[str, Any]:
    from bridge.cli.inputs import check_sound_file
    from bridge.cli.show import JobBar, note, plain, result, summary
    from bridge.errors import ModelError, SilentBounce, StembridgeError, UsageError
    from bridge.publish.locations import split_target

    try:
        check_sound_file(file)
    except UsageError as error:
        return _failed(file, error)
    out_dir, target = split_target(file, out)
    try:
        with JobBar(file.name) as bar:

            def on_progress(stage: str, share: float) -> None:
                check_interrupt()
                bar.update(stage, share)

            manifest, path = converter.convert(file.absolute(), target, out_dir, on_progress)
    except (UsageError, ModelError):
        raise  # concerns the command, not this file
    except SilentBounce as skip:
        if not quiet:
            result(plain(f"{file}: {skip}"))
        return {"source": {"path": str(file)}, "skipped": {"code": skip.code, "reason": str(skip)}}
    except StembridgeError as error:
        return _failed(file, error)
    if not quiet:
        result(plain(f"{file}: {summary(manifest, target)}"))
        for warning in manifest.warnings:
            note(plain(f"{file}: {warning}"))
    for trouble in converter.worker.non_fatal_errors:
        note(trouble.traceback)  # for a bug report
    return {"manifest": str(path), **manifest.to_json()}


def _failed(file: Path, error: StembridgeError) -> dict[str, Any]:
    from bridge.cli.inputs import error_text
    from bridge.cli.show import note, plain

    text = error_text(file, error)
    note(plain(f"{file}: {text}"))
    return {"source": {"path": str(file)}, "error": {"code": error.code, "reason": text}}
