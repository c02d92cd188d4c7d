"""Presets: what becomes of the stems of one bounce. A YAML file in, a frozen Preset out."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import platformdirs
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from bridge.chain.effects import EFFECTS, STRICT, ChainItem, Limiter
from bridge.chain.levels import db_to_linear
from bridge.chain.problems import explain, shown, suggestion
from bridge.chain.yamlfile import Document, read
from bridge.errors import PresetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REST = "rest"  # in a mixdown: every source that it does not name
OFF = "off"

MIN_GAIN_DB, MAX_GAIN_DB = -96.0, 24.0

# Characters that Windows, macOS or Linux refuse in a file name, and control characters.
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_MAX_NAME = 64  # leaves room for the bounce's own name within the usual 255 bytes


def _wrong(message: str) -> PydanticCustomError:
    """An error whose message is final (pydantic would fill in braces)."""
    return PydanticCustomError("preset", "{message}", {"message": message})


def _summary(text: str) -> str:
    if not text.strip() or "\n" in text.strip():
        raise _wrong("'summary' must be one line of text; shorten it")
    return text.strip()


def _file_part(name: str) -> str:
    """A mixdown's name becomes part of a file name on every system."""
    if not name or name != name.strip(" .") or len(name) > _MAX_NAME or _UNSAFE.search(name):
        raise _wrong(
            f"mixdown name '{name}' cannot be part of a file name; "
            f"use up to {_MAX_NAME} letters, digits, spaces or dashes"
        )
    return name


def _source_gain(value: object) -> float | None:
    """A gain in dB, or None for `off`."""
    if value == OFF:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and MIN_GAIN_DB <= value <= MAX_GAIN_DB:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    raise _wrong(
        f"gain {shown(value)} is not allowed; write {MIN_GAIN_DB:g} to {MAX_GAIN_DB:g} (dB) or off"
    )


def _stem_choice(value: object) -> Literal["all"] | tuple[str, ...]:
    if value == "all":
        return "all"
    if isinstance(value, tuple) and all(isinstance(name, str) and name for name in value):
        doubled = sorted({name for name in value if value.count(name) > 1})
        if doubled:
            raise _wrong(f"'stems' names '{doubled[0]}' twice; remove one")
        return value
    raise _wrong(
        "'stems' must be all or a list of stem names; write `stems: all` or `stems: [vocals]`"
    )


class Headroom(BaseModel):
    """One gain for all outputs, only ever an attenuation, so that none exceeds the ceiling.

    mode: fit (only where the file is fixed-point and would clip; floating point has no ceiling),
    common (in every file), or none (levels stay; a fixed-point file clips above full scale).
    ceiling_dbfs: highest peak of a frame, -60 to 0 dBFS.
    """

    model_config = STRICT
    mode: Literal["fit", "common", "none"] = "fit"
    ceiling_dbfs: float = Field(default=0.0, ge=-60, le=0)

    @field_validator("ceiling_dbfs")
    @classmethod
    def _has_effect(cls, value: float, info: ValidationInfo) -> float:
        if info.data.get("mode") == "none":
            raise _wrong("'ceiling_dbfs' has no effect with `mode: none`; remove one of them")
        return value


class Separation(BaseModel):
    """How the model is run; `separator.options` says what each does, and gives the defaults.

    Left out, everything is as the official program does it.
    """

    model_config = STRICT
    two_stems: Annotated[str, Field(min_length=1)] | None = None
    other_method: Literal["minus", "add"] = "minus"
    segment_s: float | None = Field(default=None, ge=0.1, le=600)
    overlap: float | None = Field(default=None, ge=0, le=0.99)
    transition_power: float = Field(default=1.0, ge=1, le=100)
    shifts: int = Field(default=0, ge=0, le=100)
    seed: int = Field(default=0, ge=0)
    wiener: bool = False


class Output(BaseModel):
    """How the outputs are written. subtype: that of the bounce (same), or a fixed one."""

    model_config = STRICT
    subtype: Literal["same", "PCM_16", "PCM_24", "FLOAT"] = "same"


Name = Annotated[str, AfterValidator(_file_part)]
SourceGain = Annotated[float | None, BeforeValidator(_source_gain)]


