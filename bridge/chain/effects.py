"""The effects a preset can name: typed parameters with ranges and defaults, and their plugins.

`EFFECTS` is the one table. The preset schema, the error messages and the README's list are made
from it. pedalboard is imported only when a plugin is built, so that reading a preset stays fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from bridge.errors import PresetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pedalboard

# No coercion ("3" is not 3), no unknown key, no NaN, no change after loading.
STRICT = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

UNITS = {"db": "dB", "dbfs": "dBFS", "hz": "Hz", "ms": "ms"}


class Effect(BaseModel):
    """One effect with its parameters. Runs on every stem, on all channels."""

    model_config = STRICT
    effect_name: ClassVar[str]
    about: ClassVar[str]


class DcRemoval(Effect):
    """Subtracts each channel's mean over the whole file: no filter, so no phase shift."""

    effect_name = "dc_removal"
    about = (
        "takes each channel's constant offset away, measured over the whole file; shifts no phase"
    )


class Gain(Effect):
    """A constant gain."""

    effect_name = "gain"
    about = "louder or softer"
    gain_db: float = Field(default=0.0, ge=-60, le=24, description="gain")


class Highpass(Effect):
    """A first-order high-pass, 6 dB per octave."""

    effect_name = "highpass"
    about = "takes the lows away, 6 dB per octave"
    cutoff_hz: float = Field(
        default=80.0, ge=10, le=20_000, description="frequency that is 3 dB down"
    )


class Lowpass(Effect):
    """A first-order low-pass, 6 dB per octave."""

    effect_name = "lowpass"
    about = "takes the highs away, 6 dB per octave"
    cutoff_hz: float = Field(
        default=16_000.0, ge=10, le=20_000, description="frequency that is 3 dB down"
    )


class Compressor(Effect):
    """A feed-forward compressor. Each channel is measured on its own."""

    effect_name = "compressor"
    about = "evens out the level, each channel on its own; adds no make-up gain"
    threshold_db: float = Field(
        default=-18.0, ge=-60, le=0, description="level where it starts to act"
    )
    ratio: float = Field(
        default=2.0, ge=1, le=20, description="level rise at the input for 1 dB at the output"
    )
    attack_ms: float = Field(default=10.0, ge=0.1, le=200, description="time to act on a rise")
    release_ms: float = Field(default=100.0, ge=5, le=2000, description="time to let go")


class Limiter(Effect):
    """A look-ahead limiter without make-up gain; all channels get the same gain.

    This is pedalboard's BrickwallLimiter. pedalboard's own `Limiter` is a maximiser: it raises the
    level by up to 13 dB and clips.
    """

    effect_name = "limiter"
    about = (
        "holds peaks at the ceiling, all channels by the same gain; leaves softer sound untouched"
    )
    ceiling_db: float = Field(default=-1.0, ge=-24, le=0, description="highest peak")
    release_ms: float = Field(default=100.0, ge=1, le=1000, description="time to let go")
    true_peak: bool = Field(
        default=False, description="also look between the frames (4x oversampled)"
    )


EFFECTS: Mapping[str, type[Effect]] = {
    effect.effect_name: effect
    for effect in (DcRemoval, Gain, Highpass, Lowpass, Compressor, Limiter)
}


def _name(item: object) -> str | None:
    """The effect's name in `name` or `{name: {...}}`."""
    if isinstance(item, Effect):
        return item.effect_name
    if isinstance(item, dict) and len(item) == 1:
        (item,) = item
    return item if isinstance(item, str) else None


def _parameters(item: object) -> object:
    """The parameters in `name` or `{name: {...}}`; none or empty means the defaults."""
    if isinstance(item, str):
        return {}
    if isinstance(item, dict):
        (parameters,) = item.values()
        return {} if parameters is None else parameters
    return item


_Before = BeforeValidator(_parameters)

# The type of one item of `chain`.
ChainItem = Annotated[
    Annotated[DcRemoval, _Before, Tag("dc_removal")]
    | Annotated[Gain, _Before, Tag("gain")]
    | Annotated[Highpass, _Before, Tag("highpass")]
    | Annotated[Lowpass, _Before, Tag("lowpass")]
    | Annotated[Compressor, _Before, Tag("compressor")]
    | Annotated[Limiter, _Before, Tag("limiter")],
    Discriminator(_name),
]


