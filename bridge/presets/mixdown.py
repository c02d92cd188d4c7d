"""A mixdown: a bus that stems are mixed on, with gains and pans, a chain, and a file of its own."""

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
from bridge.effects.conditions import When  # noqa: TC001 pydantic reads it when it runs
from bridge.effects.registry import ChainItem, Effect, TrimSilence
from bridge.effects.strict import STRICT, preset_error
from bridge.presets.messages import format_value

if TYPE_CHECKING:
    from collections.abc import Sequence

REST = "rest"  # in a mixdown: every source that it does not name
OFF = "off"

MIN_GAIN_DB, MAX_GAIN_DB = -96.0, 24.0

# Characters that Windows, macOS or Linux refuse in a file name, and control characters, line and
# paragraph separators, changes of direction and lone surrogates, which break listings.
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]')
MAX_NAME = 64  # leaves room for the bounce's own name within the usual 255 bytes


class Level(BaseModel):
    """How loud a source is on a bus, and where it stands.

    pan_percent: -100 (left) to 100 (right), as the effect `pan` has it.
    """

    model_config = STRICT
    gain_db: float = Field(default=0.0, ge=MIN_GAIN_DB, le=MAX_GAIN_DB)
    pan_percent: float = Field(default=0.0, ge=-100, le=100)


def _level(value: object) -> object:
    """A gain in dB, `off`, or a mapping for gain and pan."""
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
    """For every chain but the one of all stems: all files of a job have one length."""
    if any(isinstance(effect, TrimSilence) for effect in chain):
        raise preset_error("'trim_silence' can only be the last effect of `chain`; move it there")
    return chain


Chain = Annotated[tuple[ChainItem, ...], AfterValidator(check_no_trim)]


class Mixdown(BaseModel):
    """One bus. base: its sum is made of the stems, or is the bounce itself with some changed."""

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
        """True if nothing is heard on it; from the mixture, what is not named stays."""
        return self.base == "stems" and all(level is None for level in self.mix.values())

    def levels(self, sources: Sequence[str]) -> dict[str, Level]:
        """The level of every source that is heard, in the order of the sources."""
        rest = self.mix.get(REST)
        found = {source: self.mix.get(source, rest) for source in sources}
        return {source: level for source, level in found.items() if level is not None}

    def weights(self, sources: Sequence[str]) -> dict[str, float]:
        """The same as linear gains; pans are not in them."""
        levels = self.levels(sources)
        return {source: db_to_linear(level.gain_db) for source, level in levels.items()}

    def to_plain(self) -> dict[str, object]:
        """As a file would say it, in plain data."""
        mix = {
            source: OFF if level is None else level.model_dump(exclude_unset=True)
            for source, level in self.mix.items()
        }
        rest = self.model_dump(by_alias=True, exclude_unset=True, exclude={"mix", "chain"})
        return {"mix": mix, **rest, "chain": chain_to_plain(self.chain)}

    def identity(self) -> object:
        """All that changes the sound; of a plain mixdown what schema 1 knew: its gains in dB."""
        plain = all(level is None or not level.pan_percent for level in self.mix.values())
        if plain and self.base == "stems" and not self.chain and self.when is None:
            return {s: None if level is None else level.gain_db for s, level in self.mix.items()}
        content = self.model_dump(mode="json", by_alias=True, exclude={"chain"})
        return {**content, "chain": chain_identity(self.chain)}


def long_form(value: Any) -> Any:
    """A mixdown's long form; what is no mapping stays as it is."""
    long = not isinstance(value, dict) or isinstance(value.get("mix"), dict)
    return value if long else {"mix": value}


def chain_to_plain(chain: Sequence[Effect]) -> list[dict[str, object]]:
    """A chain as a file would say it. Only what was given: a default may be refused beside it."""
    return [
        {effect.effect_name: effect.model_dump(by_alias=True, exclude_unset=True)}
        for effect in chain
    ]


def chain_identity(chain: Sequence[Effect]) -> list[object]:
    """What the hash of a chain is made of."""
    return [
        [effect.effect_name, effect.identity()]
        if effect.when is None
        else [effect.effect_name, effect.identity(), effect.when.model_dump(mode="json")]
        for effect in chain
    ]


def file_part(name: str) -> str:
    """A mixdown's name becomes part of a file name on every system."""
    if not is_file_part(name):
        raise preset_error(
            f"mixdown name '{name}' cannot be part of a file name; "
            f"use up to {MAX_NAME} letters, digits, spaces or dashes"
        )
    return name


def is_file_part(name: str) -> bool:
    """Whether it can be part of one."""
    plain = bool(name) and name == name.strip(" .") and not _UNSAFE.search(name)
    return plain and len(name) <= MAX_NAME


def file_key(name: str) -> str:
    """Equal for names that some file system takes for one: letter case, Unicode composition."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


MixdownName = Annotated[str, AfterValidator(file_part)]
