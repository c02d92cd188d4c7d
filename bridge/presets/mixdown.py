"""Mixdowns: buses of stems with gains, pans and a chain, each written to a file."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    model_validator,
)

from bridge.dsp.decibel import db_to_linear
from bridge.effects.conditions import When  # noqa: TC001 pydantic evaluates the annotation
from bridge.effects.registry import ChainItem, Effect, TrimSilence
from bridge.effects.strict import STRICT, preset_error
from bridge.presets.messages import format_value

if TYPE_CHECKING:
    from collections.abc import Sequence

REST = "rest"  # all sources without an entry of their own
OFF = "off"

MIN_GAIN_DB, MAX_GAIN_DB = -96.0, 24.0

# Characters that Windows, macOS or Linux refuse in file names, and control characters, line and
# paragraph separators, bidirectional controls and lone surrogates, which break listings.
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]')
MAX_NAME = 64  # leaves room for the bounce's own name within the usual 255 bytes


class Level(BaseModel):
    """Gain and pan of a source on a bus.

    pan_percent: -100 (left) to 100 (right), with the law of the effect `pan`.
    """

    model_config = STRICT
    gain_db: float = Field(default=0.0, ge=MIN_GAIN_DB, le=MAX_GAIN_DB)
    pan_percent: float = Field(default=0.0, ge=-100, le=100)


def _level(value: object) -> object:
    """Parse a gain in dB, `off`, or a mapping with gain and pan."""
    if isinstance(value, dict | Level):
        return value
    if value == OFF:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and MIN_GAIN_DB <= value <= MAX_GAIN_DB:  # type: ignore[operator]
        return Level(gain_db=float(value))  # type: ignore[arg-type]
    raise preset_error(
        f"gain {format_value(value)} is not allowed; "
        f"write {MIN_GAIN_DB:g} to {MAX_GAIN_DB:g} (dB) or off"
    )


SourceLevel = Annotated[Level | None, BeforeValidator(_level)]


def check_no_trim(chain: tuple[Effect, ...]) -> tuple[Effect, ...]:
    """Refuse trim_silence outside `chain`, as all files of a job have the same length."""
    if any(isinstance(effect, TrimSilence) for effect in chain):
        raise preset_error("'trim_silence' can only be the last effect of `chain`; move it there")
    return chain


Chain = Annotated[tuple[ChainItem, ...], AfterValidator(check_no_trim)]


class Mixdown(BaseModel):
    """One bus; `base` is the sum of stems, or the bounce with some stems changed."""

    model_config = STRICT
    mix: dict[str, SourceLevel]
    base: Literal["stems", "mixture"] = Field(default="stems", alias="from")
    chain: Chain = ()
    when: When | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """`{vocals: off, rest: 0}` stands for `{mix: {vocals: off, rest: 0}}`."""
        return long_form(value)

    @property
    def is_empty(self) -> bool:
        """Whether the bus is silent; one from the mixture keeps the sources without an entry."""
        return self.base == "stems" and all(level is None for level in self.mix.values())

    def levels(self, sources: Sequence[str]) -> dict[str, Level]:
        """Levels of the audible sources, in the order of the sources."""
        rest = self.mix.get(REST)
        found = {source: self.mix.get(source, rest) for source in sources}
        return {source: level for source, level in found.items() if level is not None}

    def weights(self, sources: Sequence[str]) -> dict[str, float]:
        """Linear gains of the audible sources, without pans."""
        levels = self.levels(sources)
        return {source: db_to_linear(level.gain_db) for source, level in levels.items()}

    def to_plain(self) -> dict[str, object]:
        """Plain data in the form of a preset file."""
        mix = {
            source: OFF if level is None else level.model_dump(exclude_unset=True)
            for source, level in self.mix.items()
        }
        rest = self.model_dump(by_alias=True, exclude_unset=True, exclude={"mix", "chain"})
        return {"mix": mix, **rest, "chain": chain_to_plain(self.chain)}

    def identity(self) -> object:
        """Everything that changes the sound; a plain mixdown is its gains in dB, as in schema 1."""
        plain = all(level is None or not level.pan_percent for level in self.mix.values())
        if plain and self.base == "stems" and not self.chain and self.when is None:
            return {s: None if level is None else level.gain_db for s, level in self.mix.items()}
        content = self.model_dump(mode="json", by_alias=True, exclude={"chain"})
        return {**content, "chain": chain_identity(self.chain)}


def long_form(value: Any) -> Any:
    """Long form of a mixdown; a value that is not a mapping is returned unchanged."""
    is_long = not isinstance(value, dict) or isinstance(value.get("mix"), dict)
    return value if is_long else {"mix": value}


def chain_to_plain(chain: Sequence[Effect]) -> list[dict[str, object]]:
    """Plain data of a chain, explicit values only: a default may be invalid next to them."""
    return [
        {effect.effect_name: effect.model_dump(by_alias=True, exclude_unset=True)}
        for effect in chain
    ]


def chain_identity(chain: Sequence[Effect]) -> list[object]:
    """Everything in a chain that changes the sound, as plain data for a hash."""
    return [
        [effect.effect_name, effect.identity()]
        if effect.when is None
        else [effect.effect_name, effect.identity(), effect.when.model_dump(mode="json")]
        for effect in chain
    ]


def file_part(name: str) -> str:
    """Validate the name of a mixdown, which becomes part of a file name."""
    if not is_file_part(name):
        raise preset_error(
            f"mixdown name '{name}' cannot be part of a file name; "
            f"use up to {MAX_NAME} letters, digits, spaces or dashes"
        )
    return name


def is_file_part(name: str) -> bool:
    """Whether a name can be part of a file name on every system."""
    plain = bool(name) and name == name.strip(" .") and not _UNSAFE.search(name)
    return plain and len(name) <= MAX_NAME


def file_key(name: str) -> str:
    """Key that is equal for names that a file system may treat as one (case, composition)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


MixdownName = Annotated[str, AfterValidator(file_part)]
