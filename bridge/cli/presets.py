"""`stembridge presets`: what can become of the stems."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="What becomes of the stems.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME|FILE", help="A preset's name or its file.")]


@app.command("list")
def list_presets() -> None:
    """Every preset: the shipped ones and your own."""
    from bridge.chain import preset as presets
    from bridge.cli.show import note, table
    from bridge.errors import PresetError

    rows: list[tuple[str, str, str]] = []
    broken: list[str] = []
    for name, path in presets.find().items():
        try:
            rows.append((name, presets.load_file(path).summary, str(path.parent)))
        except PresetError as error:
            broken.append(str(error))
    table(None, ("preset", "what it gives", "folder"), rows)
    for reason in broken:
        note(reason)
    if broken:
        raise typer.Exit(1)


@app.command()
def show(name: Name) -> None:
    """Print a preset's file: copy it, change it, use it."""
    from bridge.chain import preset as presets

    typer.echo(presets.load(name).path.read_text(encoding="utf-8"), nl=False)


@app.command()
def check(
    names: Annotated[list[str], typer.Argument(metavar="NAME|FILE...", help="Presets.")],
) -> None:
    """Say what is wrong with presets, with file and line."""
    from bridge.chain import preset as presets
    from bridge.cli.show import note
    from bridge.errors import PresetError

    failed = False
    for name in names:
        try:
            preset = presets.load(name)
        except PresetError as error:
            failed = True
            for problem in error.problems:
                note(problem)
        else:
            typer.echo(f"{preset.path}: fine ({preset.summary})")
    if failed:
        raise typer.Exit(2)
