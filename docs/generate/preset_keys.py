"""The keys of a preset file: values and defaults from the models, meanings from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge.audio.leniency import Leniency
from bridge.effects.base import plain_field, unit
from bridge.effects.conditions import When
from bridge.presets.mixdown import Level, Mixdown
from bridge.presets.model import PresetContent, Separation
from bridge.presets.output import Headroom, Normalise, Output
from docs.generate.markdown import table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

# Model -> key in the file -> (allowed values where the schema does not say, meaning).
# A test names what is missing here.
KEYS: Mapping[type[BaseModel], Mapping[str, tuple[str, str]]] = {
    PresetContent: {
        "schema": ("1, 2", "version of the preset format; 2 allows everything on this page"),
        "summary": ("one line", "what the preset gives, for `presets list`"),
        "model": ("name or file", "the model; `--model` on the command line wins"),
        "residual": (
            "",
            "where the audio goes that no stem holds, see [Levels](../levels.md#residual)",
        ),
        "separation": ("mapping", "how the model runs, see below"),
        "aligned": (
            "",
            "`false` allows `trim_silence`, so that files begin and end where sound does",
        ),
        "chain": ("list of effects", "every stem runs through these, from top to bottom"),
        "stem_chains": (
            "stem: list of effects",
            "then each stem through its own; `rest` is every other stem",
        ),
        "tails": ("", "`keep` makes all files longer until echoes and rooms have ended"),
        "headroom": ("mapping", "gain against clipping, see below"),
        "normalise": ("mapping", "loudness or true peak of the files, see below"),
        "limiter": ("parameters of `limiter`", "on every file, after the headroom gain"),
        "mixdowns": ("name: mixdown", "files that are sums of stems, see below"),
        "master": (
            "list of effects",
            "one more file, `master`: the sum of all stems through these",
        ),
        "stems": ("`all` or list of names", "the stems that become files; `[]` for none"),
        "output": ("mapping", "file format and depth, see below"),
        "session": ("list", "[session files](../session-files.md) beside the stems"),
        "bounce": ("mapping", "what to do with damaged and silent bounces, see below"),
    },
    Separation: {
        "two_stems": ("name of a stem", "only this stem and `no_STEM`, everything else"),
        "other_method": (
            "",
            "`no_STEM` is the bounce minus the stem, or the sum of the other stems",
        ),
        "segment_s": ("", "length of the segments; shorter needs less memory; Demucs only"),
        "overlap": ("", "share of a segment that overlaps the next; default 0.25; Demucs only"),
        "transition_power": ("", "exponent of the cross-fade between segments; 1 is linear"),
        "shifts": ("", "average of this many runs, each shifted in time; Demucs only"),
        "seed": ("", "moves the shifts; the same seed gives the same stems"),
        "wiener": ("", "refine Spleeter's masks with a multichannel Wiener filter"),
    },
    Headroom: {
        "mode": ("", "see [Levels](../levels.md#headroom)"),
        "ceiling_dbfs": ("", "highest value that a file may have"),
    },
    Normalise: {
        "lufs": ("", "target of the integrated loudness"),
        "dbtp": ("", "target of the true peak; give `lufs` or `dbtp`, not both"),
        "linked": ("", "one gain for all files, so that the loudest reaches the target"),
    },
    Output: {
        "format": ("", "see [Formats](../formats.md)"),
        "subtype": ("", "depth; `same` is that of the bounce"),
        "bitrate_kbps": ("", "of MP3, Opus and M4A"),
        "quality": ("", "of Ogg Vorbis; default 8"),
        "dither": ("", "see [Levels](../levels.md#depth-and-dither)"),
    },
    Mixdown: {
        "mix": (
            "stem: gain in dB, `off`, or `{gain_db, pan_percent}`",
            "the stems in it; `rest` is every other one",
        ),
        "from": ("", "`mixture`: the bounce itself, with only the difference added"),
        "chain": ("list of effects", "on the mixdown"),
        "when": ("mapping", "make this file only under these conditions"),
    },
    Level: {
        "gain_db": ("", "gain of the stem"),
        "pan_percent": ("", "-100 is left, 100 is right"),
    },
    When: {
        "has_stem": ("name, or list of names", ""),
        "channels": ("", ""),
        "min_rate_hz": ("", ""),
        "max_rate_hz": ("", ""),
        "not": ("mapping", ""),
    },
    Leniency: {
        "accept_truncated": ("", "take a bounce that is cut off, as far as it goes"),
        "repair": ("", "replace NaN, Inf and values beyond +120 dBFS"),
        "skip_silent": ("", "make no stems of digital silence"),
    },
}

# Keys that the loader resolves before the models see the file.
FILE_KEYS = (
    ("`extends`", "name or file", "none", "take another preset and change it"),
    (
        "`variables`",
        "name: value",
        "none",
        "values that `${name}` stands for; `--set name=value` replaces one",
    ),
)
_TITLES = {
    PresetContent: "Top level",
    Separation: "separation",
    Headroom: "headroom",
    Normalise: "normalise",
    Output: "output",
    Mixdown: "A mixdown",
    Level: "A stem in a mixdown",
    When: "when",
    Leniency: "bounce",
}
_HEADER = ("key", "values", "default", "what it does")


def fields(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """The JSON schema of each key of a model."""
    schema = model.model_json_schema(by_alias=True)
    if "$ref" in schema:  # a model that contains itself
        schema = schema["$defs"][model.__name__]
    found: dict[str, dict[str, Any]] = schema["properties"]
    return found


def reference() -> str:
    """A table for each mapping of a preset file."""
    return "\n".join(_section(model) for model in KEYS)


def _section(model: type[BaseModel]) -> str:
    rows = [_row(model, name, field) for name, field in fields(model).items()]
    first = FILE_KEYS if model is PresetContent else ()
    return f"### {_TITLES[model]}\n\n{table(_HEADER, [*rows[:2], *first, *rows[2:]])}"


def _row(model: type[BaseModel], name: str, raw: dict[str, Any]) -> tuple[str, ...]:
    given, meaning = KEYS[model].get(name, ("", ""))
    field = plain_field(raw)
    values = given or _values(name, field)
    return f"`{name}`", values, _default(raw), meaning or field.get("description", "")


def _values(name: str, field: dict[str, Any]) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "boolean":
        return "`true`, `false`"
    least, most = field.get("minimum"), field.get("maximum")
    if least is not None and most is not None:
        return f"{least:g} to {most:g} {unit(name)}".strip()
    return f"from {least:g}" if least is not None else str(field.get("type", ""))


def _default(field: dict[str, Any]) -> str:
    if "default" not in field:
        return "" if field.get("title") != "Schema" else "required"
    value = field["default"]
    if value in (None, [], {}):
        return "none"
    if isinstance(value, dict):
        return "see below"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, (int, float)) else f"`{value}`"
