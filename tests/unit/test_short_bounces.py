"""Bounces of one frame and more: stems of the same frames, whatever is made of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st

import separator
from bridge.config import Settings
from bridge.convert import Converter
from bridge.effects.registry import EFFECTS
from bridge.effects.space import TrimSilence
from bridge.presets import loader as presets
from bridge.presets.output import Output
from bridge.preview import preview
from tests.bounces import music, wav_bytes
from tests.hypothesis_profiles import examples
from tests.jobs import job
from tests.support import GOLDEN, thorough

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bridge.worker.client import Worker

RATES_HZ = (8_000, 11_025, 22_050, 44_100, 48_000, 88_200, 96_000, 192_000)
DEMUCS = GOLDEN / "demucs_v1" / "demucs_v1.th"
SPLEETER = GOLDEN / "spleeter" / "2stems.json"
SHORT = (1, 2, 1_103)
NULL = {"PCM_16": 2.0**-15, "PCM_24": 2.0**-23, "FLOAT": 1e-6}


@settings(max_examples=examples(50))
@given(
    frames=st.integers(1, 5_000),
    rate_hz=st.sampled_from(RATES_HZ),
    channels=st.sampled_from((1, 2, 3, 6, 64)),
    subtype=st.sampled_from(tuple(NULL)),
    seed=st.integers(0, 3),
)
@example(frames=1, rate_hz=192_000, channels=1, subtype="FLOAT", seed=0)
@example(frames=1, rate_hz=44_100, channels=64, subtype="PCM_16", seed=0)
@example(frames=2, rate_hz=8_000, channels=3, subtype="PCM_24", seed=0)
def test_every_length_comes_back_and_nulls(
    frames: int, rate_hz: int, channels: int, subtype: str, seed: int
) -> None:
    wave = music(frames, rate_hz, channels, seed=seed)
    bounce = wav_bytes(wave, rate_hz=rate_hz, subtype=subtype, time_reference=rate_hz)
    made = job(bounce)
    assert made.manifest["source"]["frames"] == frames
    for name, stem in made.stems.items():
        assert stem.shape == (channels, frames), name
    bits = {"PCM_16": 15, "PCM_24": 23}.get(subtype)
    heard = wave if bits is None else np.rint(wave * 2.0**bits) / 2.0**bits
    assert np.abs(made.total - heard).max() <= NULL[subtype] * 1.0001


@pytest.mark.parametrize("name", sorted(presets.find([presets.folders()[-1]])))
@pytest.mark.parametrize("frames", [1, *thorough(SHORT[1:])])
def test_every_preset_keeps_every_length(name: str, frames: int) -> None:
    model = separator.load_checkpoint(DEMUCS, device="cpu")
    for rate_hz, subtype in ((44_100, "PCM_16"), (192_000, "FLOAT")):
        bounce = wav_bytes(music(frames, rate_hz), rate_hz=rate_hz, subtype=subtype)
        made = job(bounce, presets.load(name), model)
        for stem in made.stems.values():
            assert stem.shape == (2, frames)
            assert np.isfinite(stem).all()


APART = {"trim_silence", "vst3", "audio_unit", "pedalboard"}


@pytest.mark.parametrize("name", sorted(EFFECTS.keys() - APART))
def test_every_effect_keeps_every_length(name: str) -> None:
    preset = presets.load("stems").model_copy(update={"chain": (EFFECTS[name](),)})
    for frames in SHORT:
        made = job(wav_bytes(music(frames)), preset)
        for stem in made.stems.values():
            assert stem.shape == (2, frames)
            assert np.isfinite(stem).all()


def test_one_frame_is_not_trimmed_away() -> None:
    changes = {"chain": (TrimSilence(),), "aligned": False}
    made = job(wav_bytes(music(1)), presets.load("stems").model_copy(update=changes))
    assert {stem.shape for stem in made.stems.values()} == {(2, 1)}


def tone(frames: int, rate_hz: int) -> NDArray[np.float32]:
    """In the band of every codec at every rate, and not at zero when it begins."""
    wave = 0.5 * np.sin(2 * np.pi * 400 * np.arange(frames) / rate_hz + 1)
    return np.tile(wave, (2, 1)).astype(np.float32)


@pytest.mark.parametrize(
    "name", ["wav", "flac", "mp3", *thorough(["aiff", "caf", "w64", "ogg", "opus"])]
)
def test_every_format_keeps_every_length(name: str) -> None:
    """Lossy files as their decoder gives them: the sound is there, at its place."""
    output = Output.model_validate({"format": name})
    preset = presets.load("stems").model_copy(update={"output": output})
    for rate_hz in (8_000, 48_000) if name == "mp3" else (8_000, 48_000, 192_000):
        for frames in (*SHORT, 1_152):
            wave = tone(frames, rate_hz)
            made = job(wav_bytes(wave, rate_hz=rate_hz), preset)
            out_hz = 48_000 if name == "opus" else rate_hz
            out_frames = -(-frames * out_hz // rate_hz)
            assert {stem.shape for stem in made.stems.values()} == {(2, out_frames)}
            if out_hz == rate_hz:
                left = np.square(made.total - wave).sum() / np.square(wave).sum()
                assert left < 0.1


def test_session_files_of_one_frame() -> None:
    formats = ("reaper", "dawproject", "ardour", "m3u8", "csv")
    preset = presets.load("stems").model_copy(update={"session": formats})
    made = job(wav_bytes(music(1, 192_000), rate_hz=192_000, time_reference=192_001), preset)
    assert [each["name"] for each in made.manifest["sessions"]] == list(formats)
    assert made.warnings == []


def test_a_preview_of_one_frame(tmp_path: Path, worker: Worker) -> None:
    """Its files are as long as the bounce, not as the stretch that was wanted."""
    bounce = tmp_path / "one.wav"
    bounce.write_bytes(wav_bytes(music(1)))
    converter = Converter(Settings(), presets.load("stems"), str(SPLEETER), worker)
    manifest, made = preview(converter, bounce, tmp_path, lambda *_: None, at_s=0.0, for_s=10.0)
    assert json.dumps(manifest.to_json(), allow_nan=False)
    assert {soundfile.info(path).frames for path in made} == {1}
