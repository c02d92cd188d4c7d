"""The effects that a preset can name, and the chain that they make.

`EFFECTS` is the one registry. The preset schema, the error messages and the documentation are made
from it. pedalboard is imported only when an effect is run, so that reading a preset stays fast.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Discriminator, Tag

from bridge.dsp.processor import ProcessSpec
from bridge.effects.base import (
    Effect,
    Parameter,
    parameters,
    unit,
)
from bridge.effects.dynamics import Compressor, DeEsser, Expander, Gate, Limiter
from bridge.effects.plugin import AudioUnit, Builtin, Vst3
from bridge.effects.space import Delay, Fade, Reverb, Saturation, TrimSilence
from bridge.effects.stereo import Gain, Invert, Pan, Width
from bridge.effects.tone import DcRemoval, Highpass, HighShelf, Lowpass, LowShelf, Peak
from bridge.errors import PresetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.dsp.processor import Node

__all__ = [
    "EFFECTS", "AudioUnit", "Builtin", "ChainItem", "Compressor", "DcRemoval", "DeEsser",
    "Delay", "Effect", "Expander", "Fade", "Gain", "Gate", "HighShelf", "Highpass", "Invert",
    "Limiter", "LowShelf", "Lowpass", "Pan", "Parameter", "Peak", "ProcessSpec", "Reverb",
    "Saturation",
    "TrimSilence", "Vst3", "Width", "check", "check_rate", "nodes", "parameters", "split_passes",
    "unit",
]  # fmt: skip

# In the order in which the documentation lists them.
EFFECTS: Mapping[str, type[Effect]] = {
    effect.effect_name: effect
    for effect in (
        DcRemoval, Highpass, Lowpass, Peak, LowShelf, HighShelf,
        Gain, Pan, Width, Invert,
        Gate, Expander, Compressor, DeEsser, Saturation,
        Delay, Reverb,
        Limiter, Fade, TrimSilence,
        Vst3, AudioUnit, Builtin,
    )
}  # fmt: skip


def _name(item: object) -> str | None:
    """The effect's name in `name` or `{name: {...}}`."""
    if isinstance(item, Effect):
        return item.effect_name
    if isinstance(item, dict) and len(item) == 1:
        (item,) = item
    return item if isinstance(item, str) else None


def _settings(item: object) -> object:
    """The parameters in `name` or `{name: {...}}`; none or empty means the defaults."""
    if isinstance(item, str):
        return {}
    if isinstance(item, dict):
        (settings,) = item.values()
        return {} if settings is None else settings
    return item


def _union() -> Any:
    """The type of one item of `chain`, from the registry."""
    before = BeforeValidator(_settings)
    kinds: list[Any] = [Annotated[effect, before, Tag(name)] for name, effect in EFFECTS.items()]
    return Annotated[reduce(or_, kinds), Discriminator(_name)]


if TYPE_CHECKING:
    ChainItem: TypeAlias = Effect
else:
    ChainItem = _union()


def split_passes(effects: Sequence[Effect]) -> tuple[tuple[Effect, ...], ...]:
    """A chain cut before every DC removal, which needs the whole file before its first frame.

    Every part but perhaps the first starts with DcRemoval. Before such a part, measure the mean of
    the audio that the part before it gave (render.Measure) and hand it to render.render as
    `offsets`. An empty chain has no parts. TrimSilence is in no part: files are cut when they are
    written (see `trim`).
    """
    cut: list[list[Effect]] = []
    for effect in effects:
        if isinstance(effect, TrimSilence):
            continue
        if not cut or isinstance(effect, DcRemoval):
            cut.append([])
        cut[-1].append(effect)
    return tuple(tuple(part) for part in cut)


def check(effects: Sequence[Effect], spec: ProcessSpec) -> None:
    """PresetError if an effect cannot work at this rate and with these channels. Loads nothing."""
    for effect in effects:
        if problem := effect.problem(spec):
            raise PresetError(problem)


def check_rate(effects: Sequence[Effect], rate_hz: float) -> None:
    """The same, before the channels are known: as for stereo, which every effect takes."""
    check(effects, ProcessSpec(rate_hz, 2))


def nodes(effects: Sequence[Effect], spec: ProcessSpec) -> list[Node]:
    """Fresh nodes of all the effects. Raises PresetError and PluginError."""
    check(effects, spec)
    return [node for effect in effects for node in effect.nodes(spec)]