@dataclass(frozen=True)
class Parameter:
    """A row of the effects' table. Limits are None for true/false."""

    effect: str
    name: str
    unit: str
    minimum: float | None
    maximum: float | None
    default: float | bool
    about: str


def unit(name: str) -> str:
    """The unit that a parameter's name carries: `cutoff_hz` is in Hz, `ratio` has none ("")."""
    return UNITS.get(name.rpartition("_")[2], "")


def parameters(effect: type[Effect]) -> tuple[Parameter, ...]:
    """The rows of one effect, in the order in which they are declared."""
    fields = effect.model_json_schema().get("properties", {})
    return tuple(
        Parameter(
            effect=effect.effect_name,
            name=name,
            unit=unit(name),
            minimum=field.get("minimum"),
            maximum=field.get("maximum"),
            default=field["default"],
            about=field["description"],
        )
        for name, field in fields.items()
    )


def table_markdown() -> str:
    """The effects' table of the README: columns are padded, so that it reads as plain text too."""
    rows: list[tuple[str, ...]] = [("effect", "parameter", "range", "default", "what it does")]
    for effect in EFFECTS.values():
        rows.append((f"`{effect.effect_name}`", "", "", "", effect.about))
        for item in parameters(effect):
            flag = item.minimum is None
            span = "true, false" if flag else f"{item.minimum:g} to {item.maximum:g} {item.unit}"
            default = str(item.default).lower() if flag else f"{item.default:g}"
            rows.append(("", f"`{item.name}`", span.strip(), default, item.about))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    lines = (" | ".join(map(str.ljust, row, widths)) for row in rows)
    return "".join(f"| {line} |\n" for line in lines)


def parts(effects: Sequence[Effect]) -> tuple[tuple[Effect, ...], ...]:
    """A chain cut before every DC removal, which needs the whole file before its first frame.

    Every part but perhaps the first starts with DcRemoval. Before such a part, measure the mean of
    the audio that the part before it gave (render.Measure) and hand it to render.render as
    `offsets`. An empty chain has no parts.
    """
    cut: list[list[Effect]] = []
    for effect in effects:
        if not cut or isinstance(effect, DcRemoval):
            cut.append([])
        cut[-1].append(effect)
    return tuple(tuple(part) for part in cut)


def check_rate(effects: Sequence[Effect], rate_hz: float) -> None:
    """PresetError if an effect cannot work at this rate. Cheap: call it before the separation."""
    for effect in effects:
        if isinstance(effect, Highpass) and effect.cutoff_hz >= rate_hz / 2:
            raise PresetError(
                f"highpass at {effect.cutoff_hz:g} Hz leaves nothing of audio at {rate_hz:g} Hz; "
                f"use a cutoff_hz below {rate_hz / 2:g}"
            )


def board(effects: Sequence[Effect], rate_hz: float) -> pedalboard.Chain | None:
    """A fresh chain of the effects' plugins, or None if there is nothing to run.

    DcRemoval has no plugin: render.render subtracts. A low-pass at or above half the rate passes
    all that the rate can hold, so it is left out; the filter would fold back or mute there.
    Raises PresetError for an effect that cannot work at this rate.
    """
    check_rate(effects, rate_hz)
    plugins = [plugin for effect in effects if (plugin := _plugin(effect, rate_hz)) is not None]
    if not plugins:
        return None
    import pedalboard

    return pedalboard.Chain(plugins)


def _plugin(effect: Effect, rate_hz: float) -> pedalboard.Plugin | None:
    import pedalboard

    match effect:
        case Gain():
            return pedalboard.Gain(effect.gain_db)
        case Highpass():
            return pedalboard.HighpassFilter(effect.cutoff_hz)
        case Lowpass() if effect.cutoff_hz < rate_hz / 2:
            return pedalboard.LowpassFilter(effect.cutoff_hz)
        case Compressor():
            return pedalboard.Compressor(
                threshold_db=effect.threshold_db,
                ratio=effect.ratio,
                attack_ms=effect.attack_ms,
                release_ms=effect.release_ms,
            )
        case Limiter():
            return pedalboard.BrickwallLimiter(
                ceiling_db=effect.ceiling_db,
                release_ms=effect.release_ms,
                true_peak=effect.true_peak,
            )
        case _:
            return None
