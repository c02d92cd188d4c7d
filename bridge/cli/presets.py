"""`stembridge presets`: list, check and create presets."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge.cli import options

app = typer.Typer(help="Presets: processing and file formats of the stems.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME|FILE", help="A preset's name or its file.")]


@app.command("list")
def list_presets() -> None:
    """List the shipped presets and your own."""
    from bridge.cli.show import note, plain, table
    from bridge.errors import PresetError
    from bridge.presets import loader as presets

    folders = options.resolved_settings().plugin_folders
    rows: list[tuple[str, str, str]] = []
    broken: list[str] = []
    for name, path in presets.find().items():
        try:
            rows.append((name, presets.load_file(path, folders).summary, str(path.parent)))
        except PresetError as error:
            broken.append(str(error))
    table(None, ("preset", "summary", "folder"), rows)
    for reason in broken:
        note(plain(reason))
    if broken:
        raise typer.Exit(1)


@app.command()
def show(name: Name) -> None:
    """Print a preset's file, as a start for your own."""
    from bridge.cli.show import copy_result
    from bridge.presets import loader as presets

    folders = options.resolved_settings().plugin_folders
    preset = presets.load(name, plugin_folders=folders)
    copy_result(preset.path.read_bytes())


@app.command()
def check(
    names: Annotated[list[str], typer.Argument(metavar="NAME|FILE...", help="Presets.")],
    variables: options.Set = None,
) -> None:
    """Check presets and load their plugins; print problems with file and line."""
    from bridge.cli.show import note, plain, result
    from bridge.errors import PluginError, PresetError
    from bridge.presets import loader as presets
    from bridge.presets.composition import parse_variables
    from bridge.render import preset_check

    folders = options.resolved_settings().plugin_folders
    values = parse_variables(variables or [])
    failed = False
    for name in names:
        try:
            preset = presets.load(name, plugin_folders=folders, variables=values)
            preset_check.check_preset(preset, variables=values)
        except PluginError as error:
            failed = True
            note(plain(f"{name}: {error}"))
        except PresetError as error:
            failed = True
            for problem in error.problems:
                note(plain(problem))
        else:
            result(plain(f"{preset.path}: fine ({preset.summary})"))
    if failed:
        raise typer.Exit(2)


@app.command()
def schema() -> None:
    """Print the JSON Schema of presets, for completion and checks in an editor."""
    from bridge.cli.show import json_result
    from bridge.presets import json_schema

    json_result(json_schema.schema())


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new preset.")],
    parent: Annotated[
        str | None,
        typer.Option("--from", metavar="PRESET", help="Parent preset.", show_default=False),
    ] = None,
) -> None:
    """Write a commented preset into your own presets folder, ready to edit."""
    from bridge.cli.show import result
    from bridge.presets import loader as presets
    from bridge.presets import template

    result(str(template.write(name, parent, presets.folders()[0])))