class Settings(BaseModel):
    """The content of a preset file, schema 1. The README explains every key."""

    model_config = STRICT
    schema_version: Literal[1] = Field(alias="schema")
    summary: Annotated[str, AfterValidator(_summary)]
    model: Annotated[str, Field(min_length=1)] | None = None
    residual: Literal["add-to-last", "stem", "off"] = "add-to-last"
    separation: Separation = Separation()
    chain: tuple[ChainItem, ...] = ()
    headroom: Headroom = Headroom()
    limiter: Limiter | None = None
    mixdowns: dict[Name, dict[str, SourceGain]] = Field(default={})
    stems: Annotated[Literal["all"] | tuple[str, ...], BeforeValidator(_stem_choice)] = "all"
    output: Output = Output()

    @field_validator("mixdowns")
    @classmethod
    def _audible(
        cls, mixdowns: dict[str, dict[str, float | None]]
    ) -> dict[str, dict[str, float | None]]:
        for name, gains in mixdowns.items():
            if all(gain is None for gain in gains.values()):
                raise _wrong(
                    f"mixdown '{name}' holds nothing; give a source or rest a gain, as in `rest: 0`"
                )
        return mixdowns

    @field_validator("stems")
    @classmethod
    def _publishes(cls, stems: Literal["all"] | tuple[str, ...], info: ValidationInfo) -> object:
        mixdowns = info.data.get("mixdowns")
        if stems == () and mixdowns == {}:
            raise _wrong("nothing would be published; name a stem in 'stems' or add a mixdown")
        return stems


class Preset(Settings):
    """A loaded preset.

    name: the file's name without its ending. path: the file.
    """

    name: str
    path: Path

    @property
    def is_linear(self) -> bool:
        """True if the published stems must null against gain x bounce: all there, unprocessed."""
        return self.is_sum and not self.chain and self.limiter is None

    @property
    def is_sum(self) -> bool:
        """True if the published stems are all of the bounce; effects may have changed them."""
        rest_is_difference = self.separation.two_stems and self.separation.other_method == "minus"
        return self.stems == "all" and (self.residual != "off" or bool(rest_is_difference))

    @property
    def content_hash(self) -> str:
        """sha256 (hex) of all that changes the sound or the files: not name, path or summary."""
        content = self.model_dump(
            mode="json", by_alias=True, exclude={"name", "path", "summary", "chain"}
        )
        content["chain"] = [
            [effect.effect_name, effect.model_dump(mode="json")] for effect in self.chain
        ]
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def adjusted(self, stems: tuple[str, ...], separation: Mapping[str, object]) -> Preset:
        """The same preset with other stems (none: its own) and other fields of `separation`.

        Ranges are checked where the separation is made.
        """
        changes: dict[str, object] = {}
        if separation:
            changes["separation"] = self.separation.model_copy(update=dict(separation))
        if stems:
            # The path is what a complaint about the stems begins with.
            changes |= {"stems": stems, "mixdowns": {}, "path": Path("--stems")}
        return self.model_copy(update=changes)

    @property
    def wanted(self) -> tuple[str, ...] | None:
        """The stems that the outputs are made of; None if that can be all of the model's."""
        mixed = (item for gains in self.mixdowns.values() for item in gains.items())
        named = [source for source, gain in mixed if gain is not None]
        if self.stems == "all" or REST in named:
            return None
        return tuple(dict.fromkeys([*self.stems, *named]))

    def outputs(self, sources: Sequence[str]) -> dict[str, dict[str, float]]:
        """What to publish: output name -> {source: linear gain, 0 left out}, stems first.

        sources: the names that the separation delivers, in the model's order, with the residual's
        name where `residual` is `stem`. Raises PresetError for a stem the model does not have
        (naming the nearest), and for a mixdown that is empty or bears another output's name.
        """
        named = [] if self.stems == "all" else list(self.stems)
        named += [source for gains in self.mixdowns.values() for source in gains if source != REST]
        for name in named:
            if name not in sources:
                raise PresetError(
                    f"{self.path}: this model has no stem '{name}'; {suggestion(name, sources)}"
                )
        stems = sources if self.stems == "all" else self.stems
        outputs = {stem: {stem: 1.0} for stem in stems}
        # File names that differ only in case are one file on macOS and Windows.
        taken = {stem.casefold() for stem in stems}
        for name, gains in self.mixdowns.items():
            if name.casefold() in taken:
                raise PresetError(
                    f"{self.path}: mixdown '{name}' has the name of another output; rename it"
                )
            taken.add(name.casefold())
            outputs[name] = _weights(gains, sources)
            if not outputs[name]:
                raise PresetError(
                    f"{self.path}: this model leaves mixdown '{name}' empty; use another model"
                )
        return outputs


