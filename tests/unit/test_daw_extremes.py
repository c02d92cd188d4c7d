"""Session files of extreme values: each is refused with its reason, or reads back as it was meant.

The readers are not ours. An exception that a writer does not announce (SessionDefect) is a fault.
"""

from __future__ import annotations

import csv
import math
import os
import struct
import subprocess
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urlparse
from xml.etree import ElementTree

import aaf2
import opentimelineio as otio  # type: ignore[import-untyped]
import pytest
import rppxml
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree  # type: ignore[import-untyped]
from reaproj import Project  # type: ignore[import-untyped]

from bridge.daw import ardour, formats
from bridge.daw.files import new_file
from bridge.daw.formats import FORMATS, write_session
from bridge.daw.session import Clip, Marker, Session, SoundFile, Tempo, Track
from bridge.errors import DiskFull, NotAudio, SessionDefect, SessionError
from tests.audio_files import chunk, fmt, riff
from tests.daw.sets import session as session_of_set
from tests.daw.sets import write_set
from tests.hypothesis_profiles import examples
from tests.support import ROOT, require

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = ROOT.parent / "shared" / "schemas" / "dawproject" / "Project.xsd"
WORD = 2**64

EDGES = sorted(
    {
        *(0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**50, 2**51, 2**53 + 1, 2**62),
        *(2**63 - 1, 2**63 - 100, 2**63, WORD - 48_000, WORD - 1),
    }
)
POSITIONS = st.sampled_from(EDGES) | st.integers(0, WORD - 1) | st.integers(0, 2**34)
LENGTHS = st.sampled_from([1, 2, 101, 2**31, 2**40]) | st.integers(1, 10**9)
RATES_HZ = st.sampled_from(
    [1, 7, 8_000, 37_801, 44_100, 48_000, 192_000, 384_000, 2**31 - 1, 2**31, 2**32 - 1]
)
CHANNELS = st.sampled_from([1, 2, 3, 64, 65, 128, 129, 500])

CURIOUS = [
    *("", " ", ".", "-dash", "#hash", "=1+1", "'\"`", "a:b\\c/d", "]]>", "&amp;", "<x/>", "%s%n"),
    *(
        "שלום עולם",
        "\u202eevil",
        "🎛️👨‍👩‍👧",
        "é",
        "e\u0301",
        "x" * 300,
        "中" * 300,
        "\ufeffbom",
        "\ufffe",
    ),
    *(
        "two\nlines",
        "cr\rlf\r\n",
        "nul\0",
        "bell\x07",
        "\x85nel",
        "\u2028ls",
        "caf\udce9",
        "\ud800",
    ),
    *("\udcff\udc80", "Master", "click", "NUL", '"both" don\'t `tick`'),
]
NAMES = st.sampled_from(CURIOUS) | st.text(max_size=12)
# What may be the name of a file somewhere: no slash and no NUL. On Windows lone surrogates may be.
FILE_NAMES = NAMES.map(lambda name: name.replace("/", "").replace("\0", "")).filter(
    lambda name: name not in {"", ".", ".."}
)
TEMPOS = st.builds(
    Tempo,
    st.sampled_from([5e-324, 1e-9, 10.0, 97.5, 1000.0, 1e300, 1.7e308]),
    st.sampled_from([1, 4, 255]),
    st.sampled_from([1, 4, 64]),
)


