"""Stem files as other programs read them: ffprobe, ffmpeg and stempeg."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.daw import stem_mp4
from bridge.evaluate.stem_mp4 import open_stem_file
from tests.daw.sets import FOUR, read_24, session, split, write_set
from tests.support import require

FRAMES = 50_001  # no multiple of any coder's block


@pytest.fixture(params=[44_100, 48_000, 96_000], scope="module")
def stem_file(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, int]:
    """A stem file beside its set, and its rate."""
    rate_hz = int(request.param)
    folder = tmp_path_factory.mktemp("stems")
    bounce = folder / "-Mix 'a': \"b\" %03d 🎛️.wav"
    write_set(bounce, frames=FRAMES, rate_hz=rate_hz)
    path = folder / "Mix.stem.mp4"
    stem_mp4.write(session(bounce, frames=FRAMES, rate_hz=rate_hz), path)
    return path, rate_hz


def wanted(path: Path) -> list[Path]:
    """The WAV files whose audio the streams must hold, in order."""
    (mix,) = (p for p in path.parent.glob("*.wav") if " - " not in p.name)
    return [mix, *(mix.with_name(f"{mix.stem} - {stem}.wav") for stem in FOUR)]


def test_ffprobe_finds_five_streams_of_the_exact_length(stem_file: tuple[Path, int]) -> None:
    path, rate_hz = stem_file
    found = streams(path)
    assert len(found) == 5
    for index, stream in enumerate(found):
        assert (stream["codec_name"], stream["channels"]) == ("alac", 2)
        assert int(stream["sample_rate"]) == rate_hz
        assert stream["time_base"] == f"1/{rate_hz}"
        assert (stream["start_pts"], stream["duration_ts"]) == (0, FRAMES)
        assert stream["bits_per_raw_sample"] == "24"
        # A player that knows no stems plays the mix alone.
        assert stream["disposition"]["default"] == int(index == 0)


def streams(path: Path) -> list[dict[str, Any]]:
    asked = ("-v", "error", "-show_streams", "-of", "json")
    said = subprocess.run(
        [require.ffprobe(), *asked, str(path)], capture_output=True, check=True
    ).stdout
    return list(json.loads(said)["streams"])


def test_ffmpeg_decodes_every_bit(stem_file: tuple[Path, int]) -> None:
    path, _ = stem_file
    ffmpeg = require.program("ffmpeg", "ffmpeg")
    for index, source in enumerate(wanted(path)):
        made = subprocess.run(
            [ffmpeg, "-v", "error", "-i", str(path), "-map", f"0:a:{index}", "-f", "s32le", "-"],
            capture_output=True,
            check=True,
        ).stdout
        audio = np.frombuffer(made, "<i4").reshape(-1, 2) >> 8
        assert np.array_equal(audio, read_24(source))


def test_stempeg_reads_it_and_the_stems_are_the_mix(stem_file: tuple[Path, int]) -> None:
    stempeg = require.stempeg()
    path, rate_hz = stem_file
    audio, rate = stempeg.read_stems(str(path))
    assert (rate, audio.shape) == (rate_hz, (5, FRAMES, 2))
    assert np.abs(audio[1:].sum(axis=0) - audio[0]).max() < 2**-22
    titles = stempeg.Info(str(path)).title_streams
    assert len(titles) == 5


def test_the_names_are_read_by_the_evaluation(stem_file: tuple[Path, int]) -> None:
    path, rate_hz = stem_file
    opened = open_stem_file(path)
    assert opened.names == ("Drums", "Bass", "Other", "Vocals")
    assert (opened.rate_hz, opened.claimed_frames) == (rate_hz, (FRAMES,) * 4)


def test_the_names_are_where_players_look(stem_file: tuple[Path, int]) -> None:
    path, _ = stem_file
    data = path.read_bytes()
    at = data.rindex(b"stem{")
    size = int.from_bytes(data[at - 4 : at], "big")
    content = json.loads(data[at + 4 : at - 4 + size])
    assert at - 4 + size == len(data)  # the last box of the last box
    assert [stem["color"] for stem in content["stems"]] == [
        *("#009E73", "#D55E00", "#CC79A7", "#56B4E9"),
    ]


def test_other_stems_of_a_larger_model_are_added_up(tmp_path: Path) -> None:
    stempeg = require.stempeg()
    stems = ["vocals", "piano", "drums", "bass", "other", "guitar"]
    mix = write_set(tmp_path / "Mix.wav", stems, frames=FRAMES)
    path = tmp_path / "Mix.stem.mp4"
    stem_mp4.write(session(tmp_path / "Mix.wav", stems, frames=FRAMES), path)
    audio, _ = stempeg.read_stems(str(path))
    parts = dict(zip(stems, split(mix, len(stems)), strict=True))
    other = parts["piano"] + parts["other"] + parts["guitar"]
    assert np.abs(audio[3] * 2**23 - other).max() <= 1
    assert np.abs(audio[4] * 2**23 - parts["vocals"]).max() <= 1e-3
