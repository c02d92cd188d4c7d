"""True-peak limiting, measured with independent resamplers."""

from __future__ import annotations

import math
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.dsp.processor import Audio, ProcessSpec, process_stream
from bridge.dsp.true_peak import BANDWIDTHS, REACH_FRAMES, TruePeak, interpolator, oversampling
from bridge.effects.peak_guard import PeakGuard
from bridge.effects.registry import Limiter
from tests.hypothesis_profiles import examples
from tests.support import require
from tests.unit.chains import RATE_HZ, noise, run

PROJECTS = Path("/usr/share/lmms/projects/shorties")
OVER_DB = 0.1  # what two good resamplers may differ by at the upper end of the spectrum


def true_peak_dbtp(audio: Audio) -> float:
    """The higher of two readings with 8x oversampling: libsoxr's, and a long filter of scipy's."""
    by_soxr = np.abs(soxr.resample(audio.T, 1, 8, quality="VHQ")).max()
    taps = 8 * scipy.signal.firwin(8 * 128 + 1, 1 / 8, window=("kaiser", 9.0))
    by_scipy = max(np.abs(scipy.signal.upfirdn(taps, channel, 8)).max() for channel in audio)
    return 20 * math.log10(max(float(by_soxr), float(by_scipy)))


@pytest.fixture(
    scope="module",
    params=[
        "Skiessi-222",
        pytest.param("DirtyLove", marks=pytest.mark.thorough),
        pytest.param("Surrender-Main", marks=pytest.mark.thorough),
    ],
)
def hot_music(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Audio:
    """The loudest three seconds of an LMMS demo project, rendered to float: peaks beyond 1."""
    lmms = require.program("lmms", "lmms")
    path = tmp_path_factory.mktemp("lmms") / "hot.wav"
    project = PROJECTS / f"{request.param}.mmpz"
    if not project.exists():
        require.lack(f"needs {project} (Debian package lmms-common)")
    subprocess.run(
        [lmms, "--allowroot", "render", project, "-f", "wav", "-s", "44100", "-a", "-o", path],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=240,
        check=True,
    )
    audio = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    length = 3 * round(RATE_HZ)
    level = np.convolve(np.square(audio).sum(axis=0), np.ones(256) / 256, "same")
    middle = int(level.argmax())
    start = max(0, min(middle - length // 2, audio.shape[1] - length))
    return np.ascontiguousarray(audio[:, start : start + length])


@pytest.mark.parametrize("drive_db", [6.0, 18.0])
def test_no_true_peak_over_the_ceiling_in_hot_music(hot_music: Audio, drive_db: float) -> None:
    driven = hot_music * np.float32(10 ** (drive_db / 20))
    assert true_peak_dbtp(driven) > -1.0  # else the limiter has nothing to do
    out = run(driven, [Limiter(ceiling_dbtp=-1.0)], [5000] * 8)
    assert -1.5 < true_peak_dbtp(out) <= -1.0 + OVER_DB


@pytest.mark.parametrize("ceiling_dbtp", [0.0, -6.0])
def test_no_true_peak_over_the_ceiling_in_clipped_noise(ceiling_dbtp: float) -> None:
    audio = np.clip(noise(2, 40_000, level=4.0), -1, 1)
    # The noise goes up to half the rate, where two readings differ most.
    out = run(audio, [Limiter(ceiling_dbtp=ceiling_dbtp)])
    assert ceiling_dbtp - 0.5 < true_peak_dbtp(out) <= ceiling_dbtp + OVER_DB


def test_audio_under_the_ceiling_needs_only_the_peak_guard() -> None:
    audio = noise(2, 40_000, level=1.0)
    audio *= np.float32(0.5) / np.abs(audio).max()
    limiter = Limiter(ceiling_dbtp=20 * math.log10(0.5))
    assert true_peak_dbtp(audio) > limiter.ceiling_dbtp + OVER_DB
    quick = limiter.for_peak(0.5)
    assert len(quick.nodes(ProcessSpec(RATE_HZ, 2))) == 1
    np.testing.assert_array_equal(run(audio, [quick]), run(audio, [limiter]))
    assert limiter.for_peak(0.51) is limiter


def test_the_peak_guard_leaves_audio_under_the_ceiling_unchanged() -> None:
    audio = noise(2, 30_000, level=0.05)
    spec = ProcessSpec(RATE_HZ, 2, audio.shape[1])
    for ceiling in (0.5, 1.0):
        out = np.concatenate(list(process_stream(PeakGuard(ceiling, spec), [audio], spec)), axis=1)
        np.testing.assert_array_equal(out, audio)


def test_the_guard_acts_around_a_peak_only_and_on_all_channels_alike() -> None:
    audio = noise(2, 30_000, level=0.01)
    audio[0, 15_000] = 0.9
    spec = ProcessSpec(RATE_HZ, 2, audio.shape[1])
    out = np.concatenate(list(process_stream(PeakGuard(0.8, spec), [audio], spec)), axis=1)
    assert np.abs(out[0]).argmax() == 15_000
    assert 0.79 < out[0, 15_000] < 0.8
    far = np.r_[0:14_500, 15_500:30_000]
    np.testing.assert_array_equal(out[:, far], audio[:, far])
    near = slice(14_980, 15_020)
    gain = out[:, near] / audio[:, near]
    np.testing.assert_allclose(gain[0], gain[1], rtol=1e-5)


def test_true_peak_of_a_tone_between_its_frames() -> None:
    """A quarter-rate sine at 45 degrees: frames at 0.707, the curve at 1."""
    tone = np.sin(np.pi / 2 * np.arange(2000) + np.pi / 4).astype(np.float32)[np.newaxis]
    for rate_hz in (44_100.0, 96_000.0, 192_000.0):
        # Every other pair of frames has the crest between it.
        reached = TruePeak(rate_hz).between(tone)[500:1500].reshape(-1, 2)
        np.testing.assert_allclose(reached.max(axis=1), 1.0, atol=1e-3)


def test_the_interpolator_keeps_a_constant() -> None:
    for rate_hz in (8000.0, 48_000.0, 192_000.0):
        filters = interpolator(oversampling(rate_hz), 1.0)
        np.testing.assert_allclose(filters.sum(axis=1), 1.0)
        assert filters[0].argmax() == filters.shape[1] // 2 - 1


@pytest.mark.parametrize("rate_hz", [44_100.0, 96_000.0, 192_000.0])
@settings(max_examples=examples(25))
@given(seed=st.integers(0, 1000), frames=st.integers(1, 700), above=st.floats(0.05, 1.5))
def test_skipped_tiles_stay_under_the_limit(
    rate_hz: float, seed: int, frames: int, above: float
) -> None:
    """Against every value of both curves, computed one by one in float64."""
    rng = np.random.default_rng(seed)
    audio = np.convolve(rng.standard_normal(frames), rng.standard_normal(1 + seed % 9), "same")
    audio /= max(1.0, np.abs(audio).max())
    factor = oversampling(rate_hz)
    padded = np.pad(audio, (REACH_FRAMES - 1, REACH_FRAMES))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * REACH_FRAMES)
    filters = np.concatenate([interpolator(factor, width) for width in BANDWIDTHS])
    wanted = np.maximum(np.abs(windows @ filters.T).max(axis=1), np.abs(audio))
    found = TruePeak(rate_hz).between(audio[np.newaxis].astype(np.float32), above)
    high = wanted > above + 1e-5
    np.testing.assert_allclose(found[high], wanted[high], rtol=1e-5)
    assert (found <= wanted + 1e-5).all()


def test_distant_peaks_are_lowered_as_if_each_were_alone() -> None:
    spec = ProcessSpec(RATE_HZ, 1, 60_000)
    quiet = noise(1, 60_000, level=0.01)
    peaks = (1000, 1360, 20_000, 20_353, 59_999)  # no two glides of 2 x 88 frames meet

    def guarded(at: tuple[int, ...]) -> Audio:
        audio = quiet.copy()
        audio[0, list(at)] = 0.9
        return (
            np.concatenate(list(process_stream(PeakGuard(0.5, spec), [audio], spec)), axis=1)
            / audio
        )

    together, apart = guarded(peaks), [guarded((peak,)) for peak in peaks]
    np.testing.assert_allclose(together, np.minimum.reduce(apart), rtol=1e-5)
    assert (together[0, list(peaks)] < 0.5 / 0.9).all()
