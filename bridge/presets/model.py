"""Models of a preset: the validated content of a file, and what follows from it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
)

from bridge.audio.leniency import Leniency
from bridge.effects.conditions import JobFacts, When
from bridge.effects.plugin import Plugin
from bridge.effects.registry import ChainItem, Effect, Limiter, TrimSilence
from bridge.effects.strict import STRICT, preset_error
from bridge.errors import ModelError, PresetError
from bridge.presets import session_formats
from bridge.presets.mixdown import (
    MAX_NAME,
    REST,
    Chain,
    Level,
    Mixdown,
    MixdownName,
    chain_identity,
    file_key,
    is_file_part,
)
from bridge.presets.output import Headroom, Normalise, Output
from bridge.system.spelling import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bridge.presets.yaml_source import Location

# Name of the output that holds the sum of all stems.
MASTER = "master"

Part = TypeVar("Part", Effect, Mixdown)


def _summary(text: str) -> str:
    if not text.strip() or "\n" in text.strip():
        raise preset_error("'summary' must be one line of text; shorten it")
    return text.strip()


def _stem_choice(value: object) -> Literal["all"] | tuple[str, ...]:
    if value == "all":
        return "all"
    if isinstance(value, tuple) and all(isinstance(name, str) and name for name in value):
        doubled = sorted({name for name in value if value.count(name) > 1})
        if doubled:
            raise preset_error(f"'stems' names '{doubled[0]}' twice; remove one")
        return value
    raise preset_error(
        "'stems' must be all or a list of stem names; write `stems: all`, `stems: [vocals]`, or "
        "`stems: []` for none"
    )


class Separation(BaseModel):
    """Options of the separation; see `separator.options`.

    The defaults are those of the model's official program.
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


class PresetContent(BaseModel):
    """Content of a preset file after composition; docs/presets.md explains the keys."""

    model_config = STRICT
    schema_version: Literal[1, 2] = Field(alias="schema")
    summary: Annotated[str, AfterValidator(_summary)]
    model: Annotated[str, Field(min_length=1)] | None = None
    residual: Literal["add-to-last", "stem", "off"] = "add-to-last"
    separation: Separation = Separation()
    # False permits trim_silence, which ends alignment with the bounce.
    aligned: bool = True
    chain: tuple[ChainItem, ...] = ()
    # Applied after `chain` to single stems; `rest` is every other one.
    stem_chains: dict[str, Chain] = Field(default={})
    # keep: all files get longer by the same length, so that echoes can end.
    tails: Literal["cut", "keep"] = "cut"
    headroom: Headroom = Headroom()
    normalise: Normalise | None = None
    limiter: Limiter | None = None
    mixdowns: dict[MixdownName, Mixdown] = Field(default={})
    # Chain of a further output, the sum of all stems.
    master: Chain = ()
    stems: Annotated[Literal["all"] | tuple[str, ...], BeforeValidator(_stem_choice)] = "all"
    output: Output = Output()
    # Formats of DAW session files beside the stems.
    session: session_formats.Sessions = ()
    bounce: Leniency = Leniency()

    @field_validator("chain")
    @classmethod
    def _trims_on_purpose(
        cls, chain: tuple[Effect, ...], info: ValidationInfo
    ) -> tuple[Effect, ...]:
        if any(isinstance(effect, TrimSilence) for effect in chain[:-1]):
            raise preset_error("'trim_silence' must be the last effect of the chain; move it there")
        if chain and isinstance(chain[-1], TrimSilence) and info.data.get("aligned", True):
            raise preset_error(
                "'trim_silence' ends alignment with the bounce; add `aligned: false` if that is "
                "intended, or remove it"
            )
        return chain

    @field_validator("mixdowns")
    @classmethod
    def _audible(cls, mixdowns: dict[str, Mixdown]) -> dict[str, Mixdown]:
        for name, mixdown in mixdowns.items():
            if mixdown.is_empty:
                raise preset_error(
                    f"mixdown '{name}' holds nothing; give a source or rest a gain, as in `rest: 0`"
                )
        return mixdowns

    @field_validator("stems")
    @classmethod
    def _publishes(cls, stems: Literal["all"] | tuple[str, ...], info: ValidationInfo) -> object:
        if stems == () and info.data.get("mixdowns") == {} and info.data.get("master") == ():
            raise preset_error(
                "nothing would be published; name a stem in 'stems' or add a mixdown"
            )
        return stems


