"""Options that several commands share, and what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.service import Engine
    from bridge.worker.client import Worker

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
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A variable of the preset; may be given several times.",
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
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="P",
        help="float32 (exact) or bfloat16 (faster). [default: auto]",
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
Session = Annotated[
    str | None,
    typer.Option(
        "--session",
        metavar="A,B,...",
        help="Session files for DAWs: reaper, dawproject, ardour, aaf, stem-mp4, m3u8, csv.",
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

FileFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="Of the files: wav, aiff, caf, w64, flac, mp3, ogg, opus, m4a, or same as the bounce. "
        "[default: the preset's, wav]",
        show_default=False,
    ),
]
AcceptTruncated = Annotated[
    bool,
    typer.Option(
        "--accept-truncated",
        help="Take a bounce that is cut off as far as it goes, and mark its stems.",
    ),
]
Repair = Annotated[
    bool,
    typer.Option("--repair", help="Replace NaN and Inf in a bounce, and say how many there were."),
]


def settings(**flags: object) -> Settings:
    """The settings in force, with the flags that were given."""
    from bridge.config import resolve

    return resolve(flags).settings


def engine(
    preset_flag: str | None,
    model_flag: str | None,
    *,
    precision: str | None = None,
    stems: str | None = None,
    session: str | None = None,
    worker: Worker | None = None,
    accept_truncated: bool = False,
    repair: bool = False,
    file_format: str | None = None,
    variables: list[str] | None = None,
    **separation: float | str | None,
) -> Engine:
    """An engine for the options in force, with bars for what has to be fetched; close it.

    worker: one that an earlier engine has used. accept_truncated, repair: of a preset's `bounce`;
    False means not given. file_format: in place of the preset's. variables: name=value, of the
    preset. separation: fields of a preset's `separation` by name; None means not given.
    """
    from bridge.cli.show import Fetching, note
    from bridge.worker import early
    from bridge.worker.client import Worker

    worker = worker or Worker(Fetching(), note, early.take())
    worker.start()  # first of all: it imports torch while we import the rest

    from bridge.chain import inspection
    from bridge.chain import preset as presets
    from bridge.chain.language import given_variables
    from bridge.service import Engine, choose_model

    in_force = settings(preset=preset_flag, precision=precision)
    values = given_variables(variables or [])
    preset = presets.load(in_force.preset, plugin_folders=in_force.plugin_folders, variables=values)
    preset = preset.adjusted((), {}, file_format=file_format)
    inspection.check(preset)  # in a process of its own, if there are plugins
    model = choose_model(model_flag, preset, in_force)
    given = {name: value for name, value in separation.items() if value is not None}
    bounce = {"accept_truncated": accept_truncated, "repair": repair}
    accepted = {name: True for name, wanted in bounce.items() if wanted}
    adjusted = preset.adjusted(_listed(stems), given, accepted, _listed(session))
    return Engine(in_force, adjusted, model, worker, model_holds=model_flag is not None)


def _listed(text: str | None) -> tuple[str, ...]:
    """The names of a list with commas."""
    return tuple(filter(None, (name.strip() for name in (text or "").split(","))))