def _weights(gains: Mapping[str, float | None], sources: Sequence[str]) -> dict[str, float]:
    """The linear gain of every source that is heard in a mixdown."""
    rest_db = gains.get(REST)
    in_db = {source: gains.get(source, rest_db) for source in sources}
    return {source: db_to_linear(gain) for source, gain in in_db.items() if gain is not None}


def folders() -> tuple[Path, ...]:
    """Where names are looked up: the user's folder, then the shipped one (wheel or checkout)."""
    package = Path(__file__).parents[1]
    shipped = package / "presets"
    if not shipped.is_dir():
        shipped = package.parent / "presets"
    return (Path(platformdirs.user_config_dir("stembridge")) / "presets", shipped)


def find(within: Sequence[Path] | None = None) -> dict[str, Path]:
    """Every preset's name and file, by name. A user's preset hides a shipped one of its name."""
    found: dict[str, Path] = {}
    for folder in folders() if within is None else within:
        for file in sorted(folder.glob("*.y*ml")) if folder.is_dir() else ():
            if file.suffix in (".yaml", ".yml"):
                found.setdefault(file.stem, file)
    return dict(sorted(found.items()))


def available(within: Sequence[Path] | None = None) -> list[Preset]:
    """Every preset, by name. Raises PresetError for the first broken one.

    To list them all the same, `find` them and `load_file` one by one.
    """
    return [load_file(path) for path in find(within).values()]


def load(name_or_path: str | Path, within: Sequence[Path] | None = None) -> Preset:
    """Load a preset by name, or by path if it ends in .yaml or .yml or contains a path separator.

    within: folders to look names up in, first wins; by default `folders()`.
    Raises PresetError, as PresetError (with `.problems`) where lines of the file can be named.
    """
    text = str(name_or_path)
    if (
        isinstance(name_or_path, Path)
        or text.endswith((".yaml", ".yml"))
        or "/" in text
        or "\\" in text
    ):
        return load_file(Path(name_or_path))
    known = find(within)
    if text not in known:
        raise PresetError(f"no preset is named '{text}'; {suggestion(text, known)}")
    return load_file(known[text])


def load_file(path: Path) -> Preset:
    """Load a preset file. Raises like `load`."""
    document = read(path)
    try:
        settings = Settings.model_validate(document.data)
    except ValidationError as error:
        raise PresetError(*_problems(error, document)) from error
    # Validated already, and `name` and `path` are no keys of the file.
    return Preset.model_construct(**dict(settings), name=path.stem, path=path)


_MODELS: Mapping[tuple[str, ...], type[BaseModel]] = {
    (): Settings,
    ("headroom",): Headroom,
    ("separation",): Separation,
    ("limiter",): Limiter,
    ("output",): Output,
    **{("chain", name): effect for name, effect in EFFECTS.items()},
}


def _problems(error: ValidationError, document: Document) -> list[str]:
    """All problems of a file in the order of its lines; of a foreign schema only that."""
    found = [(detail["loc"], explain(detail, _MODELS, EFFECTS)) for detail in error.errors()]
    foreign = [
        (place, text) for place, text in found if place == ("schema",) and "missing" not in text
    ]
    if foreign:
        text = (
            f"{foreign[0][1]}; this version reads schema 1, a newer preset needs a newer stembridge"
        )
        return [document.problem(("schema",), text)]
    found.sort(key=lambda item: document.line(item[0]))
    return [document.problem(place, text) for place, text in found]
