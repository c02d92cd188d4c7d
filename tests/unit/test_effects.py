"""What holds for every effect of the registry, whatever its settings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.dsp.processor import ProcessSpec
from bridge.effects.registry import EFFECTS, Effect, Invert, Pan, Width, check
from bridge.errors import PresetError
from tests.hypothesis_profiles import examples
from tests.unit.chains import OWN, RATE_HZ, any_effect, cut, ends, noise, run

# Rounding apart: float32 filters in series, relative to a signal of about 1.
CLOSE = 1e-5


@settings(max_examples=examples(80))
@given(
    effects=st.lists(any_effect, max_size=6),
    sizes=st.lists(st.integers(0, 9000), max_size=6),
    frames=st.integers(1, 24_000),
)
def test_block_sizes_do_not_change_the_result(
    effects: list[Effect], sizes: list[int], frames: int
) -> None:
    audio = noise(2, frames)
    in_blocks = run(audio, effects, sizes)
    assert in_blocks.shape == audio.shape
    assert in_blocks.dtype == np.float32
    np.testing.assert_allclose(in_blocks, run(audio, effects), rtol=CLOSE, atol=CLOSE)


@pytest.mark.parametrize("name", OWN)
def test_effects_work_at_the_ends_of_their_ranges(name: str) -> None:
    """No NaN, and no more than all gains together can give."""
    audio = noise(2, 12_000)
    audio[:, 3000:9000] = 0.0
    for effect in ends(name):
        out = run(audio, [effect])
        assert np.isfinite(out).all(), effect
        assert np.abs(out).max() < 100, effect


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_silence_stays_silent(name: str, channels: int) -> None:
    effect = EFFECTS[name]()
    silence = np.zeros((channels, 20_000), np.float32)
    np.testing.assert_array_equal(run(silence, [effect]) if fits(effect, channels) else 0, 0)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("rate_hz", [44_100.0, 96_000.0, 192_000.0])
def test_rendering_is_deterministic(name: str, rate_hz: float) -> None:
    audio = noise(2, 9000)
    once, again = (run(audio, [EFFECTS[name]()], rate_hz=rate_hz) for _ in range(2))
    np.testing.assert_array_equal(once, again)


@pytest.mark.parametrize("name", OWN)
def test_effects_accept_audio_over_full_scale(name: str) -> None:
    out = run(noise(2, 9000, level=50.0), [EFFECTS[name]()], cut_sizes())
    assert np.isfinite(out).all()


def cut_sizes() -> list[int]:
    return [block.shape[1] for block in cut(noise(1, 9000), [1, 2, 3000])]


def fits(effect: Effect, channels: int) -> bool:
    return effect.problem(ProcessSpec(RATE_HZ, channels)) is None


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [
        ("highpass", "cutoff_hz", 5000.0),
        ("peak", "frequency_hz", 4000.0),
        ("low_shelf", "frequency_hz", 4000.0),
        ("high_shelf", "frequency_hz", 8000.0),
        ("de_esser", "crossover_hz", 5500.0),
    ],
)
def test_a_frequency_above_half_the_rate_is_refused(
    name: str, parameter: str, value: float
) -> None:
    effect = EFFECTS[name].model_validate({parameter: value})
    check([effect], ProcessSpec(44_100.0, 2))
    with pytest.raises(PresetError, match=rf"{name} at {value:g} Hz .* {parameter} below 4000"):
        check([effect], ProcessSpec(8000.0, 2))


@pytest.mark.parametrize(
    ("effect", "channels"),
    [
        (Pan(position_percent=30.0), 1),
        (Pan(position_percent=30.0), 6),
        (Width(width_percent=50.0), 6),
        (Invert(channel="left"), 1),
    ],
)
def test_effects_that_need_stereo_refuse_other_widths(effect: Effect, channels: int) -> None:
    with pytest.raises(PresetError, match=f"{effect.effect_name}.* has {channels} channel"):
        check([effect], ProcessSpec(RATE_HZ, channels))
    check([effect], ProcessSpec(RATE_HZ, 2))
