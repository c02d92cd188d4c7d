"""The Ardour session as XML: exact clocks, ids used once, names that Ardour can hold.

That Ardour itself opens it is shown in tests/daw/test_ardour.py.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.daw import ardour
from bridge.daw.session import Clip, Session, SoundFile, Tempo, Track
from bridge.errors import SessionError
from tests.daw.sets import session
from tests.hypothesis_profiles import examples


def written(made: Session, folder: Path) -> ElementTree.Element:
    path = folder / "Mix (Ardour)"
    ardour.write(made, path)
    return ElementTree.parse(ardour.session_file(path)).getroot()


def clock(text: str | None) -> int:
    assert text is not None
    assert text[0] == "a"
    return int(text[1:])


@settings(max_examples=examples(40))
@given(
    st.integers(0, 9 * 3600 * 192_000) | st.integers(2**31, 2**36),
    st.integers(1, 9 * 3600 * 192_000),
    st.integers(0, 2**31),
    st.sampled_from([8000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000]),
)
def test_every_place_is_exact(
    tmp_path_factory: pytest.TempPathFactory, start: int, length: int, offset: int, rate: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    clip = Clip(SoundFile(folder / "f.wav", offset + length, 2), "c", start, length, offset)
    root = written(Session("s", rate, (Track("t", (clip,)),)), folder)
    (region,) = root.iterfind("Playlists/Playlist/Region")
    length_text, _, position_text = region.get("length", "").partition("@")
    clocks = [clock(position_text), clock(length_text), clock(region.get("start"))]
    assert [divmod(value * rate, ardour.SUPERCLOCKS_PER_S) for value in clocks] == [
        (start, 0),
        (length, 0),
        (offset, 0),
    ]


def test_ids_are_used_once_and_lead_somewhere(tmp_path: Path) -> None:
    root = written(session(tmp_path / "Mix.wav", channels=6), tmp_path)
    ids = Counter(e.get("id") for e in root.iter() if e.get("id") is not None)
    assert {*ids.values()} == {1}
    assert int(root.get("id-counter", "")) >= max(int(i) for i in ids if i)
    sources = {source.get("id") for source in root.iterfind("Sources/Source")}
    assert len(sources) == 5 * 6
    for region in root.iter("Region"):
        named = [region.get(f"source-{n}") for n in range(6)]
        assert {*named} <= sources
        assert region.get("fade-in-active") == region.get("fade-out-active") == "0"
    tracks = {
        route.get("id"): route.get("audio-playlist")
        for route in root.iterfind("Routes/Route")
        if route.get("audio-playlist")
    }
    playlists = {p.get("orig-track-id"): p.get("id") for p in root.iterfind("Playlists/Playlist")}
    assert playlists == tracks
    (group,) = root.iterfind("RouteGroups/RouteGroup")
    assert group.get("routes", "").split() == [*tracks][1:]


def test_track_names_are_ones_that_ardour_can_hold(tmp_path: Path) -> None:
    names = ["a:b/c\\d", "a_b_c_d", "Master", "master", "", "x\ny", "é 🎛️ שלום", "é 🎛️ שלום"]
    made = Session("s", 48_000, tuple(Track(name) for name in names))
    found = [route.get("name") for route in written(made, tmp_path).iterfind("Routes/Route")]
    assert found == [
        *("Master", "a_b_c_d", "a_b_c_d 2", "Master 2", "master 3", "Track", "x y"),
        *("é 🎛️ שלום", "é 🎛️ שלום 2"),
    ]


def test_folders_hand_their_sound_down(tmp_path: Path) -> None:
    leaf = Track("leaf", gain_db=-1.0)
    made = Session("s", 48_000, (Track("f", children=(leaf,), gain_db=-5.0, muted=True), leaf))
    _, low, plain = written(made, tmp_path).iterfind("Routes/Route")
    gains = [route.find("Processor/Controllable[@name='gaincontrol']") for route in (low, plain)]
    values = [float(gain.get("value", "")) for gain in gains if gain is not None]
    assert values == pytest.approx([10 ** (-6 / 20), 10 ** (-1 / 20)])
    mutes = [route.find("Controllable[@name='mute']") for route in (low, plain)]
    assert [mute.get("value") for mute in mutes if mute is not None] == ["1", "0"]


def test_the_tempo_is_the_first(tmp_path: Path) -> None:
    plain = session(tmp_path / "Mix.wav")
    assert written(plain, tmp_path).find("TempoMap/Tempos/Tempo[@npm='120.0']") is not None
    known = replace(plain, tempos=(Tempo(97.5, 3, 8),))
    root = written(known, tmp_path)
    assert root.find("TempoMap/Tempos/Tempo[@npm='97.5']") is not None
    assert root.find("TempoMap/Meters/Meter[@note-value='8'][@divisions-per-bar='3']") is not None


def test_what_ardour_cannot_place_is_refused(tmp_path: Path) -> None:
    for made in (
        session(tmp_path / "Mix.wav", rate_hz=37_801),
        session(tmp_path / "Mix.wav", time_reference=2**60),
        session(tmp_path / "two\nlines.wav"),
    ):
        with pytest.raises(SessionError):
            written(made, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_files_are_named_by_their_absolute_path(tmp_path: Path) -> None:
    made = session(tmp_path / "Mix.wav")
    sources = written(made, tmp_path / "elsewhere").iterfind("Sources/Source")
    found = dict.fromkeys(source.get("name") for source in sources)
    assert [*found] == [str(clip.file.path) for clip in made.clips]
