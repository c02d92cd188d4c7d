"""Loudness: against the standard's own words, and against a meter that is not ours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.dsp.loudness import Loudness, channel_weights
from bridge.dsp.meter import Meter
from tests.hypothesis_profiles import examples
from tests.support import GOLDEN
from tests.unit.loudness_reference import ffmpeg_levels, sine

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.dsp.processor import Audio

MUSIC = GOLDEN / "real" / "audio_example.flac"


def lufs(audio: Audio, rate_hz: float, block_frames: int = 65_536) -> float:
    meter = Loudness(rate_hz, len(audio))
    for start in range(0, audio.shape[1], block_frames):
        meter.add(audio[:, start : start + block_frames])
    return meter.integrated_lufs


@pytest.mark.parametrize("rate_hz", [44_100, 48_000, 96_000])
@pytest.mark.parametrize("gain_db", [0.0, -20.0])
def test_real_music_reads_as_in_ffmpeg(tmp_path: Path, rate_hz: int, gain_db: float) -> None:
    import soxr

    wave, found_hz = soundfile.read(MUSIC, dtype="float32", always_2d=True)
    audio = soxr.resample(wave, found_hz, rate_hz) * np.float32(10 ** (gain_db / 20))
    soundfile.write(tmp_path / "a.wav", audio, rate_hz, subtype="FLOAT")
    loudness, true_peak_dbtp = ffmpeg_levels(tmp_path / "a.wav")
    meter = Meter(rate_hz, 2)
    for start in range(0, len(audio), 10_000):
        meter.add(np.ascontiguousarray(audio[start : start + 10_000].T))
    levels = meter.levels
    assert levels.lufs == pytest.approx(loudness, abs=0.1)
    # ffmpeg looks at other curves between the frames, and shows one decimal.
    assert levels.true_peak_dbtp == pytest.approx(true_peak_dbtp, abs=0.3)
    assert levels.peak == np.abs(audio).max()
    assert levels.dc == pytest.approx(np.abs(audio.mean(axis=0, dtype=np.float64)).max(), rel=1e-6)


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000, 192_000])
def test_a_sine_at_full_scale_in_one_channel(rate_hz: int) -> None:
    """ITU-R BS.1770-4, annex 1: 997 Hz at 0 dBFS in one front channel reads -3.01 LKFS."""
    assert lufs(sine(0.0, 3.0, rate_hz, channels=1), rate_hz) == pytest.approx(-3.01, abs=0.05)


def test_the_gates() -> None:
    """EBU Tech 3341, cases 1, 3 and 4: the soft ends do not count."""
    tones = {level: sine(level, 10.0, 48_000) for level in (-72.0, -36.0, -23.0)}
    middle = np.tile(tones[-23.0], (1, 6))
    soft, lost = tones[-36.0], tones[-72.0]
    assert lufs(middle, 48_000) == pytest.approx(-23.0, abs=0.1)
    gated = np.concatenate([soft, middle, soft], axis=1)
    assert lufs(gated, 48_000) == pytest.approx(-23.0, abs=0.1)
    both = np.concatenate([lost, soft, middle, soft, lost], axis=1)
    assert lufs(both, 48_000) == pytest.approx(-23.0, abs=0.1)


def test_silence_and_what_is_too_short_have_no_loudness() -> None:
    assert lufs(np.zeros((2, 96_000), np.float32), 48_000) == -math.inf
    assert lufs(sine(0.0, 0.39, 48_000), 48_000) == -math.inf
    assert Loudness(48_000, 2).integrated_lufs == -math.inf


@settings(max_examples=examples(10))
@given(block_frames=st.integers(1_000, 100_000))
def test_blocks_do_not_matter(block_frames: int) -> None:
    rng = np.random.default_rng(1)
    audio = (0.1 * rng.standard_normal((2, 100_000))).astype(np.float32)
    whole = lufs(audio, 44_100, 100_000)
    assert lufs(audio, 44_100, block_frames) == pytest.approx(whole, abs=1e-4)  # float32 inside
    meters = [Meter(44_100, 2), Meter(44_100, 2)]
    for meter, size in zip(meters, (100_000, block_frames), strict=True):
        for start in range(0, 100_000, size):
            meter.add(audio[:, start : start + size])
    assert meters[0].levels.true_peak == pytest.approx(meters[1].levels.true_peak, rel=1e-6)


def test_channels_count_as_their_mask_says() -> None:
    surround = channel_weights(6, 0x3F)  # 5.1: front left, right, centre, effects, back
    np.testing.assert_allclose(surround, [1, 1, 1, 0, 1.41, 1.41])
    np.testing.assert_allclose(channel_weights(2, 0x3), [1, 1])
    np.testing.assert_allclose(channel_weights(3, 0x3), [1, 1, 1])  # the mask does not fit
