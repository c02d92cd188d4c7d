"""Dither: the noise is what theory says, whatever the audio is."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.audio.dither import REACH_STEPS, Dither, DitherKind, choose
from bridge.audio.quantise import quantise_set
from tests.hypothesis_profiles import examples

FRAMES = 400_000
SIGNALS = {
    "silence": np.zeros(FRAMES),
    "a third of a step": np.full(FRAMES, 1 / 3),
    "a sine of 0.4 steps": 0.4 * np.sin(2 * np.pi * 0.01 * np.arange(FRAMES)),
    "noise": np.random.default_rng(5).normal(0, 300, FRAMES),
}


def error(kind: DitherKind, steps: np.ndarray, seed: str = "a") -> np.ndarray:
    """What 16-bit rounding with dither adds to one channel, in steps."""
    done = quantise_set({"x": steps[np.newaxis] / 2**15}, 16, {"x": Dither(kind, seed, 1)})
    return done.stems["x"][0] - steps


@pytest.mark.parametrize("name", list(SIGNALS))
@pytest.mark.parametrize(("kind", "variance"), [("tpdf", 0.25), ("shaped", 0.25 * 6)])
def test_mean_and_power_of_the_error_do_not_depend_on_the_audio(
    name: str, kind: DitherKind, variance: float
) -> None:
    found = error(kind, SIGNALS[name])
    assert abs(found.mean()) < 0.005
    assert found.var() == pytest.approx(variance, rel=0.02)
    assert np.abs(found).max() <= REACH_STEPS[kind]
    # Nor does its power follow the audio: halves with high and low values are alike.
    high = np.abs(SIGNALS[name]) > np.median(np.abs(SIGNALS[name]))
    if 0 < high.sum() < FRAMES:
        assert found[high].var() == pytest.approx(found[~high].var(), rel=0.03)


@pytest.mark.parametrize("kind", ["tpdf", "shaped"])
def test_the_spectrum(kind: DitherKind) -> None:
    """TPDF is white; shaped is that times |1 - 1/z|^4."""
    share, power = scipy.signal.welch(error(kind, SIGNALS["noise"]), fs=1.0, nperseg=1024)
    wanted = np.full(share.size, 2 * 0.25)  # one-sided
    if kind == "shaped":
        wanted *= (2 * np.sin(np.pi * share)) ** 4
    inside = slice(20, -2)  # welch smears the lowest bins of a spectrum that starts at nothing
    ratio_db = 10 * np.log10(power[inside] / wanted[inside])
    assert np.abs(ratio_db).max() < 1.5
    assert abs(ratio_db.mean()) < 0.1


def test_what_is_softer_than_a_step_survives_only_with_dither() -> None:
    tone = SIGNALS["a sine of 0.4 steps"]

    def heard(rounded: np.ndarray) -> float:
        return float(2 * (rounded * np.sin(2 * np.pi * 0.01 * np.arange(FRAMES))).mean())

    bare = quantise_set({"x": tone[np.newaxis] / 2**15}, 16).stems["x"][0]
    assert heard(bare) == 0.0
    assert heard(tone + error("tpdf", tone)) == pytest.approx(0.4, abs=0.01)


@settings(max_examples=examples(20))
@given(cut=st.integers(1, 4999), kind=st.sampled_from(["tpdf", "shaped"]))
def test_blocks_do_not_matter(cut: int, kind: DitherKind) -> None:
    audio = np.random.default_rng(1).uniform(-0.9, 0.9, (2, 5000))
    whole = quantise_set({"x": audio}, 16, {"x": Dither(kind, "a", 2)}).stems["x"]
    dither = {"x": Dither(kind, "a", 2)}
    parts = [
        quantise_set({"x": a}, 16, dither).stems["x"] for a in (audio[:, :cut], audio[:, cut:])
    ]
    np.testing.assert_array_equal(whole, np.hstack(parts))


def test_the_seed_is_the_noise() -> None:
    first, again, other = (error("tpdf", SIGNALS["noise"], seed) for seed in "aab")
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.01


def test_channels_have_noise_of_their_own() -> None:
    done = quantise_set({"x": np.zeros((2, FRAMES))}, 16, {"x": Dither("tpdf", "a", 2)})
    assert abs(np.corrcoef(done.stems["x"])[0, 1]) < 0.01


@pytest.mark.parametrize("kind", ["tpdf", "shaped"])
def test_the_sum_of_stems_has_the_noise_of_one(kind: DitherKind) -> None:
    rng = np.random.default_rng(2)
    blocks = {name: rng.uniform(-0.2, 0.2, (1, FRAMES)) for name in "abcd"}
    done = quantise_set(blocks, 16, {name: Dither(kind, name, 1) for name in blocks})
    left = sum(done.stems.values()) - sum(blocks.values()) * 2**15
    assert np.abs(left).max() <= REACH_STEPS[kind] + 1e-6
    assert left.var() == pytest.approx({"tpdf": 0.25, "shaped": 1.5}[kind], rel=0.02)


@pytest.mark.parametrize(
    ("wanted", "source_bits", "target_bits", "changed", "kind"),
    [
        ("auto", 24, 24, "", "none"),
        ("auto", 16, 24, "", "none"),
        ("auto", 24, 16, "", "tpdf"),
        ("auto", None, 24, "", "tpdf"),
        ("auto", 24, 24, "processed", "tpdf"),
        ("auto", 24, None, "processed", "none"),
        ("auto", 16, 16, "", "none"),
        ("shaped", 16, 16, "", "shaped"),
        ("shaped", 24, None, "", "none"),
        ("none", 24, 16, "processed", "none"),
    ],
)
def test_the_rule(
    wanted: str, source_bits: int | None, target_bits: int | None, changed: str, kind: str
) -> None:
    assert (
        choose(
            wanted,  # type: ignore[arg-type]
            source_bits=source_bits,
            target_bits=target_bits,
            processed=changed == "processed",
        )
        == kind
    )
