"""DAWprojects: valid against the public schema, exact to the frame, names whole."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree  # type: ignore[import-untyped]

from bridge.daw import dawproject
from bridge.daw.session import Clip, Marker, Session, SoundFile, Tempo, Track
from bridge.errors import SessionError
from tests.daw.dawproject_reader import places, project, schema
from tests.daw.sets import session
from tests.hypothesis_profiles import examples


@pytest.fixture(scope="module")
def project_schema() -> etree.XMLSchema:
    return schema("Project")


def written(made: Session, folder: Path) -> Path:
    path = folder / "session.dawproject"
    dawproject.write(made, path)
    return path


NASTY = ['a "b" & <c>.wav', "don't `tick`.wav", "שלום.wav", "🎛️.wav", "x" * 200 + ".wav", "#1;.wav"]


@pytest.mark.parametrize("channels", [1, 2, 6, 16])
@pytest.mark.parametrize(("rate_hz", "start"), [(44_100, 0), (48_000, 96_123), (96_000, 3 * 10**9)])
def test_it_is_valid_and_exact(
    tmp_path: Path, project_schema: etree.XMLSchema, channels: int, rate_hz: int, start: int
) -> None:
    made = session(
        tmp_path / "Mix 3.wav",
        channels=channels,
        rate_hz=rate_hz,
        time_reference=start,
        markers=(Marker("Verse\n1", start + 5),),
    )
    root = project(written(made, tmp_path))
    project_schema.assertValid(root)
    assert root.find("Arrangement/Lanes").get("timeUnit") == "seconds"
    clips = [*places(root, rate_hz)]
    assert [(name, path) for name, *_, path in clips] == [
        (clip.name, clip.file.path.name) for clip in made.clips
    ]
    assert {(start, length, offset) for _, start, length, offset, _ in clips} == {(start, 1000, 0)}
    (marker,) = root.iterfind("Arrangement/Markers/Marker")
    assert marker.get("name") == "Verse 1"
    assert round(float(marker.get("time")) * rate_hz) == start + 5
    assert {audio.get("channels") for audio in root.iter("Audio")} == {str(channels)}
    assert {audio.get("sampleRate") for audio in root.iter("Audio")} == {str(rate_hz)}
    assert root.find("Transport") is None  # nobody told a tempo


def test_the_metadata_is_valid(tmp_path: Path) -> None:
    path = written(session(tmp_path / "Mix & 3.wav"), tmp_path)
    with zipfile.ZipFile(path) as archive:
        root = etree.fromstring(archive.read("metadata.xml"))
    schema("MetaData").assertValid(root)
    assert root.findtext("Title") == "Mix & 3"


def test_the_stems_play_through_their_folder(tmp_path: Path) -> None:
    root = project(written(session(tmp_path / "Mix.wav"), tmp_path))
    bounce, folder, master = root.iterfind("Structure/Track")
    children = [*folder.iterfind("Track")]
    assert [t.get("name") for t in children] == ["drums", "bass", "other", "vocals"]
    assert (bounce.get("contentType"), folder.get("contentType")) == ("audio", "tracks")
    bus = folder.find("Channel")
    assert {t.find("Channel").get("destination") for t in children} == {bus.get("id")}
    assert bus.get("destination") == master.find("Channel").get("id")
    assert master.find("Channel").get("role") == "master"
    muted = [t.find("Channel/Mute").get("value") for t in (bounce, folder, *children)]
    assert muted == ["true", *["false"] * 5]
    assert children[0].get("color") == "#009e73"
    lanes = [lane.get("track") for lane in root.iterfind("Arrangement/Lanes/Lanes")]
    assert lanes == [bounce.get("id"), *(t.get("id") for t in children)]


def test_tempo_and_gain(tmp_path: Path, project_schema: etree.XMLSchema) -> None:
    plain = session(tmp_path / "Mix.wav")
    clip = replace(plain.clips[0], gain_db=-3.0)
    track = replace(plain.tracks[0], clips=(clip,), gain_db=-6.0)
    tempos = (Tempo(97.5, 3, 4), Tempo(140.0, 7, 8, 96_000))
    for known in (tempos[:1], tempos):
        made = replace(plain, tracks=(track,), tempos=known)
        root = project(written(made, tmp_path))
        project_schema.assertValid(root)
        assert root.find("Transport/Tempo").get("value") == "97.5"
        assert root.find("Transport/TimeSignature").get("numerator") == "3"
        points = root.findall("Arrangement/TempoAutomation/RealPoint")
        assert [float(p.get("time")) for p in points] == ([0.0, 2.0] if len(known) > 1 else [])
        volume = root.find("Structure/Track/Channel/Volume").get("value")
        assert float(volume) == pytest.approx(10 ** (-6 / 20))
        assert root.find(".//Points/RealPoint").get("value") == "-3.0"


@pytest.mark.parametrize("name", NASTY)
def test_every_file_is_named_whole(
    tmp_path: Path, project_schema: etree.XMLSchema, name: str
) -> None:
    clip = Clip(SoundFile(tmp_path / name, 10, 2), name, 0, 10)
    root = project(written(Session(name, 48_000, (Track(name, (clip,)),)), tmp_path))
    project_schema.assertValid(root)
    assert [(*place,) for place in places(root, 48_000)] == [(name, 0, 10, 0, name)]


@pytest.mark.parametrize("name", ["two\nlines.wav", "caf\udce9.wav", "bell\x07.wav"])
def test_a_file_that_xml_cannot_name_is_refused(tmp_path: Path, name: str) -> None:
    clip = Clip(SoundFile(tmp_path / name, 10, 2), name, 0, 10)
    with pytest.raises(SessionError, match="rename the file"):
        written(Session("s", 48_000, (Track("t", (clip,)),)), tmp_path)
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=examples(40))
@given(
    st.integers(0, 9 * 3600 * 192_000) | st.integers(2**31, 2**36),
    st.integers(1, 9 * 3600 * 192_000),
    st.integers(0, 2**31),
    st.sampled_from([44_100, 48_000, 96_000, 192_000]),
    st.text(max_size=20),
)
def test_every_place_is_exact_and_every_name_valid(
    tmp_path_factory: pytest.TempPathFactory,
    project_schema: etree.XMLSchema,
    start: int,
    length: int,
    offset: int,
    rate: int,
    name: str,
) -> None:
    folder = tmp_path_factory.getbasetemp()
    clip = Clip(SoundFile(folder / "f.wav", offset + length, 2), name, start, length, offset)
    root = project(written(Session(name, rate, (Track(name, (clip,)),)), folder))
    project_schema.assertValid(root)
    ((_, *frames, _),) = places(root, rate)
    assert frames == [start, length, offset]


def test_the_same_content_gives_the_same_bytes_anywhere(tmp_path: Path) -> None:
    contents = []
    for place in ("here", "there"):
        made = session(tmp_path / place / "Mix.wav")
        contents.append(written(made, tmp_path / place).read_bytes())
    assert contents[0] == contents[1]