@dataclass(frozen=True)
class Read:
    """One clip as a reader finds it, in frames; None where the format does not say."""

    start: int
    length: int
    offset: int | None
    file: bytes


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WAV whose header can be read, in the place of every file."""
    path = tmp_path_factory.mktemp("sound") / "sound.wav"
    path.write_bytes(riff(fmt(), chunk(b"data", bytes(64))))
    return path


@st.composite
def sessions(draw: st.DrawFn, widths: st.SearchStrategy[int] = CHANNELS) -> Session:
    """A session with one clip; its file lies beside it, or would."""
    length, channels = draw(LENGTHS), draw(widths)
    offset = draw(st.sampled_from([0, 1, 2**33]))
    name = draw(NAMES)
    file = SoundFile(Path("/x") / f"{draw(FILE_NAMES)}.wav", length + offset, channels)
    clip = Clip(file, draw(NAMES), draw(POSITIONS), length, offset)
    markers = draw(st.lists(st.builds(Marker, NAMES, POSITIONS), max_size=4))
    tempos = draw(st.lists(TEMPOS, max_size=1))
    track = Track(name, (clip,), colour="#ff8040")
    return Session(draw(NAMES), draw(RATES_HZ), (track,), tuple(markers), tuple(tempos))


def frames(seconds: str | float, rate_hz: int) -> int:
    return round(float(seconds) * rate_hz)


def file_bytes(session: Session) -> bytes:
    (clip,) = session.clips
    return clip.file.path.name.encode("utf-8", "surrogateescape")


def read_reaper(path: Path, session: Session) -> list[Read]:
    data, rate = path.read_bytes(), session.rate_hz
    text = data.decode("utf-8", "replace")  # the reader takes text only
    root: Any = rppxml.loads(text)
    tracks = [block for block in root.children if isinstance(block, rppxml.RPPXML)]
    (track,) = [block for block in tracks if block.name == "TRACK"]
    (item,) = [block for block in track.children if isinstance(block, rppxml.RPPXML)]
    (source,) = [block for block in item.children if isinstance(block, rppxml.RPPXML)]
    lines = {line[0]: line[1] for line in item.children if isinstance(line, list)}
    read = [frames(lines[key], rate) for key in ("POSITION", "LENGTH", "SOFFS")]
    marks = [line for line in root.children if isinstance(line, list) and line[0] == "MARKER"]
    found = [frames(line[2], rate) for line in marks]
    assert found == [marker.position_frames for marker in session.markers]
    ((_, name),) = [line for line in source.children if isinstance(line, list)]
    if text.encode() == data:
        (other,) = Project.load(path).tracks[0].items
        assert [frames(v, rate) for v in (other.position, other.length, other.soffs)] == read
        return [Read(*read, str(name).encode())]
    (raw,) = [line for line in data.split(b"\n") if line.startswith(b"        FILE ")]
    assert raw.decode("utf-8", "replace")[14:-1] == name
    return [Read(*read, raw[14:-1])]


def read_dawproject(path: Path, session: Session) -> list[Read]:
    rate = session.rate_hz
    with zipfile.ZipFile(path) as archive:
        root = etree.fromstring(archive.read("project.xml"))
        etree.fromstring(archive.read("metadata.xml"))
    if SCHEMA.exists():
        etree.XMLSchema(etree.parse(SCHEMA)).assertValid(root)
    found = [frames(mark.get("time"), rate) for mark in root.iterfind(".//Marker")]
    assert found == [marker.position_frames for marker in session.markers]
    (outer,) = root.iterfind("Arrangement/Lanes/Lanes/Clips/Clip")
    (inner,) = outer.iterfind("Clips/Clip")
    (file,) = inner.iter("File")
    times = (outer.get("time"), outer.get("duration"), inner.get("playStart"))
    return [Read(*(frames(t, rate) for t in times), file.get("path").encode())]


def read_ardour(path: Path, session: Session) -> list[Read]:
    root = ElementTree.parse(path).getroot()
    clocks = ardour.SUPERCLOCKS_PER_S // session.rate_hz
    marks = [one for one in root.iterfind("Locations/Location") if one.get("flags") == "IsMark"]
    found = [divmod(int(one.get("start", "")[1:]), clocks) for one in marks]
    assert found == [(marker.position_frames, 0) for marker in session.markers]
    (region,) = root.iterfind("Playlists/Playlist/Region")
    length, _, position = region.get("length", "").partition("@")
    texts = (position, length, region.get("start", ""))
    values = [divmod(int(text[1:]), clocks) for text in texts]
    assert all(value < 2**62 for value, _ in values)
    assert not any(rest for _, rest in values)
    (name,) = {source.get("name", "") for source in root.iterfind("Sources/Source")}
    return [Read(*(value for value, _ in values), Path(name).name.encode())]


def read_aaf(path: Path, session: Session) -> list[Read]:
    with aaf2.open(str(path)) as file:
        (top,) = file.content.toplevel()
        slots = [slot for slot in top.slots if slot.media_kind == "Sound"]
        assert len(slots) == session.channels
        assert {int(slot.edit_rate) for slot in slots} == {session.rate_hz}
        parts = list(slots[0].segment.components)
        start = sum(part.length for part in parts[:-1])
        if session.markers:
            events = list(top.slots)[-1].segment.components
            found = [event["Position"].value for event in events]
            assert found == [marker.position_frames for marker in session.markers]
        length, offset = parts[-1].length, parts[-1].start
        (source,) = file.content.sourcemobs()
        (locator,) = source.descriptor["Locator"].value
        url = urlparse(locator["URLString"].value)
    if max(start, offset) + length < 2**53:  # OpenTimelineIO adds places up as doubles
        timeline = otio.adapters.read_from_file(str(path))
        (clip,) = next(iter(timeline.tracks)).find_clips()
        place = clip.range_in_parent().start_time
        assert math.isclose(place.value, start, rel_tol=1e-12)
    return [Read(start, length, offset, unquote_to_bytes(url.path).rpartition(b"/")[2])]


def read_m3u8(path: Path, session: Session) -> list[Read]:
    lines = path.read_bytes().decode("utf-8", "surrogateescape").split("\n")
    assert lines[0] == "#EXTM3U"
    (place,) = [line for line in lines if line and not line.startswith("#")]
    (about,) = [line for line in lines if line.startswith("#EXTINF:")]
    length = frames(about.removeprefix("#EXTINF:").partition(",")[0], session.rate_hz)
    name = place.removeprefix("./").encode("utf-8", "surrogateescape")
    return [Read(session.clips[0].start_frames, length, None, name)]


def read_csv(path: Path, session: Session) -> list[Read]:
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    return [
        Read(
            *(int(row[key]) for key in ("time_reference_frames", "length_frames", "offset_frames")),
            row["file"].encode("utf-8", "surrogateescape"),
        )
        for row in rows
    ]


READERS: dict[str, Callable[[Path, Session], list[Read]]] = {
    "reaper": read_reaper,
    "dawproject": read_dawproject,
    "ardour": read_ardour,
    "aaf": read_aaf,
    "m3u8": read_m3u8,
    "csv": read_csv,
}


def in_folder(session: Session, folder: Path, sound: Path) -> Session:
    """The same with its file beside the session file."""
    (clip,) = session.clips
    file = replace(clip.file, path=folder / clip.file.path.name, staged=sound)
    track = replace(session.tracks[0], clips=(replace(clip, file=file),))
    return replace(session, tracks=(track,))


def test_every_format_that_joins_has_a_reader() -> None:
    assert {*READERS} == {name for name, one in FORMATS.items() if one.joins}


def check(name: str, session: Session, folder: Path, sound: Path) -> None:
    """It reads back or is refused, and that with words."""
    session = in_folder(session, folder, sound)
    try:
        path = write_session(name, session, folder, "session")
    except SessionDefect:
        raise
    except SessionError as error:
        assert len(str(error)) > 20  # noqa: PT017 to be refused is one of two good ends
        return
    (clip,) = session.clips
    (read,) = READERS[name](path, session)
    assert (read.start, read.length) == (clip.start_frames, clip.length_frames)
    assert read.offset in {None, clip.offset_frames}
    assert read.file == file_bytes(session)


@pytest.mark.parametrize("name", [name for name in READERS if name != "aaf"])
@settings(max_examples=examples(150))
@given(session=sessions())
def test_it_reads_back_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, sound: Path, name: str, session: Session
) -> None:
    check(name, session, tmp_path_factory.getbasetemp() / "extremes", sound)


@settings(max_examples=examples(20))
@given(session=sessions(st.sampled_from([1, 2, 3])))
def test_an_aaf_does_too(
    tmp_path_factory: pytest.TempPathFactory, sound: Path, session: Session
) -> None:
    """It takes half a second for each, and more for many channels."""
    check("aaf", session, tmp_path_factory.getbasetemp() / "extremes", sound)


@pytest.mark.parametrize("name", READERS)
def test_thousands_of_markers(tmp_path: Path, sound: Path, name: str) -> None:
    count = 300 if name == "aaf" else 5000  # an AAF takes a millisecond for each
    clip = Clip(SoundFile(tmp_path / "f.wav", 101, 2, sound), "c", 0, 101)
    markers = tuple(Marker(CURIOUS[n % len(CURIOUS)], n * 48_001) for n in range(count))
    session = Session("s", 48_000, (Track("t", (clip,)),), markers)
    (read,) = READERS[name](write_session(name, session, tmp_path, "s"), session)
    assert (read.start, read.length) == (0, 101)


@pytest.mark.parametrize("name", [*READERS, "stem-mp4"])
def test_a_format_may_refuse_and_nothing_else(
    tmp_path: Path, sound: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At one place, whatever a writer raises: the reason of a refusal, or a defect of ours."""
    clip = Clip(SoundFile(tmp_path / "f.wav", 101, 2, sound), "c", 0, 101)
    session = Session("s", 48_000, (Track("t", (clip,)),))
    usual = FORMATS[name]

    def written(error: Exception) -> Path:
        def write(_session: Session, path: Path, _folder: Path) -> None:
            with new_file(path) as temporary:
                temporary.write_bytes(b"half")
                raise error

        changed = {**FORMATS, name: replace(usual, write=write, missing=lambda: None)}
        monkeypatch.setattr(formats, "FORMATS", changed)
        return write_session(name, session, tmp_path, "s")

    for error in (
        struct.error("argument out of range"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
        KeyError("x"),
        RecursionError(),
        ValueError("two\nlines"),
    ):
        with pytest.raises(SessionDefect, match=r"internal error: .*; please report it") as caught:
            written(error)
        assert caught.value.__cause__ is error
        assert "\n" not in str(caught.value)
    with pytest.raises(SessionError, match="no WAV") as refused:
        written(NotAudio("no WAV"))
    assert not isinstance(refused.value, SessionDefect)
    for passed_on in (SessionError("no"), DiskFull("full")):
        with pytest.raises(type(passed_on)) as same:
            written(passed_on)
        assert same.value is passed_on
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: Marker("m", -1),
        lambda: Tempo(0.0),
        lambda: Tempo(math.nan),
        lambda: Tempo(math.inf),
        lambda: Tempo(-120.0),
        lambda: Tempo(120.0, 0, 4),
        lambda: Tempo(120.0, 4, 256),
        lambda: Tempo(120.0, position_frames=-1),
        lambda: Clip(SoundFile(Path("/x.wav"), 0, 2), "c", 0, 0),
        lambda: Clip(SoundFile(Path("/x.wav"), 9, 2), "c", -1, 9),
        lambda: Clip(SoundFile(Path("/x.wav"), 9, 2), "c", 0, 10),
        lambda: Session("s", 0, ()),
    ],
)
def test_what_is_no_part_of_a_session_is_none(make: Callable[[], object]) -> None:
    with pytest.raises(SessionError):
        make()


@pytest.mark.parametrize(
    "name",
    ["🎛️ שלום", "two\nlines", os.fsdecode(b"caf\xe9"), "-v", "a:b", "%03d", "x" * 200, "'\"`"],
)
def test_a_stem_file_of_odd_names(tmp_path: Path, name: str) -> None:
    """ffmpeg takes names as arguments; what it makes of them must be the file that is meant."""
    require.program("ffmpeg", "ffmpeg")
    folder = tmp_path / "in"
    bounce = folder / f"{name}.wav"
    try:
        write_set(bounce, frames=2000)
    except OSError:
        pytest.skip("this file system cannot hold that name")
    made = write_session("stem-mp4", session_of_set(bounce, frames=2000), tmp_path, "out")
    probed = subprocess.run(
        [require.ffprobe(), "-v", "error", "-show_entries", "stream=codec_name", str(made)],
        capture_output=True,
        check=True,
    )
    assert probed.stdout.count(b"codec_name=alac") == 5
