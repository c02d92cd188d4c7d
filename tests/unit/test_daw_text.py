"""Times that read back to the same frame, names that a format can hold, ids without chance."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.daw import m3u8, spotting
from bridge.daw.session import Clip, Session, SoundFile, Track
from bridge.daw.text import (
    document,
    element,
    guid,
    line_path,
    linear,
    one_line,
    relative,
    seconds,
    xml_name,
    xml_path,
)
from bridge.errors import SessionError
from tests.daw.sets import session

RATES_HZ = st.sampled_from([8000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000, 11_025, 37_800])
NINE_HOURS_AT_192_KHZ = 9 * 3600 * 192_000


@given(st.integers(0, NINE_HOURS_AT_192_KHZ) | st.integers(2**31, 2**40), RATES_HZ)
def test_seconds_read_back_to_the_frame(frames: int, rate_hz: int) -> None:
    text = seconds(frames, rate_hz)
    assert round(float(text) * rate_hz) == frames  # as a DAW reads it
    assert abs(Decimal(text) * rate_hz - frames) < Decimal("1e-6")
    assert "e" not in text.lower()


def test_seconds_are_plain_decimals() -> None:
    assert seconds(0, 48_000) == "0.000000000000"
    assert seconds(96_123, 48_000) == "2.002562500000"
    assert seconds(3_000_000_000 + 1, 96_000) == "31250.000010416667"


@given(st.text(max_size=40))
def test_a_name_is_one_line_and_xml_can_hold_it(name: str) -> None:
    assert len(one_line(name).splitlines()) <= 1
    held = xml_name(name)
    root = ElementTree.fromstring(document(element("A", {"name": held})))
    assert root.get("name") == held
    assert len(held.splitlines()) <= 1


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\x00b", "a\x1bb", "a\x85b", "a\u2028b"])
def test_a_path_is_never_changed(name: str) -> None:
    for refuse in (line_path, xml_path):
        with pytest.raises(SessionError, match="rename the file"):
            refuse(name)


def test_bytes_that_are_no_text_have_no_place_in_xml() -> None:
    assert xml_name("a\udcffb") == "a\N{REPLACEMENT CHARACTER}b"
    with pytest.raises(SessionError):
        xml_path("a\udcffb")
    assert line_path("a\udcffb") == "a\udcffb"


def test_paths_are_seen_from_the_session() -> None:
    assert relative(Path("/a/b/c d.wav"), Path("/a/b")) == "c d.wav"
    assert relative(Path("/a/x/c.wav"), Path("/a/b")) == "../x/c.wav"


def test_gains_are_factors() -> None:
    assert linear(0.0) == "1"
    assert float(linear(-6.0206)) == pytest.approx(0.5, abs=1e-6)


def test_an_id_follows_from_its_content() -> None:
    assert guid("a", 1) == guid("a", 1)
    assert len({guid("a", 1), guid("a", 2), guid("a1"), guid("b", 1), guid("\udcff")}) == 5


@pytest.mark.parametrize(
    ("frames", "rate_hz", "expected"),
    [
        (0, 48_000, "00:00:00:00.00"),
        (172_800_000, 48_000, "01:00:00:00.00"),
        (172_800_000 + 1920 * 24 + 960, 48_000, "01:00:00:24.50"),
        (3_000_000_000, 96_000, "08:40:50:00.00"),
    ],
)
def test_timecode(frames: int, rate_hz: int, expected: str) -> None:
    assert spotting.timecode(frames, rate_hz) == expected


def test_the_table_of_places_reads_back(tmp_path: Path) -> None:
    bounce = tmp_path / 'Mix "3", don\'t\n=1+1.wav'
    made = session(bounce, time_reference=3_000_000_000, rate_hz=96_000)
    path = tmp_path / "t.csv"
    spotting.write(made, path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["track"] for row in rows] == [bounce.stem, "drums", "bass", "other", "vocals"]
    assert [row["muted"] for row in rows] == ["yes", "no", "no", "no", "no"]
    for row, clip in zip(rows, made.clips, strict=True):
        assert (tmp_path / row["file"]) == clip.file.path
        assert int(row["time_reference_frames"]) == 3_000_000_000
        assert round(float(row["start_s"]) * 96_000) == 3_000_000_000
        assert row["start_timecode_25fps"] == "08:40:50:00.00"
        assert int(row["end_frames"]) - int(row["time_reference_frames"]) == clip.length_frames
        assert (row["rate_hz"], row["channels"], row["offset_frames"]) == ("96000", "2", "0")


def test_the_playlist_names_every_file(tmp_path: Path) -> None:
    names = ["#1 hit.wav", " a, b.wav", "שלום 🎛.wav", "-dash.wav"]
    clips = [Clip(SoundFile(tmp_path / n, 48_000, 2), n, 0, 48_000) for n in names]
    outside = Clip(SoundFile(tmp_path.parent / "o.wav", 24_000, 1), "two\nlines", 0, 24_000)
    tracks = tuple(Track(clip.name, (clip,)) for clip in (*clips, outside))
    path = tmp_path / "list.m3u8"
    m3u8.write(Session("All\nof it", 48_000, tracks), path)
    lines = path.read_text("utf-8").splitlines()
    assert lines[:2] == ["#EXTM3U", "#PLAYLIST:All of it"]
    files = [line for line in lines if not line.startswith("#")]
    assert [tmp_path / file for file in files] == [
        *(tmp_path / name for name in names),
        tmp_path / ".." / "o.wav",
    ]
    titles = [line for line in lines if line.startswith("#EXTINF:")]
    assert titles[-1] == "#EXTINF:0.500000000000,two lines"
