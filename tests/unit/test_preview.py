"""A stretch of a bounce sounds as in the whole: measured against the whole."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from bridge.config import Settings
from bridge.convert import Converter
from bridge.errors import TooShortBounce
from bridge.presets import loader as presets
from bridge.preview import CONTEXT_S, preview, stretch_frames
from tests.support import GOLDEN, snr_db
from tests.tiny_model import write_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.worker.client import Worker

SECONDS = 32.0


def quiet(*_: object) -> None:
    """Nobody listens."""


def song(path: Path, rate_hz: int, subtype: str) -> Path:
    """Real music, three times around and at half its level, so that no gain is needed."""
    wave, found_hz = soundfile.read(GOLDEN / "real" / "audio_example.flac", always_2d=True)
    long = 0.4 * np.concatenate([wave, wave[::-1], 0.7 * wave])[: int(SECONDS * found_hz)]
    soundfile.write(path, soxr.resample(long, found_hz, rate_hz), rate_hz, subtype=subtype)
    return path


@pytest.fixture
def converter(tmp_path: Path, worker: Worker) -> Converter:
    """With the tiny network, whose segments last 1.5 s."""
    return Converter(Settings(), presets.load("stems"), str(write_tiny_model(tmp_path)), worker)


@pytest.mark.parametrize(
    ("rate_hz", "subtype", "least_db"), [(44_100, "PCM_24", math.inf), (48_000, "FLOAT", 40)]
)
def test_a_stretch_is_that_of_the_whole(
    tmp_path: Path, converter: Converter, rate_hz: int, subtype: str, least_db: float
) -> None:
    """At the model's own rate to the last bit; elsewhere a segment begins between two frames."""
    source = song(tmp_path / "song.wav", rate_hz, subtype)
    before = source.read_bytes()
    manifest, path = converter.convert(source, tmp_path / "out" / "song", tmp_path / "out", quiet)
    _, made = preview(converter, source, tmp_path / "pre", quiet, at_s=20.0, for_s=3.0)
    assert len(made) == len(manifest.stems) == 2
    for stem, file in zip(manifest.stems, made, strict=True):
        whole, _ = soundfile.read(path.parent / stem.path, start=20 * rate_hz, frames=3 * rate_hz)
        info = soundfile.info(file)
        assert (info.samplerate, info.subtype, info.frames) == (rate_hz, subtype, 3 * rate_hz)
        assert snr_db(soundfile.read(file)[0], whole) >= least_db
        assert np.abs(whole).max() > 0.01
    assert source.read_bytes() == before
    assert sorted((tmp_path / "pre").iterdir()) == sorted(made)


def test_the_end_of_a_bounce_cuts_a_stretch_short(tmp_path: Path, converter: Converter) -> None:
    source = song(tmp_path / "song.wav", 44_100, "PCM_16")
    _, made = preview(converter, source, tmp_path, quiet, at_s=SECONDS - 1.0, for_s=5.0)
    assert {soundfile.info(file).frames for file in made} == {44_100}
    with pytest.raises(TooShortBounce, match="earlier --at"):
        preview(converter, source, tmp_path, quiet, at_s=SECONDS, for_s=5.0)


def test_a_preset_that_trims_is_heard_untrimmed(tmp_path: Path, converter: Converter) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("schema: 1\nsummary: s\naligned: false\nchain: [dc_removal, trim_silence]\n")
    trimming = converter.with_preset(presets.load(path))
    source = song(tmp_path / "song.wav", 44_100, "PCM_16")
    _, made = preview(trimming, source, tmp_path, quiet, at_s=2.0, for_s=1.0)
    assert {soundfile.info(file).frames for file in made} == {44_100}


@given(
    st.floats(0, 7200),
    st.floats(0.1, 120),
    st.sampled_from([8000, 44_100, 48_000, 192_000]),
    st.floats(0.05, 60),
)
def test_what_is_read_begins_with_a_segment_and_has_its_context(
    at_s: float, for_s: float, rate_hz: int, hop_s: float
) -> None:
    found = stretch_frames(at_s, for_s, rate_hz, hop_s)
    assert 0 <= found.first <= found.start < found.end < found.last
    context_s = (found.start - found.first) / rate_hz
    assert found.first == 0 or context_s >= CONTEXT_S - 1 / rate_hz
    assert context_s <= CONTEXT_S + hop_s + 1 / rate_hz or found.first == 0
    hops = found.first / rate_hz / hop_s
    assert abs(hops - round(hops)) * hop_s * rate_hz <= 0.51
    assert abs(found.start - at_s * rate_hz) <= 0.5
