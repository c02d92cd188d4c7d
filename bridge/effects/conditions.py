"""`when`: conditions under which a part of a preset applies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from bridge.effects.strict import STRICT, preset_error

# Rates that `audio.probe` accepts.
_LOWEST_HZ, _HIGHEST_HZ = 8_000, 192_000


@dataclass(frozen=True)
class JobFacts:
    """Facts that conditions depend on.

    Attributes:
        stems: outputs of the model, with that of the residual where it is a file.
        channels: of the bounce; None where it was not read yet.
        rate_hz: of the bounce; None where it was not read yet.
    """

    stems: tuple[str, ...]
    channels: int | None = None
    rate_hz: int | None = None


def _names(value: object) -> object:
    """Validate one name or a list of names."""
    names = (value,) if isinstance(value, str) else value
    if isinstance(names, tuple) and names and all(isinstance(n, str) and n for n in names):
        return names
    raise preset_error(
        "'has_stem' must be a stem's name or a list of them; write `has_stem: vocals`"
    )


class When(BaseModel):
    """Conditions, all of which must hold."""

    model_config = STRICT
    has_stem: Annotated[tuple[str, ...], BeforeValidator(_names)] | None = Field(
        default=None, description="the model has this stem, or all of these"
    )
    channels: Literal["mono", "stereo", "multichannel"] | None = Field(
        default=None, description="the bounce is mono, stereo or wider"
    )
    min_rate_hz: int | None = Field(
        default=None, ge=_LOWEST_HZ, le=_HIGHEST_HZ, description="the bounce has this rate or more"
    )
    max_rate_hz: int | None = Field(
        default=None, ge=_LOWEST_HZ, le=_HIGHEST_HZ, description="the bounce has this rate or less"
    )
    negated: When | None = Field(
        default=None, alias="not", description="these conditions do not all hold"
    )

    @model_validator(mode="after")
    def _has_conditions(self) -> When:
        if not self.model_fields_set:
            raise preset_error("'when' is empty; write a condition, as in `when: {channels: mono}`")
        return self

    def holds(self, facts: JobFacts) -> bool | None:
        """Whether all conditions hold; None where that depends on unknown facts."""
        results = list(self._results(facts))
        return False if False in results else None if None in results else True

    def _results(self, facts: JobFacts) -> list[bool | None]:
        results: list[bool | None] = []
        if self.has_stem is not None:
            results.append({*self.has_stem} <= {*facts.stems})
        if self.channels is not None:
            results.append(
                None if facts.channels is None else _layout(facts.channels) == self.channels
            )
        rate_hz = facts.rate_hz
        if self.min_rate_hz is not None:
            results.append(None if rate_hz is None else rate_hz >= self.min_rate_hz)
        if self.max_rate_hz is not None:
            results.append(None if rate_hz is None else rate_hz <= self.max_rate_hz)
        if self.negated is not None:
            inner = self.negated.holds(facts)
            results.append(None if inner is None else not inner)
        return results


def _layout(channels: int) -> str:
    return {1: "mono", 2: "stereo"}.get(channels, "multichannel")
