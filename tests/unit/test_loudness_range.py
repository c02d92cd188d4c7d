"""Loudness range, momentary and short-term loudness: against an independent meter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from bridge.dsp.loudness_range import programme_loudness
from bridge.dsp.meter import Meter
from tests.support import GOLDEN
from tests.unit.loudness_reference import METER_LU, ffmpeg_programme, sine

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.dsp.processor import Audio

RATE_HZ = 48_000


def music() -> Audio:
    """24 s: real music, then the same 12 dB down for twice as long, then 6 dB down."""
    import soxr

    wave, found_hz = soundfile.read(GOLDEN / "real" / "audio_example.flac", always_2d=True)
    part = soxr.resample(wave[: 6 * found_hz], found_hz, RATE_HZ).T
    return np.concatenate([part, part / 4, part / 4, part / 2], axis=1).astype(np.float32)


def test_programme_loudness_matches_ffmpeg(tmp_path: Path) -> None:
    audio = music()
    soundfile.write(tmp_path / "a.wav", audio.T, RATE_HZ, subtype="FLOAT")
    meter = Meter(RATE_HZ, 2)
    for start in range(0, audio.shape[1], 30_000):
        meter.add(audio[:, start : start + 30_000])
    theirs, ours = ffmpeg_programme(tmp_path / "a.wav"), meter.programme
    assert ours.max_momentary_lufs == pytest.approx(theirs["M"], abs=METER_LU)
    assert ours.max_short_term_lufs == pytest.approx(theirs["S"], abs=METER_LU)
    assert ours.range_lu == pytest.approx(theirs["LRA"], abs=2 * METER_LU)
    assert ours.integrated_lufs == meter.levels.lufs


@pytest.mark.parametrize(
    ("lower_dbfs", "expected_lu"), [(-30.0, 10.0), (-15.0, 5.0), (-40.0, 20.0)]
)
def test_range_of_two_tones(lower_dbfs: float, expected_lu: float) -> None:
    """EBU Tech 3342 section 4, minimum requirements 1 to 3: 20 s at each level."""
    meter = Meter(RATE_HZ, 2)
    for level_dbfs in (-20.0, lower_dbfs):
        meter.add(sine(level_dbfs, 20.0, RATE_HZ))
    assert meter.programme.range_lu == pytest.approx(expected_lu, abs=1.0)


def test_short_or_silent_audio_has_no_values() -> None:
    silence = programme_loudness(np.zeros(100))
    assert silence.max_momentary_lufs == silence.max_short_term_lufs == -math.inf
    assert math.isnan(silence.range_lu)
    short = programme_loudness(np.full(10, 0.1))
    assert math.isfinite(short.max_momentary_lufs)
    assert short.max_short_term_lufs == -math.inf
    assert math.isnan(short.range_lu)
