"""What each effect does to the sound, measured against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.dsp.processor import Audio
from bridge.effects.registry import (
    Compressor,
    DcRemoval,
    DeEsser,
    Delay,
    Effect,
    Expander,
    Fade,
    Gate,
    Highpass,
    HighShelf,
    Invert,
    Limiter,
    Lowpass,
    LowShelf,
    Pan,
    Peak,
    Reverb,
    Saturation,
    TrimSilence,
    Width,
)
from bridge.effects.tone import Slope
from bridge.render.trim import Span, cut, locate
from tests.unit.chains import RATE_HZ, noise, run
from tests.unit.chains import cut as in_blocks

SECOND = round(RATE_HZ)


def tone(frequency_hz: float, level: float = 0.25, frames: int = SECOND) -> Audio:
    wave = level * np.sin(2 * np.pi * frequency_hz * np.arange(frames) / RATE_HZ)
    return wave.astype(np.float32)[np.newaxis]


def gain_db(effect: Effect, frequency_hz: float, level: float = 0.25) -> float:
    """What becomes of a steady tone: over its second half second."""
    before = tone(frequency_hz, level)
    half = SECOND // 2
    after = run(before, [effect])
    return 20 * math.log10(float(np.std(after[:, half:]) / np.std(before[:, half:])))


@pytest.mark.parametrize("slope", [6, 12, 18, 24])
@pytest.mark.parametrize("cutoff_hz", [100.0, 4000.0, 15_000.0])
def test_filters_are_3_db_down_at_their_cutoff_whatever_the_slope(
    cutoff_hz: float, slope: Slope
) -> None:
    for effect in (
        Highpass(cutoff_hz=cutoff_hz, slope_db_per_octave=slope),
        Lowpass(cutoff_hz=cutoff_hz, slope_db_per_octave=slope),
    ):
        assert gain_db(effect, cutoff_hz) == pytest.approx(-3.01, abs=0.05)


@pytest.mark.parametrize("slope", [6, 12, 18, 24])
def test_far_from_the_cutoff_the_slope_is_what_it_says(slope: Slope) -> None:
    high = Highpass(cutoff_hz=4000.0, slope_db_per_octave=slope)
    assert gain_db(high, 100.0) - gain_db(high, 50.0) == pytest.approx(slope, rel=0.03)
    low = Lowpass(cutoff_hz=50.0, slope_db_per_octave=slope)
    assert gain_db(low, 1000.0) - gain_db(low, 2000.0) == pytest.approx(slope, rel=0.03)


def test_bell_and_shelves_give_their_gain_where_they_say() -> None:
    bell = Peak(frequency_hz=1000.0, gain_db=6.0, q=2.0)
    assert gain_db(bell, 1000.0) == pytest.approx(6.0, abs=0.02)
    assert gain_db(bell, 50.0) == pytest.approx(0.0, abs=0.05)
    low = LowShelf(frequency_hz=200.0, gain_db=-8.0)
    assert gain_db(low, 20.0) == pytest.approx(-8.0, abs=0.1)
    assert gain_db(low, 200.0) == pytest.approx(-4.0, abs=0.05)
    high = HighShelf(frequency_hz=5000.0, gain_db=5.0)
    assert gain_db(high, 5000.0) == pytest.approx(2.5, abs=0.05)
    assert gain_db(high, 21_000.0) == pytest.approx(5.0, abs=0.1)


def test_a_high_pass_after_dc_removal_is_optional() -> None:
    audio = tone(20.0) + np.float32(0.1)
    plain = run(audio, [DcRemoval()])
    assert abs(float(plain.mean(dtype=np.float64))) < 1e-6
    filtered = run(audio, [DcRemoval(highpass_hz=20.0)])
    assert float(np.std(filtered)) < 0.8 * float(np.std(plain))


# Stereo


def test_the_middle_and_full_width_change_no_bit() -> None:
    audio = noise(2, 5000)
    for effect in (Pan(), Width(), Width(width_percent=100.0)):
        np.testing.assert_array_equal(run(audio, [effect]), audio)


@given(position=st.floats(-100, 100))
def test_panning_keeps_the_power_of_what_moves(position: float) -> None:
    """Web Audio API 1.1, StereoPannerNode: the far side's gains have squares that sum to 1."""
    audio = np.zeros((2, 300), np.float32)
    far = 1 if position < 0 else 0
    audio[far] = 0.5
    out = run(audio, [Pan(position_percent=position)])
    assert np.square(out.astype(np.float64)).sum(axis=0) == pytest.approx(0.25, rel=1e-5)


def test_at_the_ends_nothing_is_lost() -> None:
    audio = noise(2, 1000)
    left = run(audio, [Pan(position_percent=-100.0)])
    np.testing.assert_allclose(left[0], audio.sum(axis=0), atol=1e-6)
    np.testing.assert_allclose(left[1], 0.0, atol=1e-7)
    half = run(np.stack([0 * audio[0], audio[1]]), [Pan(position_percent=-50.0)])
    np.testing.assert_allclose(half, np.stack([audio[1]] * 2) * math.sqrt(0.5), rtol=1e-5)


def test_width_scales_the_side_and_leaves_the_middle() -> None:
    audio = noise(2, 1000)
    for percent in (0.0, 40.0, 200.0):
        out = run(audio, [Width(width_percent=percent)])
        np.testing.assert_allclose(out.sum(axis=0), audio.sum(axis=0), atol=1e-6)
        side = (audio[0] - audio[1]) * percent / 100
        np.testing.assert_allclose(out[0] - out[1], side, atol=1e-6)
    mono = noise(1, 1000)
    np.testing.assert_array_equal(run(mono, [Width(width_percent=0.0)]), mono)


