"""What the tests of effects share: noise, random cuts, random effects from the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from hypothesis import strategies as st

from bridge.dsp.meter import Statistics
from bridge.effects.chain import render
from bridge.effects.registry import EFFECTS, DcRemoval, Effect, Parameter, parameters, split_passes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bridge.dsp.processor import Audio

RATE_HZ = 44_100.0

# These take what another program knows; they have tests of their own.
HOSTED = {"vst3", "audio_unit", "pedalboard"}
OWN = [name for name in EFFECTS if name not in HOSTED]


def noise(channels: int, frames: int, level: float = 0.3) -> Audio:
    rng = np.random.default_rng(frames)
    return (level * rng.standard_normal((channels, frames))).astype(np.float32)


def cut(audio: Audio, sizes: Iterable[int]) -> Iterator[Audio]:
    """The audio in blocks of the given sizes, the last one holding what is left."""
    start = 0
    for size in sizes:
        yield audio[:, start : start + size]
        start += size
    yield audio[:, start:]


def run(
    audio: Audio,
    effects: Sequence[Effect],
    sizes: Iterable[int] = (),
    rate_hz: float = RATE_HZ,
) -> Audio:
    """Through all parts of a chain, as a caller does it: measure, then render, part by part."""
    channels, frames = audio.shape
    sizes = list(sizes)
    for part in split_passes(effects):
        measure = Statistics(channels)
        for block in cut(audio, sizes):
            measure.add(block)
        rendered = render(
            cut(audio, sizes),
            part,
            rate_hz=rate_hz,
            channels=channels,
            frames=frames,
            offsets=measure.mean if isinstance(part[0], DcRemoval) else None,
        )
        audio = np.concatenate([np.zeros((channels, 0), np.float32), *rendered], axis=1)
    return audio


def _values(effect: type[Effect], row: Parameter) -> st.SearchStrategy[Any]:
    """Any value that the parameter may have."""
    field = effect.model_fields[row.name]
    if row.minimum is not None and row.maximum is not None:
        numbers = st.floats(row.minimum, row.maximum)
        return st.one_of(st.none(), numbers) if row.default == "none" else numbers
    choices = get_args(field.annotation)
    return st.sampled_from(choices) if choices else st.booleans()


def one_effect(name: str) -> st.SearchStrategy[Effect]:
    """An effect of that name with any settings."""
    effect = EFFECTS[name]
    values = {row.name: _values(effect, row) for row in parameters(effect)}
    # Frequencies at and above half the rate are refused; that is tested on its own.
    below = {"crossover_hz": 16_000.0, "frequency_hz": 20_000.0, "cutoff_hz": 20_000.0}
    assert all(highest < RATE_HZ / 2 for highest in below.values())
    return st.builds(effect, **values)


def ends(name: str) -> Iterator[Effect]:
    """The effect with every parameter in turn at both ends of its range."""
    effect = EFFECTS[name]
    yield effect()
    for row in parameters(effect):
        choices = get_args(effect.model_fields[row.name].annotation)
        values = (
            (row.minimum, row.maximum)
            if row.minimum is not None
            else choices
            if choices
            else (True, False)
        )
        yield from (effect.model_validate({row.name: value}) for value in values)


any_effect = st.sampled_from(OWN).flatmap(one_effect)