class Preset(PresetContent):
    """A loaded preset; `name` is the name of the file without its suffix, `path` the file."""

    name: str
    path: Path

    @property
    def is_linear(self) -> bool:
        """Whether the stems must null against gain x bounce: all published, none processed."""
        chains = (self.chain, *self.stem_chains.values())
        levelled = self.limiter is not None or not self.has_one_gain
        return self.is_sum and not any(chains) and not levelled

    @property
    def has_one_gain(self) -> bool:
        """Whether all files get the same gain, which keeps their balance."""
        own = self.normalise is not None and not self.normalise.linked
        return self.headroom.mode != "per_stem" and not own

    @property
    def is_sum(self) -> bool:
        """Whether the published stems are all parts of the bounce, before effects."""
        rest_is_difference = self.separation.two_stems and self.separation.other_method == "minus"
        return self.stems == "all" and (self.residual != "off" or bool(rest_is_difference))

    @property
    def trim(self) -> TrimSilence | None:
        """Trimming of the files on writing; None to keep them aligned."""
        last = self.chain[-1] if self.chain else None
        return last if isinstance(last, TrimSilence) else None

    @property
    def content_hash(self) -> str:
        """sha256 (hex) of everything that changes the sound or the files."""
        separate = {"chain", "stem_chains", "mixdowns", "master"}
        content = self.model_dump(
            mode="json", by_alias=True, exclude={"name", "path", "summary", *separate}
        )
        content["chain"] = chain_identity(self.chain)
        content["mixdowns"] = {name: bus.identity() for name, bus in self.mixdowns.items()}
        # Later keys are left out at their defaults, so that hashes of older presets stay.
        if self.bounce == Leniency():
            del content["bounce"]
        elif not self.bounce.skip_silent:
            del content["bounce"]["skip_silent"]
        if self.normalise is None:
            del content["normalise"]
        if not self.session:
            del content["session"]
        defaults = {"format": "wav", "bitrate_kbps": None, "quality": None, "dither": "auto"}
        for key, default in defaults.items():
            if content["output"][key] == default:
                del content["output"][key]
        if self.stem_chains:
            chains = self.stem_chains.items()
            content["stem_chains"] = {stem: chain_identity(chain) for stem, chain in chains}
        if self.master:
            content["master"] = chain_identity(self.master)
        if self.limiter is not None:
            content["limiter"] = self.limiter.identity()
            if self.limiter.when is not None:
                content["limiter"] |= {"when": self.limiter.when.model_dump(mode="json")}
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def adjusted(
        self,
        stems: tuple[str, ...],
        separation: Mapping[str, object],
        bounce: Mapping[str, bool] | None = None,
        session: Sequence[str] = (),
        file_format: str | None = None,
    ) -> Preset:
        """The preset with some settings replaced; empty arguments keep the preset's own.

        Args:
            stems: stems to publish, without mixdowns.
            separation: fields of `separation`; their ranges are checked by the separator.
            bounce: fields of `bounce`.
            session: formats of session files.
            file_format: format of the files.

        Raises:
            PresetError: a session format is unknown or cannot be written here.
            UsageError: the file format is unknown or does not hold the preset's depth.
        """
        changes: dict[str, object] = {}
        if file_format is not None:
            changes["output"] = self.output.in_format(file_format)
        if bounce:
            changes["bounce"] = self.bounce.model_copy(update=dict(bounce))
        if session:
            changes["session"] = session_formats.parse_formats(session)
        if separation:
            changes["separation"] = self.separation.model_copy(update=dict(separation))
        if stems:
            # Messages about the stems begin with the path.
            changes |= {"stems": stems, "mixdowns": {}, "master": (), "path": Path("--stems")}
        return self.model_copy(update=changes)

    @property
    def required_sources(self) -> tuple[str, ...] | None:
        """Sources that the outputs use; None if these may be all of the model's."""
        mixed = (item for bus in self.mixdowns.values() for item in bus.mix.items())
        named = [source for source, level in mixed if level is not None]
        from_bounce = (bus for bus in self.mixdowns.values() if bus.base == "mixture")
        named += [source for bus in from_bounce for source in bus.mix]  # `off` subtracts the source
        if self.stems == "all" or REST in named or self.master:
            return None
        return tuple(dict.fromkeys([*self.stems, *named]))

    def resolved(self, facts: JobFacts) -> Preset:
        """The preset without the parts whose `when` does not hold.

        Parts that depend on unknown facts are kept; with complete facts, no `when` is left.
        """
        buses = {name: bus for name, bus in self.mixdowns.items() if _may_apply(bus.when, facts)}
        changes: dict[str, object] = {
            "chain": _kept(self.chain, facts),
            "stem_chains": {n: _kept(chain, facts) for n, chain in self.stem_chains.items()},
            "mixdowns": {name: _resolved(bus, facts) for name, bus in buses.items()},
            "master": _kept(self.master, facts),
        }
        if self.limiter is not None:
            (changes["limiter"],) = _kept((self.limiter,), facts) or (None,)
        return self.model_copy(update=changes)

    def chain_of(self, stem: str) -> tuple[Effect, ...]:
        """Chain of a stem: that of all stems, then its own or that of `rest`."""
        return (*self.chain, *self.stem_chains.get(stem, self.stem_chains.get(REST, ())))

    def all_effects(self) -> Iterator[tuple[Location, Effect]]:
        """Every effect of every chain, with its location in the file."""
        chains: list[tuple[Location, tuple[Effect, ...]]] = [(("chain",), self.chain)]
        chains += [(("stem_chains", name), each) for name, each in self.stem_chains.items()]
        chains += [(("mixdowns", name, "chain"), bus.chain) for name, bus in self.mixdowns.items()]
        for place, chain in [*chains, (("master",), self.master)]:
            for number, effect in enumerate(chain):
                yield (*place, number, effect.effect_name), effect

    @property
    def plugin_files(self) -> tuple[Path, ...]:
        """Paths of all installed plugins that the preset uses, without duplicates."""
        hosted = (effect for _, effect in self.all_effects() if isinstance(effect, Plugin))
        return tuple(dict.fromkeys(Path(effect.plugin) for effect in hosted))

    def buses(self, sources: Sequence[str]) -> dict[str, Mixdown]:
        """Mixdowns whose conditions hold for these sources, then the master."""
        made = dict(self.resolved(JobFacts(tuple(sources))).mixdowns)
        if self.master:
            if MASTER in made:
                raise PresetError(
                    f"{self.path}: mixdown '{MASTER}' has the name of another output; rename it"
                )
            made[MASTER] = Mixdown(mix={REST: Level()}, chain=self.master)
        return made

    def outputs(self, sources: Sequence[str]) -> dict[str, dict[str, float]]:
        """Outputs to publish: name -> {source: linear gain}, without zero gains, stems first.

        sources: names of the stems that the separation delivers, in the model's order, with the
        residual's where `residual` is `stem`. Raises PresetError for a stem that the model does not
        have, and for a mixdown that is empty or has the name of another output; ModelError for a
        model whose stem names cannot be file names.
        """
        _check_sources(sources)
        buses = self.buses(sources)
        self._check_names(buses, sources)
        stems = sources if self.stems == "all" else self.stems
        outputs = {stem: {stem: 1.0} for stem in stems}
        taken = {file_key(stem) for stem in stems}
        for name, bus in buses.items():
            if file_key(name) in taken:
                raise PresetError(
                    f"{self.path}: mixdown '{name}' has the name of another output; rename it"
                )
            taken.add(file_key(name))
            outputs[name] = bus.weights(sources)
            if not outputs[name] and bus.base == "stems":
                raise PresetError(
                    f"{self.path}: this model leaves mixdown '{name}' empty; use another model"
                )
        if not outputs:
            raise PresetError(f"{self.path}: its conditions leave nothing to publish; relax a when")
        return outputs

    def _check_names(self, buses: Mapping[str, Mixdown], sources: Sequence[str]) -> None:
        named = [source for bus in buses.values() for source in bus.mix]
        named += [stem for stem, chain in self.stem_chains.items() if chain]
        named = [name for name in named if name != REST]
        for name in (*(() if self.stems == "all" else self.stems), *named):
            if name not in sources:
                raise PresetError(
                    f"{self.path}: this model has no stem '{name}'; {suggestion(name, sources)}"
                )


def _may_apply(when: When | None, facts: JobFacts) -> bool:
    return when is None or when.holds(facts) is not False


def _resolved(part: Part, facts: JobFacts) -> Part:
    """Remove a condition that holds; in a mixdown, resolve its chain too."""
    changes: dict[str, object] = {}
    if part.when is not None and part.when.holds(facts):
        changes["when"] = None
    if isinstance(part, Mixdown) and part.chain:
        changes["chain"] = _kept(part.chain, facts)
    return part.model_copy(update=changes) if changes else part


def _kept(chain: tuple[Effect, ...], facts: JobFacts) -> tuple[Effect, ...]:
    return tuple(_resolved(effect, facts) for effect in chain if _may_apply(effect.when, facts))


def _check_sources(sources: Sequence[str]) -> None:
    """Check that stem names can be file names in one folder."""
    for name in sources:
        if not is_file_part(name):
            raise ModelError(
                f"this model has a stem named {name[:MAX_NAME]!r}, which cannot be part of a file "
                "name; use another model"
            )
    if len({file_key(name) for name in sources}) < len(sources):
        raise ModelError(
            f"stems of this model have the same name ({', '.join(sources)}); use another model"
        )