def test_inverting_is_exact() -> None:
    audio = noise(2, 1000)
    np.testing.assert_array_equal(run(audio, [Invert()]), -audio)
    one = run(audio, [Invert(channel="right")])
    np.testing.assert_array_equal(one, audio * np.array([[1], [-1]], np.float32))


# Dynamics


def test_the_expander_lowers_bleed_and_leaves_the_instrument() -> None:
    """20 dB under the threshold at 1:2 becomes 40 dB under it."""
    expander = Expander(threshold_db=-30.0, ratio=2.0, attack_ms=1.0, release_ms=50.0)
    assert gain_db(expander, 1000.0, 10 ** (-50 / 20)) == pytest.approx(-20.0, abs=1.0)
    assert gain_db(expander, 1000.0, 0.5) == pytest.approx(0.0, abs=0.1)


def test_a_gate_shuts() -> None:
    gate = Gate(threshold_db=-40.0)
    assert gain_db(gate, 1000.0, 0.001) < -60
    assert gain_db(gate, 1000.0, 0.3) == pytest.approx(0.0, abs=0.1)


def test_makeup_gain_comes_after_the_compressor() -> None:
    audio = noise(1, 5000)
    plain = run(audio, [Compressor(threshold_db=-30.0)])
    louder = run(audio, [Compressor(threshold_db=-30.0, makeup_db=6.0)])
    np.testing.assert_allclose(louder, plain * 10 ** (6 / 20), rtol=1e-5)


def test_the_de_esser_changes_no_bit_while_it_rests() -> None:
    audio = noise(2, 20_000, level=0.05)
    np.testing.assert_array_equal(run(audio, [DeEsser(threshold_db=0.0)]), audio)


def test_the_de_esser_softens_highs_and_only_highs() -> None:
    de_esser = DeEsser(crossover_hz=5000.0, threshold_db=-40.0, ratio=10.0)
    # A tone that peaks at -6 dB is 34 dB over the threshold: 3.4 dB of them are left.
    assert gain_db(de_esser, 10_000.0, 0.5) == pytest.approx(-30.6, abs=1.0)
    assert gain_db(de_esser, 300.0, 0.5) == pytest.approx(0.0, abs=0.2)


# Colour, echo, ends


def test_saturation_keeps_soft_sound_and_rounds_peaks() -> None:
    drive = Saturation(drive_db=12.0)
    assert gain_db(drive, 1000.0, 0.001) == pytest.approx(0.0, abs=0.01)
    loud = run(tone(1000.0, 0.9), [drive])
    g = 10 ** (12 / 20)
    assert np.abs(loud).max() == pytest.approx(math.tanh(g * 0.9) / g, rel=1e-3)


def test_an_echo_comes_when_it_says_and_the_sound_stays() -> None:
    audio = np.zeros((1, SECOND), np.float32)
    audio[0, 1000] = 0.5
    out = run(audio, [Delay(time_ms=100.0, feedback_percent=0.0, mix_percent=40.0)])
    assert out[0, 1000] == pytest.approx(0.3)
    assert out[0, 1000 + 4410] == pytest.approx(0.2)


def test_the_dry_sound_of_a_reverb_is_untouched() -> None:
    audio = np.zeros((3, SECOND), np.float32)
    audio[:, 100] = 0.5
    out = run(audio, [Reverb()])
    np.testing.assert_array_equal(out[:, :1000], audio[:, :1000])
    assert np.abs(out[:, 2000:]).max(axis=1).min() > 1e-4  # all channels have the room


def test_fades_reach_both_ends_as_half_a_cosine() -> None:
    audio = np.full((2, 30_000), 0.5, np.float32)
    fade = Fade(in_s=0.2, out_s=0.1)
    out = run(audio, [fade], [1, 7, 9000])
    assert np.abs(out[:, [0, -1]]).max() < 1e-6
    assert out[0, 4410] == pytest.approx(0.25, abs=1e-4)
    assert out[0, 30_000 - 2205] == pytest.approx(0.25, abs=1e-3)
    np.testing.assert_array_equal(out[:, 9000:25_000], audio[:, 9000:25_000])
    assert (np.diff(out[0, :8820]) >= 0).all()
    assert (np.diff(out[0, -4410:]) <= 0).all()
    short = run(audio[:, :50], [Fade(in_s=60.0, out_s=60.0)])
    assert np.isfinite(short).all()


@given(st.lists(st.integers(0, 700), max_size=6))
def test_silence_is_trimmed_to_the_frame_whatever_the_blocks(sizes: list[int]) -> None:
    audio = np.full((2, 3000), 1e-4, np.float32)
    audio[1, 1000:1999] = 0.1
    effect = TrimSilence(threshold_dbfs=-60.0, pad_ms=0.0)
    span = locate(in_blocks(audio, sizes), effect, RATE_HZ)
    assert span == Span(1000, 1999)
    assert span.frames == 999
    kept = np.concatenate(list(cut(in_blocks(audio, sizes), span)), axis=1)
    np.testing.assert_array_equal(kept, audio[:, 1000:1999])


def test_the_pad_ends_at_the_file_and_silence_stays_whole() -> None:
    audio = np.zeros((1, 1000), np.float32)
    assert locate([audio], TrimSilence(), RATE_HZ) == Span(0, 1000)
    audio[0, 500] = 1.0
    assert locate([audio], TrimSilence(pad_ms=1.0), RATE_HZ) == Span(456, 545)
    assert locate([audio], TrimSilence(pad_ms=5000.0), RATE_HZ) == Span(0, 1000)


def test_the_old_name_of_the_ceiling_is_still_understood() -> None:
    assert Limiter.model_validate({"ceiling_db": -3.0}) == Limiter(ceiling_dbtp=-3.0)
