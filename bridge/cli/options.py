"""Options shared by several commands.

A command with all separation options has one parameter of type `SeparationOptions` and the
decorator `with_separation_options`.
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
    typer.Option("--out", "-o", metavar="DIR", help="Folder for the stems.", show_default=False),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        "-p",
        metavar="NAME|FILE",
        help="Preset for the stems; see `presets list`. [default: stems]",
        show_default=False,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Value for a variable of the preset. Repeatable.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="Separation model; see `models list`. [default: spleeter:2stems]",
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
        help="Only these stems; others are not computed.",
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
        help="Two outputs: this stem, and everything else as no_STEM.",
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
        help="Overlap of neighbouring segments. [default: 0.25]",
        show_default=False,
    ),
]
Shifts = Annotated[
    int | None,
    typer.Option(
        "--shifts",
        metavar="N",
        help="Average N runs shifted in time: slightly better, N times as slow. [default: 0]",
        show_default=False,
    ),
]

FileFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="File format: wav, aiff, caf, w64, flac, mp3, ogg, opus, m4a, or same as the bounce. "
        "[default: the preset's, wav]",
        show_default=False,
    ),
]
AcceptTruncated = Annotated[
    bool,
    typer.Option(
        "--accept-truncated",
        help="Convert the intact part of a truncated bounce, and mark its stems.",
    ),
]
Repair = Annotated[
    bool,
    typer.Option(
        "--repair", help="Replace NaN, Inf and values beyond +120 dBFS, and report their number."
    ),
]
SkipSilent = Annotated[
    bool,
    typer.Option("--skip-silent", help="Skip bounces that are digital silence."),
]


@dataclass(frozen=True)
class SeparationOptions:
    """Separation options of the command line; typer reads the fields as options."""

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
        """A converter for the options and settings, with a started worker; close it after use.

        Args:
            worker: that of an earlier converter, to reuse it.
            session: comma-separated formats of session files.
        """
        worker = worker or new_worker()
        worker.start()  # first: it imports torch in parallel with the imports here
        converter = self.idle_converter(worker, session)
        self.try_plugins()
        return converter

    def idle_converter(self, worker: Worker, session: str | None = None) -> Converter:
        """A converter as by `converter`, with no process started and no plugin checked yet."""
        from bridge.convert import Converter, choose_model

        in_force = self._settings()
        preset = self._preset(in_force)
        model = choose_model(self.model, preset, in_force)
        model_holds = self.model is not None
        adjusted = self._adjusted(preset, split_names(session))
        return Converter(in_force, adjusted, model, worker, model_holds=model_holds)

    def try_plugins(self) -> None:
        """Check the preset's plugins, in a separate process, and the needs of its file formats."""
        from bridge.render import preset_check

        preset = self._preset(self._settings())
        preset_check.check_preset(preset.adjusted((), {}, file_format=self.file_format))

    def _settings(self) -> Settings:
        return resolved_settings(preset=self.preset, precision=self.precision)

    def _preset(self, in_force: Settings) -> LoadedPreset:
        """The preset, read from its file each time: a service may reload it."""
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
            split_names(self.stems),
            given,
            {name: True for name, enabled in bounce.items() if enabled},
            session,
            self.file_format,
        )


DEFAULT_OPTIONS = SeparationOptions()


def with_separation_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's parameter of type `SeparationOptions` by one parameter per field.

    typer derives options from a function's signature, so the decorator changes the signature.
    """
    hints, shared = (
        get_type_hints(one, include_extras=True) for one in (command, SeparationOptions)
    )
    own = [one.replace(annotation=hints[one.name]) for one in _parameters(command)]
    (place,) = (index for index, one in enumerate(own) if one.annotation is SeparationOptions)
    name, own[place : place + 1] = (
        own[place].name,
        [
            inspect.Parameter(
                field.name, own[place].kind, default=field.default, annotation=shared[field.name]
            )
            for field in fields(SeparationOptions)
        ],
    )

    @wraps(command)
    def shared_command(**given: object) -> None:
        values = {field.name: given.pop(field.name) for field in fields(SeparationOptions)}
        separation = SeparationOptions(**values)  # type: ignore[arg-type]
        command(**{name: separation}, **given)

    del shared_command.__wrapped__  # else typer would read its signature
    shared_command.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
    shared_command.__annotations__ = {one.name: one.annotation for one in own}
    return shared_command


def _parameters(command: Callable[..., None]) -> list[inspect.Parameter]:
    return list(inspect.signature(command).parameters.values())


def _check_ranges(given: Mapping[str, object]) -> None:
    """Raise UsageError, with the option's name on the command line, for a value out of range."""
    from bridge.errors import UsageError
    from separator.errors import InputError
    from separator.options import Options

    for name, value in given.items():
        try:
            Options(**{name: value})  # type: ignore[arg-type]
        except InputError as error:
            typed = f"--{name.removesuffix('_s').replace('_', '-')}"
            raise UsageError(str(error).replace(name, typed, 1)) from None


def resolved_settings(**flags: object) -> Settings:
    """The settings from file, environment and command-line flags."""
    from bridge.config import resolve

    return resolve(flags).settings


def split_names(text: str | None) -> tuple[str, ...]:
    """Names from a comma-separated list."""
    return tuple(filter(None, (name.strip() for name in (text or "").split(","))))


def new_worker() -> Worker:
    """A worker with download bars: the prestarted one, or a new one that is not started."""
    from bridge.cli.show import DownloadBar, note
    from bridge.worker import client, prestart

    return client.Worker(DownloadBar(), note, prestart.take())
