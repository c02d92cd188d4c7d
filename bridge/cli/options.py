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
Stems = Annotated[
    str | None,
    typer.Option(
        "--stems",
        metavar="A,B,...",
        help="Only these stems; what they do not need is not computed.",
        show_default=False,
    ),
]
TwoStems = Annotated[
    str | None,
    typer.Option(
        "--two-stems",
        metavar="STEM",
        help="This stem and everything else, as no_STEM.",
        show_default=False,
    ),
]
OtherMethod = Annotated[
    str | None,
    typer.Option(
        "--other-method",
        metavar="minus|add",
        help="With --two-stems: bounce minus STEM, or the sum of the other stems. [default: minus]",
        show_default=False,
    ),
]
Segment = Annotated[
    float | None,
    typer.Option(
        "--segment",
        metavar="S",
        help="Length of the model's segments in seconds. [default: the model's own]",
        show_default=False,
    ),
]
Overlap = Annotated[
    float | None,
    typer.Option(
        "--overlap",
        metavar="SHARE",
        help="Of neighbouring segments. [default: 0.25]",
        show_default=False,
    ),
]
Shifts = Annotated[
    int | None,
    typer.Option(
        "--shifts",
        metavar="N",
        help="Average over N runs shifted in time: a little better, N times as long. [default: 0]",
        show_default=False,
    ),
]


def settings(**flags: object) -> Settings:
    """The settings in force, with the flags that were given."""
    from bridge.config import resolve

    return resolve(flags).settings


def engine(
    preset_flag: str | None,
    model_flag: str | None,
    *,
    stems: str | None = None,
    **separation: float | str | None,
) -> Engine:
    """An engine for the options in force, with bars for what has to be fetched.

    separation: fields of a preset's `separation` by name; None means not given.
    """
    from bridge.chain import preset as presets
    from bridge.cli.show import Fetching, note
    from bridge.service import Engine, choose_model

    in_force = settings(preset=preset_flag)
    preset = presets.load(in_force.preset)
    model = choose_model(model_flag, preset, in_force)
    names = tuple(filter(None, (name.strip() for name in (stems or "").split(","))))
    given = {name: value for name, value in separation.items() if value is not None}
    return Engine(
        in_force, preset.adjusted(names, given), model, fetching=Fetching(), announce=note
    )
