"""`stembridge split`: files named on the command line, now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bridge.cli import options

if TYPE_CHECKING:
    from bridge.service import Engine


def split(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Bounces.")],
    out: options.Out = None,
    preset: options.Preset = None,
    model: options.Model = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the manifests as one JSON list.")
    ] = False,
) -> None:
    """Make stems of FILEs now, into Stems/<bounce>/ beside each of them (or into DIR)."""
    import json

    engine = options.engine(preset, model)
    results = [_one(engine, file, out, quiet=as_json) for file in files]
    if as_json:
        typer.echo(json.dumps(results, indent=2, ensure_ascii=False))
    if any("error" in result for result in results):
        raise typer.Exit(1)


def _one(engine: Engine, file: Path, out: Path | None, *, quiet: bool) -> dict[str, Any]:
    from bridge.cli.show import JobBar, note, summary
    from bridge.errors import ModelError, StembridgeError, UsageError
    from bridge.places import split_place

    out_dir, target = split_place(file, out)
    try:
        with JobBar(file.name) as bar:
            manifest, path = engine.convert(file.absolute(), target, out_dir, bar.update)
    except (UsageError, ModelError):
        raise  # about the command, not about this file
    except StembridgeError as error:
        note(f"{file}: {error}")
        return {"source": {"path": str(file)}, "error": {"code": error.code, "reason": str(error)}}
    if not quiet:
        typer.echo(f"{file}: {summary(manifest, target)}")
        for warning in manifest.warnings:
            note(f"{file}: {warning}")
    return {"manifest": str(path), **manifest.to_json()}
