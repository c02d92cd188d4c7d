"""Registry of the effects that a preset can name, and operations on chains.

The preset schema, the error messages and the documentation are generated from `EFFECTS`. pedalboard
is imported only when an effect runs, so that reading a preset stays fast.
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

# In the order of the documentation.
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
    """Name of the effect in `name` or `{name: {...}}`."""
    if isinstance(item, Effect):
        return item.effect_name
    if isinstance(item, dict) and len(item) == 1:
        (item,) = item
    return item if isinstance(item, str) else None


def _settings(item: object) -> object:
    """Parameters of the effect in `name` or `{name: {...}}`; empty ones mean the defaults."""
    if isinstance(item, str):
        return {}
    if isinstance(item, dict):
        (settings,) = item.values()
        return {} if settings is None else settings
    return item


def _union() -> Any:
    """Type of one item of `chain`: the union of all effects."""
    before = BeforeValidator(_settings)
    kinds: list[Any] = [Annotated[effect, before, Tag(name)] for name, effect in EFFECTS.items()]
    return Annotated[reduce(or_, kinds), Discriminator(_name)]


if TYPE_CHECKING:
    ChainItem: TypeAlias = Effect
else:
    ChainItem = _union()


def split_passes(effects: Sequence[Effect]) -> tuple[tuple[Effect, ...], ...]:
    """Split a chain before every DC removal, which needs the mean of the whole file.

    Every pass but perhaps the first starts with DcRemoval. Measure the mean of its input with
    `meter.Statistics` and give it to `chain.render` as `offsets`. An empty chain has no passes.
    TrimSilence is in no pass: files are trimmed when they are written (`render.trim`).
    """
    passes: list[list[Effect]] = []
    for effect in effects:
        if isinstance(effect, TrimSilence):
            continue
        if not passes or isinstance(effect, DcRemoval):
            passes.append([])
        passes[-1].append(effect)
    return tuple(tuple(each) for each in passes)


def check(effects: Sequence[Effect], spec: ProcessSpec) -> None:
    """Raise PresetError for an effect that does not support this format. Loads no plugin."""
    for effect in effects:
        if problem := effect.problem(spec):
            raise PresetError(problem)


def check_rate(effects: Sequence[Effect], rate_hz: float) -> None:
    """`check` for a rate alone: assumes stereo, which every effect supports."""
    check(effects, ProcessSpec(rate_hz, 2))


def nodes(effects: Sequence[Effect], spec: ProcessSpec) -> list[Node]:
    """New nodes of all effects. Raises PresetError and PluginError."""
    check(effects, spec)
    return [node for effect in effects for node in effect.nodes(spec)]
