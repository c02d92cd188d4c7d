"""REAPER projects, read back by WDL's own parser (rppxml) and by one that is not (reaproj)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rppxml
from hypothesis import given, settings
from hypothesis import strategies as st
from reaproj import Project  # type: ignore[import-untyped]

from bridge.daw import reaper
from bridge.daw.session import Clip, Marker, Session, SoundFile, Tempo, Track, merge_sessions
from bridge.daw.text import one_line
from bridge.errors import SessionError
from tests.daw.sets import session
from tests.hypothesis_profiles import examples

Block = Any  # an rppxml.RPPXML: the package's types say less than it gives


def written(made: Session, folder: Path) -> Path:
    path = folder / "session.rpp"
    reaper.write(made, path)
    return path


def load(path: Path) -> Block:
    return rppxml.load(str(path))  # type: ignore[arg-type]


def values(block: Block, key: str) -> list[Any]:
    """What stands behind a key of a block."""
    found = [line[1:] for line in block.children if isinstance(line, list) and line[0] == key]
    assert len(found) == 1, key
    return list(found[0])


def blocks(block: Block, name: str) -> list[Block]:
    return [b for b in block.children if isinstance(b, rppxml.RPPXML) and b.name == name]


def one_track(name: str = "t", file: str = "f.wav", folder: Path = Path("/x")) -> Session:
    clip = Clip(SoundFile(folder / file, 10, 2), name, 0, 10)
    return Session("s", 48_000, (Track(name, (clip,)),))


def test_a_set_is_a_muted_bounce_and_a_folder_of_stems(tmp_path: Path) -> None:
    made = session(tmp_path / "Mix 3.wav", frames=1001)
    root = load(written(made, tmp_path))
    assert root.name == "REAPER_PROJECT"
    assert values(root, "SAMPLERATE")[0] == 48_000
    tracks = blocks(root, "TRACK")
    names = [values(track, "NAME")[0] for track in tracks]
    assert names == ["Mix 3", "Mix 3 stems", "drums", "bass", "other", "vocals"]
    assert [values(track, "MUTESOLO")[0] for track in tracks] == [1, 0, 0, 0, 0, 0]
    folders = [values(track, "ISBUS") for track in tracks]
    assert folders == [[0, 0], [1, 1], [0, 0], [0, 0], [0, 0], [2, -1]]
    assert len({track.params[0] for track in tracks}) == len(tracks)
    for track in (tracks[0], *tracks[2:]):
        (item,) = blocks(track, "ITEM")
        assert round(values(item, "POSITION")[0] * 48_000) == 96_123
        assert round(values(item, "LENGTH")[0] * 48_000) == 1001
        assert values(item, "SOFFS") == [0.0]
        assert values(item, "LOOP") == [0]
        assert values(item, "FADEIN")[1:3] == values(item, "FADEOUT")[1:3] == [0, 0]
        (source,) = blocks(item, "SOURCE")
        assert source.params == ["WAVE"]
    assert not blocks(tracks[1], "ITEM")


def test_another_reader_finds_the_same(tmp_path: Path) -> None:
    made = session(
        tmp_path / "Mix 3.wav", markers=(Marker("Verse 1", 200_001), Marker('the "B"', 7))
    )
    project = Project.load(written(made, tmp_path))
    items = [item for track in project.tracks for item in track.items]
    assert [item.source_path for item in items] == [clip.file.path for clip in made.clips]
    assert {round(item.position * 48_000) for item in items} == {96_123}
    found = [(marker.name, round(marker.position * 48_000)) for marker in project.markers]
    assert found == [("Verse 1", 200_001), ('the "B"', 7)]
    assert project.regions == []


@settings(max_examples=examples(60))
@given(
    st.integers(0, 9 * 3600 * 192_000) | st.integers(2**31, 2**36),
    st.integers(1, 9 * 3600 * 192_000),
    st.integers(0, 2**31),
    st.sampled_from([44_100, 48_000, 96_000, 192_000]),
)
def test_every_place_is_exact(
    tmp_path_factory: pytest.TempPathFactory, start: int, length: int, offset: int, rate: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    clip = Clip(SoundFile(folder / "f.wav", offset + length, 2), "c", start, length, offset)
    made = Session("s", rate, (Track("t", (clip,)),), (Marker("m", start),))
    path = written(made, folder)
    (track,) = blocks(load(path), "TRACK")
    (item,) = blocks(track, "ITEM")
    read = [round(values(item, key)[0] * rate) for key in ("POSITION", "LENGTH", "SOFFS")]
    assert read == [start, length, offset]
    (other,) = Project.load(path).tracks[0].items
    assert [round(v * rate) for v in (other.position, other.length, other.soffs)] == read


@settings(max_examples=examples(150))
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_every_name_comes_back(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    path = written(one_track(name), tmp_path_factory.getbasetemp())
    (track,) = blocks(load(path), "TRACK")
    shown = one_line(name)
    if {*"\"'`"} <= {*name}:
        shown = shown.replace("`", "'")
    assert values(track, "NAME") == [shown]
    assert Project.load(path).tracks[0].name == shown


@pytest.mark.parametrize(
    "name",
    [
        'a "b".wav',
        "don't.wav",
        "`tick`.wav",
        '"both" don\'t.wav',
        "|pipe.wav",
        "<tag>.wav",
        "#1; a, b.wav",
        " blank .wav",
        "12",
        "שלום עולם.wav",
        "🎛️ é ü.wav",
        "x" * 200 + ".wav",
    ],
)
def test_every_file_is_found(tmp_path: Path, name: str) -> None:
    path = written(one_track(file=name, folder=tmp_path), tmp_path)
    (item,) = blocks(blocks(load(path), "TRACK")[0], "ITEM")
    assert values(blocks(item, "SOURCE")[0], "FILE") == [name]
    assert Project.load(path).tracks[0].items[0].source_path == tmp_path / name


@pytest.mark.parametrize("name", ["a\"b'c`d.wav", "two\nlines.wav", "bell\x07.wav"])
def test_a_file_that_cannot_be_named_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SessionError, match="rename the file"):
        written(one_track(file=name, folder=tmp_path), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_are_no_text_stay_as_they_are(tmp_path: Path) -> None:
    path = written(one_track(file="caf\udce9.wav", folder=tmp_path), tmp_path)
    assert b'FILE "caf\xe9.wav"' in path.read_bytes()


def test_a_bounce_elsewhere_is_named_from_here(tmp_path: Path) -> None:
    stems = tmp_path / "Stems" / "Mix"
    stems.mkdir(parents=True)
    path = written(one_track(file="Mix.flac", folder=tmp_path), stems)
    (item,) = blocks(blocks(load(path), "TRACK")[0], "ITEM")
    (source,) = blocks(item, "SOURCE")
    assert (source.params, values(source, "FILE")) == (["FLAC"], ["../../Mix.flac"])


def test_folders_close_where_they_end(tmp_path: Path) -> None:
    leaf = Track("leaf")
    inner = Track("inner", children=(leaf, leaf))
    made = Session("s", 48_000, (Track("outer", children=(leaf, inner)), leaf))
    root = load(written(made, tmp_path))
    steps = [values(track, "ISBUS") for track in blocks(root, "TRACK")]
    assert steps == [[1, 1], [0, 0], [1, 1], [0, 0], [2, -2], [0, 0]]


@pytest.mark.parametrize(("channels", "track"), [(1, 2), (2, 2), (6, 6), (7, 8), (16, 16)])
def test_tracks_are_wide_enough(tmp_path: Path, channels: int, track: int) -> None:
    made = session(tmp_path / "Mix.wav", channels=channels)
    root = load(written(made, tmp_path))
    assert {values(block, "NCHAN")[0] for block in blocks(root, "TRACK")} == {track}
    assert values(root, "MASTER_NCH")[0] == track


def test_tempo_gain_and_colour(tmp_path: Path) -> None:
    plain = session(tmp_path / "Mix.wav")
    root = load(written(plain, tmp_path))
    assert not [line for line in root.children if isinstance(line, list) and line[0] == "TEMPO"]

    tempos = (Tempo(97.5, 3, 4), Tempo(140.0, 7, 8, 96_000))
    loud = replace(plain.tracks[0], gain_db=-6.0, colour="#ff8040")
    made = replace(plain, tracks=(loud,), tempos=tempos)
    root = load(written(made, tmp_path))
    assert values(root, "TEMPO") == [97.5, 3, 4]
    (envelope,) = blocks(root, "TEMPOENVEX")
    points = [line[1:] for line in envelope.children if line[0] == "PT"]
    assert points == [[0.0, 97.5, 1, 3 + (4 << 16)], [2.0, 140.0, 1, 7 + (8 << 16)]]
    (track,) = blocks(root, "TRACK")
    assert values(track, "VOLPAN")[0] == pytest.approx(10 ** (-6 / 20))
    assert values(track, "PEAKCOL") == [0x14080FF]


def test_the_same_content_gives_the_same_bytes_anywhere(tmp_path: Path) -> None:
    contents = []
    for place in ("here", "there"):
        made = session(tmp_path / place / "Mix.wav")
        contents.append(written(made, tmp_path / place).read_bytes())
    assert contents[0] == contents[1]


def test_a_whole_album(tmp_path: Path) -> None:
    sets = [session(tmp_path / f"Song {n}.wav", time_reference=n * 10**9) for n in range(40)]
    (album,) = merge_sessions("Album", sets)
    project = Project.load(written(album, tmp_path))
    assert len(project.tracks) == 40 * 6
    places = {round(i.position * 48_000) for t in project.tracks for i in t.items}
    assert places == {n * 10**9 for n in range(40)}
