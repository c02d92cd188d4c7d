"""Our metrics: against their definitions, and BSS Eval against museval on the same signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from separator import metrics
from separator.baselines import HarmonicPercussive, ideal_ratio_masks
from separator.errors import InputError
from tests.excerpt import excerpt
from tests.support import require, thorough

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float32]

TOLERANCE_DB = 0.01
FIELDS = ("sdr_db", "isr_db", "sir_db", "sar_db")


@pytest.fixture(scope="module")
def museval() -> Callable[..., Any]:
    """museval's own BSS Eval; its packages want ffmpeg when they are imported."""
    require.program("ffmpeg", "ffmpeg")
    import museval  # type: ignore[import-untyped]

    def evaluate(true: Array, heard: Array, window: int, hop: int) -> Any:
        frames_first = (x.astype(np.float64).transpose(0, 2, 1) for x in (true, heard))
        return museval.evaluate(*frames_first, win=window, hop=hop)

    return evaluate


def music(stems: int, channels: int, frames: int, seed: int = 0) -> tuple[Array, Array]:
    """Stems of coloured noise, and estimates with a filter, leakage and noise of their own."""
    random = np.random.default_rng(seed)
    true = random.standard_normal((stems, channels, frames))
    for stem in range(stems):  # each with a colour of its own; the channels partly alike
        true[stem] = true[stem] + np.roll(true[stem], 1 + stem, axis=-1) * (-0.8) ** stem
        true[stem] += 0.5 * true[stem, :1]
    heard = 0.8 * true + 0.15 * np.roll(true, 7, axis=-1) + 0.2 * true.sum(axis=0)
    heard += 0.05 * random.standard_normal(heard.shape)
    return true.astype(np.float32), heard.astype(np.float32)


def check(museval: Callable[..., Any], true: Array, heard: Array, window: int, hop: int) -> None:
    """Every window of every measure within the tolerance, and NaN in the same places."""
    ours = metrics.bss_eval(true, heard, window_frames=window, hop_frames=hop)
    for field, theirs in zip(FIELDS, museval(true, heard, window, hop), strict=True):
        scores = getattr(ours, field)
        assert scores.shape == theirs.shape
        np.testing.assert_allclose(scores, theirs, atol=TOLERANCE_DB, rtol=0, err_msg=field)


@pytest.mark.parametrize(
    ("stems", "channels", "frames", "window", "hop"),
    [
        (2, 2, 30_000, 8000, 8000),
        *thorough(
            [(3, 1, 50_000, 8000, 3000), (2, 2, 5000, 8000, 8000), (2, 1, 70_000, 9999, 10_001)]
        ),
    ],
    ids=["stereo", "overlapping windows", "shorter than a window", "gaps, several blocks"],
)
def test_bss_eval_is_that_of_museval(
    museval: Callable[..., Any], stems: int, channels: int, frames: int, window: int, hop: int
) -> None:
    check(museval, *music(stems, channels, frames), window, hop)


def test_windows_with_silence_are_skipped_for_all_stems(museval: Callable[..., Any]) -> None:
    true, heard = music(2, 2, 40_000)
    true[0, :, 7000:17_000] = 0  # covers the window from 8000
    heard[1, 1, 24_000:32_000] = -heard[1, 0, 24_000:32_000]  # cancels: museval's silence too
    check(museval, true, heard, 8000, 8000)
    scores = metrics.bss_eval(true, heard, window_frames=8000)
    skipped = np.isnan(scores.sdr_db)
    assert skipped.tolist() == [[False, True, False, True, False]] * 2
    counted = scores.sdr_db[0][~skipped[0]]
    assert scores.medians()["sdr_db"][0] == pytest.approx(np.median(counted))


def test_mono_stems_in_two_channels(museval: Callable[..., Any]) -> None:
    """The references cannot be told apart there: the least squares have many solutions."""
    true, heard = music(2, 1, 20_000)
    true = np.repeat(true, 2, axis=1)
    heard = np.concatenate([heard, 0.9 * heard], axis=1).astype(np.float32)
    scores = metrics.bss_eval(true, heard, window_frames=8000)
    assert np.isfinite([getattr(scores, field) for field in FIELDS]).all()
    check(museval, true, heard, 8000, 8000)


def drums_and_rest() -> tuple[Array, Array]:
    """Real music, and a baseline's estimates of it: (2, 2, frames) each."""
    track = excerpt()
    drums = track.stems["drums"]
    true = np.stack([track.mixture - drums, drums])
    return true, HarmonicPercussive()(torch.from_numpy(track.mixture)[None])[0].numpy()


