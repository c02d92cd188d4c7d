"""Files that are not read are named, once, and with what they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bridge.intake.not_read import (
    FORMATS,
    MAX_LISTED,
    NotRead,
    NotReadReporter,
    describe,
    facts,
    listing,
    of_scan,
    sentence,
)
from bridge.intake.scan import AUDIO_SUFFIXES, FoundFile, Scan, scan
from tests.bounces import music, wav_bytes

OLD_S = 3600.0
WAV = wav_bytes(music(100))


def test_no_suffix_that_is_taken_has_a_row() -> None:
    assert AUDIO_SUFFIXES.isdisjoint(FORMATS)


def put(folder: Path, name: str, content: bytes = b"x", *, age_s: float = OLD_S) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    then_s = path.stat().st_mtime - age_s
    os.utime(path, (then_s, then_s))
    return path


def name_of(path: Path) -> str | None:
    described = describe(path)
    return described.format.name if described and described.format else None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("song.mid", "MIDI"),
        ("Song.MIDI", "MIDI"),
        ("bought.m4p", "copy-protected"),
        ("set.als", "Ableton Live project"),
        ("mix.rpp", "REAPER project"),
        ("stems.zip", "archive"),
        ("old.sd2", "Sound Designer II"),
        ("notes.txt", None),
        ("cover.PNG", None),
        ("score.pdf", None),
    ],
)
def test_the_suffix_says_what_it_is_and_nothing_is_opened(name: str, expected: str | None) -> None:
    """The path does not exist, and so cannot have been opened."""
    path = Path("/nowhere") / name
    assert name_of(path) == expected
    assert describe(path) is not None


@pytest.mark.parametrize(
    "name", ["Mix.wav.yaml", "stembridge.yaml", "Mix.wav.asd", "Mix.reapeaks", "Mix.PEAK", "a.cue"]
)
def test_what_belongs_to_a_sound_file_is_not_named(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    assert describe(tmp_path / name) is None
    assert of_scan(scan(tmp_path)) == ()


@pytest.mark.parametrize(
    ("head", "expected", "advice"),
    [
        (WAV, "WAV by its content", "give it a name that ends in .wav"),
        (b"RF64" + WAV[4:], "RF64 by its content", "ends in .rf64"),
        (b"BW64" + WAV[4:], "BW64 by its content", "ends in .wav"),
        (b"FORM\0\0\0\x20AIFF", "AIFF by its content", "ends in .aiff"),
        (b"fLaC" + bytes(40), "FLAC by its content", "ends in .flac"),
        (b"OggS" + bytes(40), "OGG by its content", "ends in .ogg"),
        (b"ID3\x04\0\0\0\0\0\x02ab\xff\xfb\x90\0", "MP3 by its content", "ends in .mp3"),
        (b"", None, ""),
        (b"just a text", None, ""),
        ("a text in UTF-16".encode("utf-16"), None, ""),  # begins like a frame of MPEG audio
    ],
)
def test_sound_whose_name_does_not_say_so_is_found(
    tmp_path: Path, head: bytes, expected: str | None, advice: str
) -> None:
    for name in ("Mix 1.5", "Mix", "Mix.bounce"):
        path = put(tmp_path, name, head)
        assert name_of(path) == expected
        assert sentence(describe(path) or NotRead(path), tmp_path).endswith(advice)


def test_what_cannot_be_opened_is_named_all_the_same(tmp_path: Path) -> None:
    assert describe(tmp_path / "gone") == NotRead(tmp_path / "gone")
    (tmp_path / "folder").mkdir()
    assert describe(tmp_path / "folder") == NotRead(tmp_path / "folder")


def test_a_listing_names_first_what_may_have_been_meant(tmp_path: Path) -> None:
    names = ["a.txt", "b.mid", "sub/c.als", *(f"d{number}.png" for number in range(MAX_LISTED))]
    for name in names:
        put(tmp_path, name)
    found = of_scan(scan(tmp_path))
    text = listing(found, tmp_path)
    inside = Path("sub/c.als")
    assert text.startswith(
        f"{len(names)} files: b.mid (MIDI), {inside} (Ableton Live project), a.txt, d0.png, "
    )
    assert text.endswith(", and 3 more")
    assert listing(found[:1], tmp_path) == "1 file: a.txt"
    assert sentence(found[1], tmp_path) == "b.mid (MIDI): notes without audio: render it in the DAW"
    assert [facts(one, tmp_path) for one in found[:2]] == [
        {"file": "a.txt"},
        {"file": "b.mid", "format": "MIDI"},
    ]


def test_a_file_in_the_cloud_is_named_with_what_to_do() -> None:
    away = FoundFile(Path("/b/mix.wav"), 10, 0)
    (found,) = of_scan(Scan(online_only=(away,)))
    assert sentence(found, Path("/b")) == (
        "mix.wav (online only): make it available on this device"
    )


@pytest.fixture
def reports() -> list[list[str]]:
    return []


@pytest.fixture
def reporter(reports: list[list[str]]) -> NotReadReporter:
    return NotReadReporter(lambda files: reports.append([one.path.name for one in files]))


def test_each_file_is_reported_once_however_often_it_is_seen(
    tmp_path: Path, reporter: NotReadReporter, reports: list[list[str]]
) -> None:
    for name in ("a.mid", "b.txt", "Mix.wav", "Mix.wav.asd", "Take", "c.bin"):
        put(tmp_path, name, WAV if name == "Take" else b"x")
    for _ in range(3):
        reporter.walked(scan(tmp_path))
    assert reports == [["Take", "a.mid", "b.txt", "c.bin"]]
    midi = tmp_path / "a.mid"
    midi.write_bytes(b"saved again by the DAW")
    for _ in range(2):
        reporter.walked(scan(tmp_path))
        reporter.seen(FoundFile(midi, 22, midi.stat().st_mtime_ns))
    assert len(reports) == 1
    reporter.seen(FoundFile(put(tmp_path, "new.mid"), 1, 0))
    assert reports[1:] == [["new.mid"]]


def test_a_render_under_a_name_for_the_time_being_is_not_reported(
    tmp_path: Path, reporter: NotReadReporter, reports: list[list[str]]
) -> None:
    growing = put(tmp_path, "Mix", WAV, age_s=1.0)
    reporter.seen(FoundFile(growing, 1, growing.stat().st_mtime_ns))
    reporter.walked(scan(tmp_path))
    assert reports == []
    put(tmp_path, "Mix", WAV)  # and nothing has changed for a while
    reporter.walked(scan(tmp_path))
    assert reports == [["Mix"]]


def test_a_file_that_becomes_sound_is_reported_then(
    tmp_path: Path, reporter: NotReadReporter, reports: list[list[str]]
) -> None:
    put(tmp_path, "Mix", b"")
    reporter.walked(scan(tmp_path))
    put(tmp_path, "Mix", WAV)
    reporter.walked(scan(tmp_path))
    assert reports == [["Mix"], ["Mix"]]  # first as a file like any other
