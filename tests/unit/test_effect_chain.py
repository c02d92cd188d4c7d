"""Streaming through effect chains: length, alignment, and independence of block sizes."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pedalboard
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.dsp.meter import Statistics
from bridge.dsp.processor import BLOCK_FRAMES, Audio
from bridge.effects.chain import render
from bridge.effects.registry import (
    Compressor,
    DcRemoval,
    Effect,
    Gain,
    Highpass,
    Limiter,
    Lowpass,
    check_rate,
    split_passes,
)
from bridge.errors import PresetError, PromiseBroken
from tests.hypothesis_profiles import examples
from tests.unit.chains import RATE_HZ, cut, noise, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def reference(audio: Audio, effects: Sequence[Effect]) -> Audio:
    """The same with one whole-file call of pedalboard per effect, and DC removal in plain numpy."""
    for effect in effects:
        match effect:
            case DcRemoval():
                mean = audio.astype(np.float64).mean(axis=1, keepdims=True)
                audio = (audio - mean).astype(np.float32)
                continue
            case Gain():
                plugin: pedalboard.Plugin = pedalboard.Gain(effect.gain_db)
            case Highpass():
                plugin = pedalboard.HighpassFilter(effect.cutoff_hz)
            case Lowpass():
                plugin = pedalboard.LowpassFilter(effect.cutoff_hz)
            case Compressor():
                plugin = pedalboard.Compressor(
                    effect.threshold_db, effect.ratio, effect.attack_ms, effect.release_ms
                )
            case Limiter():
                plugin = pedalboard.BrickwallLimiter(
                    effect.ceiling_dbtp, effect.release_ms, true_peak=effect.true_peak
                )
        audio = plugin.process(audio, RATE_HZ)
    return audio


any_effect: st.SearchStrategy[Effect] = st.one_of(
    st.builds(DcRemoval),
    st.builds(Gain, gain_db=st.floats(-20, 20)),
    st.builds(Highpass, cutoff_hz=st.floats(10, 2000)),
    st.builds(Lowpass, cutoff_hz=st.floats(500, 20_000)),
    st.builds(Compressor, threshold_db=st.floats(-40, 0), ratio=st.floats(1, 20)),
    st.builds(Limiter, ceiling_dbtp=st.floats(-24, 0), true_peak=st.just(False)),
)


@settings(max_examples=examples(60))
@given(
    effects=st.lists(any_effect, max_size=4),
    sizes=st.lists(st.integers(0, 9000), max_size=6),
    channels=st.integers(1, 3),
    frames=st.integers(256, 20_000),
)
def test_block_sizes_do_not_change_the_result(
    effects: list[Effect], sizes: list[int], channels: int, frames: int
) -> None:
    audio = noise(channels, frames)
    in_blocks = run(audio, effects, sizes)
    assert in_blocks.shape == audio.shape
    assert in_blocks.dtype == np.float32
    # pedalboard's whole-file call is the independent witness; one big block is another cut.
    np.testing.assert_allclose(in_blocks, reference(audio, effects), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(in_blocks, run(audio, effects))


@pytest.mark.parametrize("frames", [0, 1, 2, 7, BLOCK_FRAMES - 1, BLOCK_FRAMES, BLOCK_FRAMES + 1])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_every_length_is_preserved(frames: int, channels: int) -> None:
    """Also with fewer frames than channels, which pedalboard would take for (frames, channels)."""
    audio = noise(channels, frames, 0.01)
    out = run(audio, [Gain(gain_db=20.0), Limiter(ceiling_dbtp=0.0, true_peak=True)])
    np.testing.assert_allclose(out, audio * np.float32(10.0), rtol=1e-5)


def test_blocks_of_one_frame() -> None:
    audio = noise(2, 500)
    effects = [Highpass(), Limiter(ceiling_dbtp=-12.0)]
    np.testing.assert_array_equal(run(audio, effects, [1] * 499), run(audio, effects))


@pytest.mark.parametrize(
    "effects",
    [
        [],
        [Gain(gain_db=-6.0)],
        [Highpass(cutoff_hz=40.0), Gain(gain_db=3.0)],
        [DcRemoval(), Gain(gain_db=3.0)],
        [Limiter(true_peak=False)],
        [Limiter()],
        [Limiter(true_peak=False), Gain(gain_db=-1.0), Limiter(), Compressor()],
    ],
)
@pytest.mark.parametrize("rate_hz", [8000.0, 44_100.0, 192_000.0])
def test_an_impulse_stays_where_it_is(effects: list[Effect], rate_hz: float) -> None:
    audio = np.zeros((2, 30_000), np.float32)
    audio[0, 1000] = 0.5
    audio[1, 29_999] = 0.25
    out = run(audio, effects, [777] * 20, rate_hz)
    assert out.shape == audio.shape
    assert np.abs(out[0]).argmax() == 1000
    assert np.abs(out[1]).argmax() == 29_999


def test_dc_removal_only_subtracts_the_offset() -> None:
    frames = 44_100
    tone = 0.5 * np.sin(2 * np.pi * 20 * np.arange(frames) / RATE_HZ)  # 20 whole periods: mean 0
    ac = np.stack([tone, -0.5 * tone])
    audio = (ac + np.array([[0.1], [-0.02]])).astype(np.float32)
    out = run(audio, [DcRemoval()], [1000] * 30)
    assert np.abs(out.astype(np.float64).mean(axis=1)).max() < 1e-6
    # Rounding of (tone + offset) to float32 is all that is left: no filter, no phase shift.
    assert np.abs(out - ac).max() < 1e-7


def test_dc_is_removed_at_its_position_in_the_chain() -> None:
    """A compressor before and after: the offset is measured on what the first one gives."""
    audio = noise(2, 20_000) + np.float32(0.2)
    chain: list[Effect] = [Compressor(threshold_db=-20.0), DcRemoval(), Gain(gain_db=6.0)]
    assert split_passes(chain) == ((chain[0],), (chain[1], chain[2]))
    out = run(audio, chain)
    assert np.abs(out.mean(axis=1, dtype=np.float64)).max() < 1e-6


def test_split_passes() -> None:
    dc, gain = DcRemoval(), Gain()
    assert split_passes([]) == ()
    assert split_passes([gain, gain]) == ((gain, gain),)
    assert split_passes([dc, gain, dc, dc]) == ((dc, gain), (dc,), (dc,))


@pytest.mark.parametrize("true_peak", [False, True])
@pytest.mark.parametrize("ceiling_db", [0.0, -1.0, -6.0])
def test_the_limiter_holds_its_ceiling_on_hot_noise(ceiling_db: float, true_peak: bool) -> None:
    audio = noise(2, 44_100, level=3.0)
    out = run(audio, [Limiter(ceiling_dbtp=ceiling_db, true_peak=true_peak)], [4096] * 5)
    ceiling = 10 ** (ceiling_db / 20)
    assert np.abs(out).max() <= ceiling * (1 + 1e-6)
    assert np.abs(out).max() > 0.9 * ceiling


def test_true_peaks_are_limited() -> None:
    """A quarter-rate sine at 45 degrees has frames at -3 dB and a curve that peaks at 0 dB."""
    frames = np.arange(44_100)
    audio = np.sin(np.pi / 2 * frames + np.pi / 4).astype(np.float32)[np.newaxis]

    def between_db(true_peak: bool) -> float:
        out = run(audio, [Limiter(ceiling_dbtp=-1.0, true_peak=true_peak)])
        steady = np.fft.rfft(out[0, 20_000:24_000])  # whole periods: the curve is exact
        curve = 8 * np.fft.irfft(steady, 8 * 4000)
        return 20 * math.log10(np.abs(curve).max())

    assert between_db(False) > -0.1
    assert between_db(True) < -0.9


def test_the_limiter_leaves_softer_sound_untouched() -> None:
    audio = noise(2, 20_000, level=0.05)
    np.testing.assert_array_equal(run(audio, [Limiter(ceiling_dbtp=-1.0)]), audio)


def test_the_limiter_keeps_the_stereo_image() -> None:
    audio = noise(2, 20_000)
    audio[0] *= 8
    out = run(audio, [Limiter(ceiling_dbtp=-1.0)])
    heard = np.abs(audio).min(axis=0) > 0.01  # in both channels, so that the quotients mean much
    gain = out[:, heard] / audio[:, heard]
    np.testing.assert_allclose(gain[0], gain[1], rtol=1e-4)
    assert gain.min() < 0.8


def test_an_empty_chain_changes_nothing() -> None:
    audio = noise(2, 3000)
    rendered = render(cut(audio, [1000]), [], rate_hz=RATE_HZ, channels=2, frames=3000)
    np.testing.assert_array_equal(np.concatenate(list(rendered), axis=1), audio)


def test_memory_is_bounded() -> None:
    """Input is taken as output is given: never more than a few blocks apart."""
    frames = 100 * BLOCK_FRAMES
    taken = 0

    def blocks() -> Iterator[Audio]:
        nonlocal taken
        for _ in range(100):
            taken += BLOCK_FRAMES
            yield np.zeros((1, BLOCK_FRAMES), np.float32)

    given_frames = 0
    for block in render(blocks(), [Limiter()], rate_hz=RATE_HZ, channels=1, frames=frames):
        given_frames += block.shape[1]
        assert taken - given_frames <= 2 * BLOCK_FRAMES
    assert given_frames == frames


# Rates


def test_a_lowpass_above_half_the_rate_passes_everything() -> None:
    audio = noise(1, 5000)
    np.testing.assert_array_equal(run(audio, [Lowpass(cutoff_hz=6000.0)], (), 8000.0), audio)


def test_a_highpass_above_half_the_rate_is_refused_before_any_work() -> None:
    effects = [Highpass(cutoff_hz=4000.0)]
    with pytest.raises(PresetError, match="use a cutoff_hz below 4000"):
        check_rate(effects, 8000.0)
    with pytest.raises(PresetError, match="highpass at 4000 Hz"):
        render([], effects, rate_hz=8000.0, channels=1, frames=0)
    check_rate(effects, 44_100.0)


# Wrong use


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([noise(2, 100)], "effects got 100 frames instead of 200"),
        ([noise(2, 100)] * 3, "effects got more than 200 frames"),
        ([noise(1, 200)], r"effects got a block of shape \(1, 200\) instead of 2 channels"),
    ],
)
@pytest.mark.parametrize("effects", [[], [Limiter()]])
def test_a_wrong_number_of_frames_is_an_error(
    blocks: list[Audio], message: str, effects: list[Effect]
) -> None:
    with pytest.raises(PromiseBroken, match=message):
        list(render(blocks, effects, rate_hz=RATE_HZ, channels=2, frames=200))


@pytest.mark.parametrize(
    ("effects", "offsets"),
    [([Gain(), DcRemoval()], None), ([DcRemoval()], None), ([Gain()], np.zeros(1))],
)
def test_dc_removal_needs_its_own_pass_and_offsets(
    effects: list[Effect], offsets: npt.NDArray[np.float64] | None
) -> None:
    with pytest.raises(ValueError, match="pass"):
        render([], effects, rate_hz=RATE_HZ, channels=1, frames=0, offsets=offsets)


# Measure


@given(st.lists(st.integers(0, 300), max_size=8))
def test_statistics_does_not_depend_on_the_blocks(sizes: list[int]) -> None:
    audio = noise(2, 1000) + np.float32(0.25)
    measure = Statistics(2)
    for block in cut(audio, sizes):
        measure.add(block)
    assert measure.frames == 1000
    assert measure.peak == np.abs(audio).max()
    np.testing.assert_allclose(measure.mean, audio.mean(axis=1, dtype=np.float64), atol=1e-12)


def test_statistics_of_nothing_is_zero() -> None:
    assert Statistics(3).mean.tolist() == [0.0, 0.0, 0.0]
    assert Statistics(3).peak == 0.0


def test_statistics_keeps_a_nan() -> None:
    measure = Statistics(1)
    for value in (1.0, math.nan, 2.0):
        measure.add(np.array([[value]], np.float32))
    assert math.isnan(measure.peak)


def test_relative_peak_of_integers_ends_one_step_below_one() -> None:
    step = 2.0**-15
    measure = Statistics(1)
    measure.add(np.array([[-1.0, 1.0 - step]], np.float32))
    assert measure.relative_peak(1.0 - step) == 1.0
    measure.add(np.array([[1.0]], np.float32))
    assert measure.relative_peak(1.0 - step) > 1.0
    assert measure.peak == 1.0


def test_levels_offsets_and_the_guard_need_no_pedalboard() -> None:
    """A worker for plain stems never loads it: memory, and time at the start."""
    script = (
        "import sys, numpy as np\n"
        "import bridge.render.pipeline\n"
        "from bridge.render.alignment import apply_chain, check_alignment\n"
        "from bridge.effects.registry import DcRemoval, Limiter\n"
        "from bridge.dsp.meter import Meter\n"
        "audio = np.zeros((2, 50_000), np.float32)\n"
        "audio[:, 1000] = 0.5\n"
        "check_alignment([DcRemoval()], 44_100.0, 2)\n"
        "meter = Meter(44_100.0, 2)\n"
        "meter.add(apply_chain([DcRemoval(), Limiter().for_peak(0.5)], audio, 44_100.0))\n"
        "assert meter.levels.peak > 0.4\n"
        "print('pedalboard' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