def test_real_music_is_scored_as_museval_does(museval: Callable[..., Any]) -> None:
    """With gaps in the spectrum, where the filters are hardly determined."""
    check(museval, *drums_and_rest(), 44_100, 44_100)


@pytest.mark.slow
def test_four_stems_are_scored_as_museval_does(museval: Callable[..., Any]) -> None:
    track = excerpt()
    true = np.stack(list(track.stems.values()))
    check(museval, true, ideal_ratio_masks(true, track.mixture), 44_100, 44_100)


@given(st.floats(0.01, 0.99), st.integers(0, 9))
def test_sdr_of_a_wrong_level_is_the_level(gain: float, seed: int) -> None:
    true = np.random.default_rng(seed).standard_normal((2, 1000))
    expected = -20 * np.log10(1 - gain)
    assert metrics.sdr_db(true, gain * true) == pytest.approx(expected, abs=1e-3)


@given(st.floats(0.1, 10), st.integers(0, 9))
def test_si_sdr_does_not_see_the_level(gain: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    true, noise = random.standard_normal((2, 2, 1000))
    noise -= true * np.sum(true * noise) / np.sum(true * true)  # at right angles
    expected = 10 * np.log10(np.sum(true**2) / np.sum(noise**2))
    assert metrics.si_sdr_db(true, gain * (true + noise)) == pytest.approx(expected, abs=1e-6)


def test_both_take_all_channels_and_any_length_together() -> None:
    random = np.random.default_rng(1)
    frames = 2 * metrics.SUM_FRAMES + 77  # three blocks
    true = random.standard_normal((2, frames)).astype(np.float32)
    heard = true.copy()
    heard[1] += 0.1  # all the noise is in one channel
    noise = frames * np.float64(0.1) ** 2
    energy = np.sum(true.astype(np.float64) ** 2)
    expected = 10 * np.log10(energy / noise)
    assert metrics.sdr_db(true, heard) == pytest.approx(expected, abs=1e-4)
    assert metrics.si_sdr_db(true, heard) == pytest.approx(expected, abs=1e-2)


def test_perfect_and_silent_stems() -> None:
    true = np.random.default_rng(2).standard_normal((2, 1000)).astype(np.float32)
    assert 90 < metrics.sdr_db(true, true) < 120  # the epsilon of the definition
    assert metrics.si_sdr_db(true, 2 * true) == np.inf
    assert np.isnan(metrics.si_sdr_db(np.zeros_like(true), true))
    assert metrics.sdr_db(true, np.zeros_like(true)) == pytest.approx(0, abs=1e-6)


def test_the_parts_mean_what_they_are_called() -> None:
    """A filter of the stem lowers ISR alone, another stem SIR alone, noise SAR alone."""
    random = np.random.default_rng(3)
    true = random.standard_normal((2, 2, 32_000)).astype(np.float32)
    noise = random.standard_normal((2, 32_000)).astype(np.float32)
    worse = {
        "isr_db": true[0] + 0.1 * np.roll(true[0], 20, axis=-1),
        "sir_db": true[0] + 0.1 * true[1],
        "sar_db": true[0] + 0.1 * noise,
    }
    for low, heard in worse.items():
        scores = metrics.bss_eval(true, np.stack([heard, true[1]]), window_frames=8000).medians()
        assert scores["sdr_db"][0] == pytest.approx(20, abs=0.2)
        assert scores[low][0] == pytest.approx(20, abs=0.4)
        # Filters fitted to 4 s of noise explain a little of anything: 512 taps for 32,000 frames.
        assert all(scores[name][0] > 30 for name in worse if name != low), scores


def test_what_cannot_be_scored_is_said() -> None:
    true, heard = music(2, 2, 3000)
    with pytest.raises(InputError, match="cut both to the same shape"):
        metrics.bss_eval(true, heard[..., :-1], window_frames=1000)
    with pytest.raises(InputError, match=r"\(stems, channels, frames\)"):
        metrics.bss_eval(true[0], heard[0], window_frames=1000)
    with pytest.raises(InputError, match="at least one frame"):
        metrics.bss_eval(true, heard, window_frames=0)
    heard[0, 0, 5] = np.nan
    for measure in (metrics.sdr_db, metrics.si_sdr_db):
        with pytest.raises(InputError, match="NaN"):
            measure(true[0], heard[0])
