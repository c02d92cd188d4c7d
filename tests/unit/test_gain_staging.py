"""Decibels and gain staging."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.dsp.decibel import db_to_linear, linear_to_dbfs
from bridge.dsp.meter import Levels
from bridge.errors import PromiseBroken
from bridge.presets.output import Headroom, Normalise
from bridge.render.gain_staging import common_gain_db, gains_db

# Peaks as they come from audio: float32.
peaks = st.floats(0.0, 64.0, width=32)
ceilings = st.floats(-60.0, 0.0)


@pytest.mark.parametrize(
    ("gain_db", "gain"), [(0.0, 1.0), (20.0, 10.0), (-20.0, 0.1), (6.0206, 2.0), (-math.inf, 0.0)]
)
def test_decibels_are_of_amplitude(gain_db: float, gain: float) -> None:
    assert db_to_linear(gain_db) == pytest.approx(gain, rel=1e-5)


def test_silence_is_minus_infinity() -> None:
    assert linear_to_dbfs(0.0) == -math.inf
    assert linear_to_dbfs(1.0) == 0.0


@given(st.floats(-120.0, 40.0))
def test_decibel_round_trip(gain_db: float) -> None:
    assert linear_to_dbfs(db_to_linear(gain_db)) == pytest.approx(gain_db, abs=1e-9)


@given(st.lists(peaks, min_size=1, max_size=5), ceilings)
def test_no_output_exceeds_the_ceiling_and_the_loudest_meets_it(
    values: list[float], ceiling_dbfs: float
) -> None:
    named = {str(index): value for index, value in enumerate(values)}
    gain_db = common_gain_db(named, Headroom(ceiling_dbfs=ceiling_dbfs))
    ceiling, gain = db_to_linear(ceiling_dbfs), db_to_linear(gain_db)
    after = np.array(values, np.float32) * np.float32(gain)
    assert after.dtype == np.float32
    assert float(after.max()) <= ceiling
    assert float(np.float32(np.float64(max(values)) * gain)) <= ceiling
    assert gain_db <= 0.0
    if max(values) <= ceiling:
        assert gain_db == 0.0
    else:
        # No more than needed: within 0.0001 dB of the ceiling.
        assert linear_to_dbfs(float(after.max())) == pytest.approx(ceiling_dbfs, abs=1e-4)


def test_one_gain_keeps_the_balance() -> None:
    rng = np.random.default_rng(1)
    stems = {
        "vocals": rng.standard_normal((2, 1000)).astype(np.float32),
        "bass": (0.1 * rng.standard_normal((2, 1000))).astype(np.float32),
    }
    measured = {name: float(np.abs(stem).max()) for name, stem in stems.items()}
    gain = np.float32(db_to_linear(common_gain_db(measured, Headroom(ceiling_dbfs=-6.0))))
    published = {name: stem * gain for name, stem in stems.items()}
    assert max(float(np.abs(stem).max()) for stem in published.values()) <= 10 ** (-6 / 20)
    mixture = (stems["vocals"] + stems["bass"]) * gain
    np.testing.assert_allclose(published["vocals"] + published["bass"], mixture, atol=1e-6)


def test_mode_none_leaves_levels_alone() -> None:
    assert common_gain_db({"hot": 4.0}, Headroom(mode="none")) == 0.0


def test_no_outputs_need_no_gain() -> None:
    assert common_gain_db({}, Headroom()) == 0.0


@pytest.mark.parametrize("peak", [math.nan, math.inf])
def test_a_broken_output_is_not_scaled_but_reported(peak: float) -> None:
    with pytest.raises(PromiseBroken, match="'vocals' holds NaN or Inf"):
        common_gain_db({"bass": 0.5, "vocals": peak}, Headroom())


@given(st.lists(peaks, min_size=1, max_size=5))
def test_fit_is_common_where_a_file_can_clip_and_nothing_elsewhere(values: list[float]) -> None:
    outputs = {str(index): value for index, value in enumerate(values)}
    fit, common = Headroom(mode="fit"), Headroom(mode="common")
    assert common_gain_db(outputs, fit, can_clip=True) == common_gain_db(outputs, common)
    assert common_gain_db(outputs, fit, can_clip=False) == 0.0
    assert common_gain_db(outputs, common, can_clip=False) == common_gain_db(outputs, common)


def measured(**reaches: float) -> dict[str, Levels]:
    """A true peak 1 dB above the peak, and a loudness 12 dB under it."""
    return {
        name: Levels(reach, reach, reach * 10 ** (1 / 20), linear_to_dbfs(reach) - 12)
        for name, reach in reaches.items()
    }


def test_per_stem_headroom_holds_each_output_by_itself() -> None:
    gains = gains_db(
        measured(a=1.0, b=0.1), Headroom(mode="per_stem", ceiling_dbfs=-6), None, can_clip=False
    )
    assert gains == {"a": pytest.approx(-6, abs=1e-4), "b": 0.0}


@pytest.mark.parametrize(
    ("target", "a_db"), [(Normalise(lufs=-20), -8.0), (Normalise(dbtp=-2), -3.0)]
)
def test_normalised_each_by_itself_or_linked_by_the_loudest(target: Normalise, a_db: float) -> None:
    levels = measured(a=1.0, b=0.1, silent=0.0)
    own = gains_db(levels, Headroom(), target, can_clip=True)
    assert own["a"] == pytest.approx(a_db)
    assert own["b"] == pytest.approx(a_db + 20)
    assert own["silent"] == 0.0
    linked = target.model_copy(update={"linked": True})
    together = gains_db(levels, Headroom(), linked, can_clip=True)
    assert set(together.values()) == {own["a"]}


def test_headroom_lowers_normalised_outputs_that_clip() -> None:
    levels = measured(a=1.0, b=0.1)
    loud = Normalise(lufs=-6)
    own = gains_db(levels, Headroom(), loud, can_clip=True)
    assert own == {"a": 0.0, "b": pytest.approx(20.0, abs=1e-4)}
    free = gains_db(levels, Headroom(), loud, can_clip=False)
    assert free == {"a": pytest.approx(6.0), "b": pytest.approx(26.0)}
    linked = Normalise(lufs=-6, linked=True)
    together = gains_db(levels, Headroom(mode="common", ceiling_dbfs=-3), linked, can_clip=False)
    assert together == dict.fromkeys("ab", pytest.approx(-3.0, abs=1e-4))


@given(st.lists(st.floats(2**-10, 4.0, width=32), min_size=1, max_size=4), st.floats(-40, 0))
def test_no_mode_but_none_lets_an_output_over_the_ceiling(values: list[float], lufs: float) -> None:
    levels = measured(**{f"s{n}": value for n, value in enumerate(values)})
    for mode in ("fit", "common", "per_stem"):
        for linked in (True, False):
            headroom = Headroom(mode=mode, ceiling_dbfs=-1)
            target = Normalise(lufs=lufs, linked=linked)
            for name, gain_db in gains_db(levels, headroom, target, can_clip=True).items():
                after = np.float32(levels[name].relative_peak * db_to_linear(gain_db))
                assert float(after) <= db_to_linear(-1)
