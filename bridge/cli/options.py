"""Options that several commands share, and what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.service import Engine

Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="DIR", help="Where the stems go.", show_default=False),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        "-p",
        metavar="NAME|FILE",
        help="What becomes of the stems; see `presets list`. [default: stems]",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="What separates; see `models list`. [default: spleeter:2stems]",
        show_default=False,
    ),
]


def settings(**flags: object) -> Settings:
    """The settings in force, with the flags that were given."""
    from bridge.config import resolve

    return resolve(flags).settings


def engine(preset_flag: str | None, model_flag: str | None) -> Engine:
    """An engine for the options in force, with bars for what has to be fetched."""
    from bridge.chain import preset as presets
    from bridge.cli.show import Fetching, note
    from bridge.service import Engine, choose_model

    in_force = settings(preset=preset_flag)
    preset = presets.load(in_force.preset)
    model = choose_model(model_flag, preset, in_force)
    return Engine(in_force, preset, model, fetching=Fetching(), announce=note)
