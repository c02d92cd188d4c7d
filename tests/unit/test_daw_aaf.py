"""AAF sessions, read back by OpenTimelineIO's adapter and by pyaaf2."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import aaf2
import opentimelineio as otio  # type: ignore[import-untyped]
import pytest
from opentimelineio.opentime import RationalTime  # type: ignore[import-untyped]

from bridge.daw import aaf
from bridge.daw.session import Clip, Marker, Session, SoundFile, Track
from bridge.errors import SessionError
from tests.daw.sets import FOUR, noise_24, session, write_24, write_set


def written(made: Session, folder: Path) -> Path:
    path = folder / "session.aaf"
    aaf.write(made, path)
    return path


def tracks(path: Path) -> list[Any]:
    return list(otio.adapters.read_from_file(str(path)).tracks)


@pytest.mark.parametrize(
    ("channels", "rate_hz", "start"),
    [(1, 44_100, 0), (2, 48_000, 96_123), (6, 96_000, 3_000_000_000), (16, 48_000, 2**31 + 1)],
)
def test_stems_are_at_their_place(tmp_path: Path, channels: int, rate_hz: int, start: int) -> None:
    bounce = tmp_path / "Mix 3.wav"
    write_set(bounce, frames=101, rate_hz=rate_hz, channels=channels)
    made = session(bounce, frames=101, rate_hz=rate_hz, channels=channels, time_reference=start)
    found = tracks(written(made, tmp_path))
    names = [track.name for track in found]
    mono = [f"{stem} {n + 1}" for stem in FOUR for n in range(channels)]
    assert names == ([*FOUR] if channels == 1 else mono)  # the muted bounce is left out
    for track, stem in zip(found, (s for s in FOUR for _ in range(channels)), strict=True):
        (clip,) = track.find_clips()
        place = clip.range_in_parent()
        assert place.start_time == RationalTime(start, rate_hz)
        assert place.duration == RationalTime(101, rate_hz)
        assert clip.source_range.start_time == RationalTime(0, rate_hz)
        url = urlparse(clip.media_reference.target_url)
        assert Path(unquote(url.path)) == tmp_path / f"Mix 3 - {stem}.wav"


def test_the_head_of_each_file_is_in_it(tmp_path: Path) -> None:
    bounce = tmp_path / "Mix.wav"
    write_set(bounce, ["vocals"], frames=101, channels=6)
    made = session(bounce, ["vocals"], frames=101, channels=6)
    with aaf2.open(str(written(made, tmp_path))) as file:
        (source,) = file.content.sourcemobs()
        descriptor = source.descriptor
        assert descriptor["Length"].value == 101
        head = bytes(descriptor["Summary"].value)
        data = (tmp_path / "Mix - vocals.wav").read_bytes()
        assert head[:4] == b"RIFF"
        assert head[8:] == b"WAVE" + data[12 : 12 + len(head) - 12]
        assert [slot.slot_id for slot in source.slots] == [1, 2, 3, 4, 5, 6]


def test_markers_are_in_it(tmp_path: Path) -> None:
    bounce = tmp_path / "Mix.wav"
    write_set(bounce, ["vocals"], frames=101)
    made = session(bounce, ["vocals"], frames=101, markers=(Marker("Verse\n1", 96_130),))
    path = written(made, tmp_path)
    with aaf2.open(str(path)) as file:
        (top,) = file.content.toplevel()
        (marker,) = list(top.slots)[-1].segment.components
        assert (marker["Comment"].value, marker["Position"].value) == ("Verse 1", 96_130)
    found = [m.name for t in tracks(path) for clip in t for m in clip.markers]
    assert found == ["Verse 1"]


def test_names_that_are_no_text_or_very_long(tmp_path: Path) -> None:
    bounce = tmp_path / "Mix.wav"
    write_set(bounce, ["vocals"], frames=101)
    made = session(bounce, ["vocals"], frames=101, markers=(Marker("\ud800" * 50_000, 7),))
    track = replace(made.clips[1], name="caf\udce9")
    renamed = replace(made, name="caf\udce9", tracks=(Track("caf\udce9", (track,)),))
    assert [t.name for t in tracks(written(renamed, tmp_path))] == ["caf\ufffd 1", "caf\ufffd 2"]


def test_clips_follow_each_other_to_the_frame(tmp_path: Path) -> None:
    write_set(tmp_path / "Mix.wav", ["vocals"], frames=1000)
    file = SoundFile(tmp_path / "Mix - vocals.wav", 1000, 2)
    clips = (Clip(file, "b", 5000, 300, 700), Clip(file, "a", 100, 1000), Clip(file, "c", 5300, 1))
    made = Session("s", 48_000, (Track("t", clips),))
    first, _ = tracks(written(made, tmp_path))
    found = [
        (c.range_in_parent().start_time.value, c.duration().value, c.source_range.start_time.value)
        for c in first.find_clips()
    ]
    assert found == [(100, 1000, 0), (5000, 300, 700), (5300, 1, 0)]


def test_odd_names_are_found(tmp_path: Path) -> None:
    name = 'a "b" don\'t `c` 50% #1 🎛️ שלום'
    write_set(tmp_path / f"{name}.wav", ["vocals"], frames=101)
    made = session(tmp_path / f"{name}.wav", ["vocals"], frames=101)
    first, _ = tracks(written(made, tmp_path))
    (clip,) = first.find_clips()
    path = Path(unquote(urlparse(clip.media_reference.target_url).path))
    assert path == tmp_path / f"{name} - vocals.wav"


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    write_set(tmp_path / "Mix.wav", frames=101)
    made = session(tmp_path / "Mix.wav", frames=101)
    digests = {hashlib.sha256(written(made, tmp_path).read_bytes()).hexdigest() for _ in range(2)}
    assert len(digests) == 1


def test_what_it_cannot_hold_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path / "Mix.wav", ["vocals"], frames=101)
    made = session(tmp_path / "Mix.wav", ["vocals"], frames=101)
    (stem,) = made.tracks[1].children
    for track in (
        replace(stem, gain_db=-1.0),
        replace(stem, clips=(replace(stem.clips[0], gain_db=-1.0),)),
        replace(stem, clips=(stem.clips[0], replace(stem.clips[0], start_frames=96_200))),
    ):
        with pytest.raises(SessionError, match="vocals"):
            written(replace(made, tracks=(track,)), tmp_path)
    assert not (tmp_path / "session.aaf").exists()


def test_a_width_that_changes_is_silence_where_there_is_nothing(tmp_path: Path) -> None:
    write_set(tmp_path / "Mix.wav", ["vocals"], frames=101)
    write_24(tmp_path / "mono.wav", noise_24(50, 1), 48_000)
    stereo = Clip(SoundFile(tmp_path / "Mix - vocals.wav", 101, 2), "s", 0, 101)
    mono = Clip(SoundFile(tmp_path / "mono.wav", 50, 1), "m", 200, 50)
    left, right = tracks(written(Session("s", 48_000, (Track("t", (stereo, mono)),)), tmp_path))
    assert [c.name for c in left.find_clips()] == ["s", "m"]
    assert [c.name for c in right.find_clips()] == ["s"]


def test_without_pyaaf2_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(SessionError, match=r"stembridge\[aaf\]"):
        written(session(tmp_path / "Mix.wav"), tmp_path)
