"""Ardour itself, without its window: what it exports, what it opens, and that the sum is the mix.

One run of Ardour takes some two seconds.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from bridge.daw import ardour
from bridge.daw.session import Clip, Marker, Session, SoundFile, Track, merge_sessions
from tests.bounces import time_reference_of
from tests.daw.headless import Ardour
from tests.daw.sets import noise_24, read_24, session, write_24, write_set

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.watch_service import Child, Studio

START_FRAMES = 96_123
LENGTH_FRAMES = 50_001


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Ardour:
    return Ardour(tmp_path_factory.mktemp("ardour"))


def export(program: Ardour, folder: Path, bounces: Path) -> None:
    """Exports "Mix 3" as a user does: a range of a session, from START_FRAMES on."""
    music = folder / "music.wav"
    frames = START_FRAMES + LENGTH_FRAMES + 1000
    write_24(music, noise_24(frames, 2, seed=7), 48_000)
    clip = Clip(SoundFile(music, frames, 2), "music", 0, frames)
    place = folder / "Source"
    ardour.write(Session("Source", 48_000, (Track("music", (clip,)),)), place)
    end = START_FRAMES + LENGTH_FRAMES
    program.open(ardour.session_file(place), 48_000, bounces, "Mix 3", START_FRAMES, end)


def test_there_and_back(
    program: Ardour, studio: Studio, start: Callable[..., Child], tmp_path: Path
) -> None:
    """An export into the watched folder; the session that comes back is the bounce, to the bit."""
    preset = tmp_path / "session.yaml"
    preset.write_text("schema: 2\nsummary: stems and a session\nsession: [ardour]\n")
    service = start("--preset", str(preset)).ready()
    export(program, tmp_path, studio.folder)
    service.wait_for(lambda: studio.published() == ["Mix 3"], "the stems")
    assert service.end() == 130

    bounce = studio.folder / "Mix 3.wav"
    mix = read_24(bounce)
    assert mix.shape == (LENGTH_FRAMES, 2)
    assert np.abs(mix).max() > 2**21
    assert time_reference_of(bounce) == START_FRAMES
    (listed,) = studio.manifest("Mix 3")["sessions"]
    file = studio.stems / "Mix 3" / listed["path"]

    end = START_FRAMES + LENGTH_FRAMES
    opened = program.open(file, 48_000, tmp_path, "again", START_FRAMES, end)
    assert opened.rate_hz == 48_000
    assert opened.muted == {"Mix 3": True, "vocals": False, "accompaniment": False}
    assert [region.track for region in opened.regions] == ["Mix 3", "vocals", "accompaniment"]
    for region in opened.regions:
        found = (region.start_frames, region.length_frames, region.offset_frames)
        assert found == (START_FRAMES, LENGTH_FRAMES, 0)
        assert (region.channels, region.faded) == (2, False)

    again = read_24(tmp_path / "again.wav")
    assert again.shape == mix.shape
    assert np.abs(again - mix).max() <= 1  # of 24 bit
    assert time_reference_of(tmp_path / "again.wav") == START_FRAMES
    # Who only looks has changed nothing: the next render may replace it.
    assert hashlib.sha256(file.read_bytes()).hexdigest() == listed["sha256"]


def test_odd_names_and_places(program: Ardour, tmp_path: Path) -> None:
    name = 'a "b" & <c> don\'t `d`; é 🎛️ שלום ' + "x" * 120
    write_set(
        tmp_path / f"{name}.wav", ["vocals", "other"], frames=1001, rate_hz=44_100, channels=1
    )
    made = session(
        tmp_path / f"{name}.wav",
        ["vocals", "other"],
        frames=1001,
        rate_hz=44_100,
        channels=1,
        time_reference=None,
        markers=(Marker("Verse", 100_000),),
    )
    place = tmp_path / "Odd (Ardour)"
    ardour.write(made, place)
    opened = program.open(ardour.session_file(place), 44_100)
    assert opened.muted == {name: True, "vocals": False, "other": False}
    assert opened.marks == {"Verse": 100_000}
    assert len(opened.regions) == 3
    for region in opened.regions:
        found = (region.start_frames, region.length_frames, region.channels, region.faded)
        assert found == (0, 1001, 1, False)


def test_a_mono_stem_among_stereo_ones_keeps_its_level(program: Ardour, tmp_path: Path) -> None:
    frames = 5001
    narrow = write_set(tmp_path / "Voice.wav", ["vocals"], frames=frames, channels=1) // 2
    wide = write_set(tmp_path / "Band.wav", ["drums", "bass"], frames=frames) // 2
    # Half of full scale each, so that the sum does not clip.
    write_24(tmp_path / "Voice - vocals.wav", narrow, 48_000)
    write_24(tmp_path / "Band - drums.wav", wide, 48_000)
    write_24(tmp_path / "Band - bass.wav", np.zeros_like(wide), 48_000)
    (both,) = merge_sessions(
        "Both",
        [
            session(tmp_path / "Voice.wav", ["vocals"], frames=frames, channels=1),
            session(tmp_path / "Band.wav", ["drums", "bass"], frames=frames),
        ],
    )
    place = tmp_path / "Both (Ardour)"
    ardour.write(both, place)
    end = START_FRAMES + frames
    file = ardour.session_file(place)
    opened = program.open(file, 48_000, tmp_path, "sum", START_FRAMES, end)
    assert {*opened.outputs.values()} == {2}
    assert np.abs(read_24(tmp_path / "sum.wav") - (wide + narrow)).max() <= 1


@pytest.mark.slow
def test_what_ardour_saves_still_finds_its_files(program: Ardour, tmp_path: Path) -> None:
    mix = write_set(tmp_path / "Mix.wav", ["vocals", "other"])
    place = tmp_path / "Mix (Ardour)"
    ardour.write(session(tmp_path / "Mix.wav", ["vocals", "other"], frames=len(mix)), place)
    end = START_FRAMES + len(mix)
    file = ardour.session_file(place)
    opened = program.open(file, 48_000, tmp_path, "first", START_FRAMES, end)
    saved = file.with_name("saved by Ardour.ardour")
    once_more = program.open(saved, 48_000, tmp_path, "again", START_FRAMES, end)
    assert once_more.regions == opened.regions
    for name in ("first", "again"):
        assert np.abs(read_24(tmp_path / f"{name}.wav") - mix).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("channels", "rate_hz", "start"),
    [(6, 96_000, 3_000_000_000), (16, 48_000, 2**31 + 1), (2, 192_000, 9 * 3600 * 192_000)],
)
def test_wide_and_late(
    program: Ardour, tmp_path: Path, channels: int, rate_hz: int, start: int
) -> None:
    bounce = tmp_path / "Mix.wav"
    write_set(bounce, ["vocals"], frames=1001, rate_hz=rate_hz, channels=channels)
    made = session(
        bounce, ["vocals"], frames=1001, rate_hz=rate_hz, channels=channels, time_reference=start
    )
    place = tmp_path / "Mix (Ardour)"
    ardour.write(made, place)
    opened = program.open(ardour.session_file(place), rate_hz)
    assert {*opened.outputs.values()} == {channels}
    assert len(opened.regions) == 2
    for region in opened.regions:
        found = (region.start_frames, region.length_frames, region.channels, region.faded)
        assert found == (start, 1001, channels, False)
    assert soundfile.info(bounce).channels == channels
