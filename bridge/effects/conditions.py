"""`when`: what must be so for a part of a preset to count. A mapping of facts, no language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from bridge.effects.strict import STRICT, preset_error

# What `audio.probe` takes.
_LOWEST_HZ, _HIGHEST_HZ = 8_000, 192_000


@dataclass(frozen=True)
class JobFacts:
    """What is known of a job. None: not known yet, as the bounce was not looked at.

    stems: the outputs of the model in force, with the residual's where that is a file.
    """

    stems: tuple[str, ...]
    channels: int | None = None
    rate_hz: int | None = None


def _names(value: object) -> object:
    """One name, or a list of them."""
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
    def _says_something(self) -> When:
        if not self.model_fields_set:
            raise preset_error(
                "'when' says nothing; write a condition, as in `when: {channels: mono}`"
            )
        return self

    def holds(self, facts: JobFacts) -> bool | None:
        """Whether all conditions do; None where that depends on what is not known yet."""
        answers = list(self._answers(facts))
        return False if False in answers else None if None in answers else True

    def _answers(self, facts: JobFacts) -> list[bool | None]:
        asked: list[bool | None] = []
        if self.has_stem is not None:
            asked.append({*self.has_stem} <= {*facts.stems})
        if self.channels is not None:
            asked.append(
                None if facts.channels is None else _layout(facts.channels) == self.channels
            )
        rate_hz = facts.rate_hz
        if self.min_rate_hz is not None:
            asked.append(None if rate_hz is None else rate_hz >= self.min_rate_hz)
        if self.max_rate_hz is not None:
            asked.append(None if rate_hz is None else rate_hz <= self.max_rate_hz)
        if self.negated is not None:
            inner = self.negated.holds(facts)
            asked.append(None if inner is None else not inner)
        return asked


def _layout(channels: int) -> str:
    return {1: "mono", 2: "stereo"}.get(channels, "multichannel")
