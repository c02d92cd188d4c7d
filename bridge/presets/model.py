"""What a preset says: checked, frozen, and asked by everybody who works for it.

`preset` makes these of files.
"""

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

# The name of the file that holds the sum of all stems.
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


class Settings(BaseModel):
    """The content of a preset file, parents and variables put in. docs/presets.md explains them."""

    model_config = STRICT
    schema_version: Literal[1, 2] = Field(alias="schema")
    summary: Annotated[str, AfterValidator(_summary)]
    model: Annotated[str, Field(min_length=1)] | None = None
    residual: Literal["add-to-last", "stem", "off"] = "add-to-last"
    separation: Separation = Separation()
    # False lets trim_silence shorten files, so that they no longer lie where the bounce does.
    aligned: bool = True
    chain: tuple[ChainItem, ...] = ()
    # After `chain`, on the stems that are named; `rest` is every other one.
    stem_chains: dict[str, Chain] = Field(default={})
    # keep: files get longer, all alike, so that echoes and rooms can end.
    tails: Literal["cut", "keep"] = "cut"
    headroom: Headroom = Headroom()
    normalise: Normalise | None = None
    limiter: Limiter | None = None
    mixdowns: dict[MixdownName, Mixdown] = Field(default={})
    # A file of its own: the sum of all stems through this chain.
    master: Chain = ()
    stems: Annotated[Literal["all"] | tuple[str, ...], BeforeValidator(_stem_choice)] = "all"
    output: Output = Output()
    # Session files beside the stems, which a DAW opens.
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
                "'trim_silence' moves the stems against the bounce; add `aligned: false` if that "
                "is meant, or remove it"
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


