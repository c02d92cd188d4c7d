"""Base class of effects, and the parameter table for the documentation.

The effects are in `tone`, `dynamics`, `stereo`, `space` and `plugin`. `registry` lists them; the
preset schema, the error messages and the documentation are generated from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from bridge.effects.conditions import When  # noqa: TC001 pydantic evaluates the annotation
from bridge.effects.strict import STRICT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.dsp.processor import Node, ProcessSpec

UNITS = {
    "db": "dB",
    "dbfs": "dBFS",
    "dbtp": "dBTP",
    "hz": "Hz",
    "ms": "ms",
    "octave": "dB/octave",
    "percent": "%",
    "s": "s",
}


class Effect(BaseModel):
    """One effect with its parameters."""

    model_config = STRICT
    effect_name: ClassVar[str]
    description: ClassVar[str]
    when: When | None = None

    @property
    def intended_delay(self) -> bool:
        """Whether the effect delays sound by design (an echo), so that alignment is not checked."""
        return False

    def problem(self, spec: ProcessSpec) -> str | None:
        """Reason why the effect does not support this format, and what to do; None if it does."""
        del spec
        return None

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """New nodes in order; none where the effect has nothing to do."""
        raise NotImplementedError

    def identity(self) -> object:
        """Everything that changes the sound, as plain data for a preset's hash.

        `when` is not included; the preset adds it.
        """
        return self.model_dump(mode="json", exclude={"when"})


def frequency_problem(
    name: str, frequency_hz: float, spec: ProcessSpec, parameter: str = "cutoff_hz"
) -> str:
    """Message about a frequency at or above half the rate.

    Args:
        name: name of the effect.
        frequency_hz: its frequency.
        spec: format of the audio.
        parameter: name of the parameter.
    """
    return (
        f"{name} at {frequency_hz:g} Hz cannot work on audio at {spec.rate_hz:g} Hz; "
        f"use a {parameter} below {spec.rate_hz / 2:g}"
    )


@dataclass(frozen=True)
class Parameter:
    """A row of the table of parameters; `span` is the range in words, `default` the YAML value."""

    effect: str
    name: str
    unit: str
    minimum: float | None
    maximum: float | None
    span: str
    default: str
    description: str


def unit(name: str) -> str:
    """Unit from the suffix of a parameter's name: `cutoff_hz` is in Hz, `ratio` has none ("")."""
    return UNITS.get(name.rpartition("_")[2], "") if "_" in name else ""


def parameters(effect: type[Effect]) -> tuple[Parameter, ...]:
    """The parameters of an effect in the order of declaration."""
    schema = effect.model_json_schema()
    required = schema.get("required", ())
    return tuple(
        _row(effect.effect_name, name, plain_field(field), required=name in required)
        for name, field in schema.get("properties", {}).items()
        if name != "when"
    )


def plain_field(field: dict[str, Any]) -> dict[str, Any]:
    """JSON schema of a field; of an optional one, the schema of its value."""
    inner: dict[str, Any] = next(
        (kind for kind in field.get("anyOf", ()) if kind.get("type") != "null"), {}
    )
    return {**inner, **field}


def _row(effect: str, name: str, field: dict[str, Any], *, required: bool) -> Parameter:
    default = field.get("default")
    return Parameter(
        effect=effect,
        name=name,
        unit=unit(name),
        minimum=field.get("minimum"),
        maximum=field.get("maximum"),
        span=_span(name, field),
        default="required" if required else _format_default(default),
        description=field["description"],
    )


def _span(name: str, field: dict[str, Any]) -> str:
    if "span" in field:
        return str(field["span"])
    if "enum" in field:
        return f"{', '.join(map(str, field['enum']))} {unit(name)}".strip()
    if field.get("type") == "boolean":
        return "true, false"
    return f"{field['minimum']:g} to {field['maximum']:g} {unit(name)}".strip()


def _format_default(default: object) -> str:
    if default is None or default in ([], {}):
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, (int, float)) else str(default)
