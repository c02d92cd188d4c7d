"""Options that several commands share, and what they stand for.

A command that takes all of those about the separation has one parameter of type `Asked`, and is
decorated with `sharing`.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_type_hints

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bridge.config import Settings
    from bridge.convert import Converter
    from bridge.presets.loader import Preset as LoadedPreset
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
SkipSilent = Annotated[
    bool,
    typer.Option("--skip-silent", help="Make no stems of a bounce that is digital silence."),
]


@dataclass(frozen=True)
class Asked:
    """What the command line says about the separation; typer reads these fields as options."""

    preset: Preset = None
    variables: Set = None
    model: Model = None
    precision: Precision = None
    stems: Stems = None
    two_stems: TwoStems = None
    other_method: OtherMethod = None
    segment: Segment = None
    overlap: Overlap = None
    shifts: Shifts = None
    file_format: FileFormat = None
    accept_truncated: AcceptTruncated = False
    repair: Repair = False
    skip_silent: SkipSilent = False

    def converter(self, worker: Worker | None = None, session: str | None = None) -> Converter:
        """A converter for the options in force, with bars for what has to be fetched; close it.

        worker: one of an earlier converter. session: formats of session files, with commas.
        """
        worker = worker or new_worker()
        worker.start()  # first of all: it imports torch while we import the rest
        converter = self.idle_converter(worker, session)
        self.try_plugins()
        return converter

    def idle_converter(self, worker: Worker, session: str | None = None) -> Converter:
        """The same, without any process started and any plugin tried yet."""
        from bridge.convert import Converter, choose_model

        in_force = self._settings()
        preset = self._preset(in_force)
        model = choose_model(self.model, preset, in_force)
        model_holds = self.model is not None
        adjusted = self._adjusted(preset, listed(session))
        return Converter(in_force, adjusted, model, worker, model_holds=model_holds)

    def try_plugins(self) -> None:
        """Tries the preset's plugins, if there are any, in a process of their own.

        Looks for what its files need, too.
        """
        from bridge.render import preset_check

        preset = self._preset(self._settings())
        preset_check.check_preset(preset.adjusted((), {}, file_format=self.file_format))

    def _settings(self) -> Settings:
        return settings(preset=self.preset, precision=self.precision)

    def _preset(self, in_force: Settings) -> LoadedPreset:
        """As it is in its file now: a service may be asked to read it again."""
        from bridge.presets import loader as presets
        from bridge.presets.composition import parse_variables

        return presets.load(
            in_force.preset,
            plugin_folders=in_force.plugin_folders,
            variables=parse_variables(self.variables or []),
        )

    def _adjusted(self, preset: LoadedPreset, session: Sequence[str]) -> LoadedPreset:
        separation = {
            "two_stems": self.two_stems,
            "other_method": self.other_method,
            "segment_s": self.segment,
            "overlap": self.overlap,
            "shifts": self.shifts,
        }
        given = {name: value for name, value in separation.items() if value is not None}
        _check_ranges(given)
        bounce = {
            "accept_truncated": self.accept_truncated,
            "repair": self.repair,
            "skip_silent": self.skip_silent,
        }
        return preset.adjusted(
            listed(self.stems),
            given,
            {name: True for name, said in bounce.items() if said},
            session,
            self.file_format,
        )


NOTHING = Asked()  # of all this, unless the command line says more


def sharing(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the fields of `Asked` as parameters, in the place of the one of that type.

    typer makes options of a function's signature; so it is the signature that is changed.
    """
    hints, shared = (get_type_hints(one, include_extras=True) for one in (command, Asked))
    own = [one.replace(annotation=hints[one.name]) for one in _parameters(command)]
    (place,) = (index for index, one in enumerate(own) if one.annotation is Asked)
    name, own[place : place + 1] = (
        own[place].name,
        [
            inspect.Parameter(
                field.name, own[place].kind, default=field.default, annotation=shared[field.name]
            )
            for field in fields(Asked)
        ],
    )

    @wraps(command)
    def shared_command(**given: object) -> None:
        asked = Asked(**{field.name: given.pop(field.name) for field in fields(Asked)})  # type: ignore[arg-type]
        command(**{name: asked}, **given)

    del shared_command.__wrapped__  # whose signature would count
    shared_command.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
    shared_command.__annotations__ = {one.name: one.annotation for one in own}
    return shared_command


def _parameters(command: Callable[..., None]) -> list[inspect.Parameter]:
    return list(inspect.signature(command).parameters.values())


def _check_ranges(given: Mapping[str, object]) -> None:
    """Raises UsageError for an option out of its range, by the name that was typed."""
    from bridge.errors import UsageError
    from separator.errors import InputError
    from separator.options import Options

    for name, value in given.items():
        try:
            Options(**{name: value})  # type: ignore[arg-type]
        except InputError as error:
            typed = f"--{name.removesuffix('_s').replace('_', '-')}"
            raise UsageError(str(error).replace(name, typed, 1)) from None


def settings(**flags: object) -> Settings:
    """The settings in force, with the flags that were given."""
    from bridge.config import resolve

    return resolve(flags).settings


def listed(text: str | None) -> tuple[str, ...]:
    """The names of a list with commas."""
    return tuple(filter(None, (name.strip() for name in (text or "").split(","))))


def new_worker() -> Worker:
    """A worker whose downloads are shown: the one that began with the program, or one at rest."""
    from bridge.cli.show import Fetching, note
    from bridge.worker import client, prestart

    return client.Worker(Fetching(), note, prestart.take())