class Preset(Settings):
    """A loaded preset.

    name: the file's name without its ending. path: the file.
    """

    name: str
    path: Path

    @property
    def is_linear(self) -> bool:
        """True if the published stems must null against gain x bounce: all there, unprocessed."""
        chains = (self.chain, *self.stem_chains.values())
        levelled = self.limiter is not None or not self.has_one_gain
        return self.is_sum and not any(chains) and not levelled

    @property
    def has_one_gain(self) -> bool:
        """True if all files get the same gain, so that their balance stays."""
        own = self.normalise is not None and not self.normalise.linked
        return self.headroom.mode != "per_stem" and not own

    @property
    def is_sum(self) -> bool:
        """True if the published stems are all of the bounce; effects may have changed them."""
        rest_is_difference = self.separation.two_stems and self.separation.other_method == "minus"
        return self.stems == "all" and (self.residual != "off" or bool(rest_is_difference))

    @property
    def trim(self) -> TrimSilence | None:
        """How the files are to be shortened when they are written; None to keep them aligned."""
        last = self.chain[-1] if self.chain else None
        return last if isinstance(last, TrimSilence) else None

    @property
    def content_hash(self) -> str:
        """sha256 (hex) of all that changes the sound or the files: not name, path or summary."""
        apart = {"chain", "stem_chains", "mixdowns", "master"}
        content = self.model_dump(
            mode="json", by_alias=True, exclude={"name", "path", "summary", *apart}
        )
        content["chain"] = chain_identity(self.chain)
        content["mixdowns"] = {name: bus.identity() for name, bus in self.mixdowns.items()}
        # What a preset does not speak of is not in its hash, so that older ones keep theirs.
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
        """The same preset with other stems (none: its own), fields of `separation` and `bounce`.

        session: formats of session files; none: the preset's own. file_format: of the files; None
        for its own.

        Ranges are checked where the separation is made. Raises PresetError for a session format
        that is not known or cannot be written here, UsageError for a file format that cannot be.
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
            # The path is what a complaint about the stems begins with.
            changes |= {"stems": stems, "mixdowns": {}, "master": (), "path": Path("--stems")}
        return self.model_copy(update=changes)

    @property
    def wanted(self) -> tuple[str, ...] | None:
        """The stems that the outputs are made of; None if that can be all of the model's."""
        mixed = (item for bus in self.mixdowns.values() for item in bus.mix.items())
        named = [source for source, level in mixed if level is not None]
        from_bounce = (bus for bus in self.mixdowns.values() if bus.base == "mixture")
        named += [source for bus in from_bounce for source in bus.mix]  # `off` takes it out
        if self.stems == "all" or REST in named or self.master:
            return None
        return tuple(dict.fromkeys([*self.stems, *named]))

    def at(self, facts: JobFacts) -> Preset:
        """The same without the parts whose `when` does not hold.

        Of what cannot be known yet all is kept; when the facts are complete, no `when` is left.
        """
        buses = {name: bus for name, bus in self.mixdowns.items() if _counts(bus.when, facts)}
        changes: dict[str, object] = {
            "chain": _kept(self.chain, facts),
            "stem_chains": {n: _kept(chain, facts) for n, chain in self.stem_chains.items()},
            "mixdowns": {name: _settled(bus, facts) for name, bus in buses.items()},
            "master": _kept(self.master, facts),
        }
        if self.limiter is not None:
            (changes["limiter"],) = _kept((self.limiter,), facts) or (None,)
        return self.model_copy(update=changes)

    def chain_of(self, stem: str) -> tuple[Effect, ...]:
        """All that a stem runs through: the chain of every stem, then its own or that of rest."""
        return (*self.chain, *self.stem_chains.get(stem, self.stem_chains.get(REST, ())))

    def all_effects(self) -> Iterator[tuple[Location, Effect]]:
        """Every effect of every chain, and where its name stands in the file."""
        chains: list[tuple[Location, tuple[Effect, ...]]] = [(("chain",), self.chain)]
        chains += [(("stem_chains", name), each) for name, each in self.stem_chains.items()]
        chains += [(("mixdowns", name, "chain"), bus.chain) for name, bus in self.mixdowns.items()]
        for place, chain in [*chains, (("master",), self.master)]:
            for number, effect in enumerate(chain):
                yield (*place, number, effect.effect_name), effect

    @property
    def plugin_files(self) -> tuple[Path, ...]:
        """The files of all plugins of the machine that it runs, each once."""
        hosted = (effect for _, effect in self.all_effects() if isinstance(effect, Plugin))
        return tuple(dict.fromkeys(Path(effect.plugin) for effect in hosted))

    def buses(self, sources: Sequence[str]) -> dict[str, Mixdown]:
        """The mixdowns that these sources allow, and the master as one of them, last."""
        made = dict(self.at(JobFacts(tuple(sources))).mixdowns)
        if self.master:
            if MASTER in made:
                raise PresetError(
                    f"{self.path}: mixdown '{MASTER}' has the name of another output; rename it"
                )
            made[MASTER] = Mixdown(mix={REST: Level()}, chain=self.master)
        return made

    def outputs(self, sources: Sequence[str]) -> dict[str, dict[str, float]]:
        """What to publish: output name -> {source: linear gain, 0 left out}, stems first.

        sources: the names that the separation delivers, in the model's order, with the residual's
        name where `residual` is `stem`. Raises PresetError for a stem the model does not have
        (naming the nearest), and for a mixdown that is empty or bears another output's name;
        ModelError for a model whose stems cannot be files, as a checkpoint of anyone may say.
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


def _counts(when: When | None, facts: JobFacts) -> bool:
    return when is None or when.holds(facts) is not False


def _settled(part: Part, facts: JobFacts) -> Part:
    """Without a condition that holds; a mixdown also with its chain's settled."""
    changes: dict[str, object] = {}
    if part.when is not None and part.when.holds(facts):
        changes["when"] = None
    if isinstance(part, Mixdown) and part.chain:
        changes["chain"] = _kept(part.chain, facts)
    return part.model_copy(update=changes) if changes else part


def _kept(chain: tuple[Effect, ...], facts: JobFacts) -> tuple[Effect, ...]:
    return tuple(_settled(effect, facts) for effect in chain if _counts(effect.when, facts))


def _check_sources(sources: Sequence[str]) -> None:
    """Stems become files beside each other, in the staging folder and where they are published."""
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
