"""One session file for a whole export; a user's own is never written over."""

from __future__ import annotations

import dataclasses
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from reaproj import Project  # type: ignore[import-untyped]

from bridge.batch import sessions
from bridge.batch.outcome import Outcome, OutcomeState
from bridge.batch.sessions import RECORD, check_formats, write_sessions
from bridge.daw import formats
from bridge.daw.formats import FORMATS
from bridge.daw.partial import write_what_fits
from bridge.errors import DiskFull, FileTooLarge, UsageError
from bridge.publish.manifest import Manifest
from tests.daw.sets import manifest

if TYPE_CHECKING:
    from bridge.batch.sessions import SessionFile


def outcome(
    folder: Path, name: str, place: str, *, rate_hz: int = 48_000, start: int = 96_123
) -> Outcome:
    data = manifest(folder / name, ("drums", "bass"), rate_hz=rate_hz, time_reference=start)
    made = Manifest.from_json(data)
    where = folder / "Stems" / place
    return Outcome(Path(name), OutcomeState.DONE, "stems", "m", folder=where, read=lambda _: made)


@pytest.fixture
def found(tmp_path: Path) -> list[Outcome]:
    """Takes with one name in two folders, and with two endings."""
    return [
        outcome(tmp_path, "Song 1/mix.wav", "Song 1/mix", start=0),
        outcome(tmp_path, "Song 2/mix.flac", "Song 2/mix", start=48_000),
        outcome(tmp_path, "Song 2/mix.wav", "Song 2/mix (wav)", start=96_000),
    ]


def write(found: list[Outcome], folder: Path, *formats: str) -> list[SessionFile]:
    return list(write_sessions(formats or ("reaper",), found, folder / "Stems", "Album"))


def test_every_stem_is_at_its_place(tmp_path: Path, found: list[Outcome]) -> None:
    (made,) = write(found, tmp_path)
    assert (made.path, made.is_new) == (tmp_path / "Stems" / "Album.rpp", True)
    tracks = Project.load(made.path).tracks
    names = [track.name for track in tracks]
    assert names == [
        *("Song 1 - mix", "Song 1 - mix stems", "drums", "bass"),
        *("Song 2 - mix", "Song 2 - mix stems", "drums", "bass"),
        *("Song 2 - mix (wav)", "Song 2 - mix (wav) stems", "drums", "bass"),
    ]
    places = [[item.position for item in track.items] for track in tracks]
    assert [place[0] for place in places if place] == pytest.approx(
        [0.0] * 3 + [1.0] * 3 + [2.0] * 3
    )
    text = made.path.read_text()
    assert 'FILE "Song 2/mix (wav)/mix - bass.wav"' in text
    assert 'FILE "../Song 2/mix.wav"' in text


def test_each_rate_has_a_session_of_its_own(tmp_path: Path, found: list[Outcome]) -> None:
    found.append(outcome(tmp_path, "x.wav", "x", rate_hz=96_000))
    made = [one.path.name for one in write(found, tmp_path, "reaper", "csv")]
    assert made == [
        *("Album (48000 Hz).rpp", "Album (48000 Hz).spotting.csv"),
        *("Album (96000 Hz).rpp", "Album (96000 Hz).spotting.csv"),
    ]


def test_without_changes_nothing_is_written(tmp_path: Path, found: list[Outcome]) -> None:
    before = {one.path: one.path.stat() for one in write(found, tmp_path, "reaper", "ardour")}
    assert len(before) == 2
    for again in write(found, tmp_path, "reaper", "ardour"):
        assert (again.is_new, again.why) == (False, "unchanged")
        now = again.path.stat()
        assert (now.st_ino, now.st_mtime_ns) == (
            before[again.path].st_ino,
            before[again.path].st_mtime_ns,
        )


@pytest.mark.parametrize("form", ["reaper", "ardour"])
def test_ours_is_replaced_and_a_user_s_is_not(
    tmp_path: Path, found: list[Outcome], form: str
) -> None:
    (first,) = write(found[:2], tmp_path, form)
    (second,) = write(found, tmp_path, form)
    assert (second.path, second.is_new) == (first.path, True)
    saved = first.path.read_bytes() + b"\n"
    first.path.write_bytes(saved)
    for take in (found[:1], found):
        (third,) = write(take, tmp_path, form)
        assert not third.is_new
        assert "saved" in third.why
        assert third.path.read_bytes() == saved
    first.path.rename(tmp_path / "mine")
    (fourth,) = write(found, tmp_path, form)
    assert fourth.is_new


@pytest.mark.parametrize(
    "record", ["", "{", "[]", '{"files": 3}', '{"files": {"Album.rpp": {"sha256": 1}}}', None]
)
def test_without_a_record_every_file_is_the_user_s(
    tmp_path: Path, found: list[Outcome], record: str | None
) -> None:
    (first,) = write(found[:1], tmp_path)
    place = tmp_path / "Stems" / RECORD
    place.unlink() if record is None else place.write_text(record)
    before = first.path.read_bytes()
    (again,) = write(found, tmp_path)
    assert not again.is_new
    assert again.path.read_bytes() == before


def test_what_failed_is_not_in_it(tmp_path: Path, found: list[Outcome]) -> None:
    found[1] = dataclasses.replace(found[1], state=OutcomeState.FAILED, folder=None)
    (made,) = write(found, tmp_path)
    assert "Song 2 - mix " not in made.path.read_text().replace("Song 2 - mix (wav)", "")
    assert write([found[1]], tmp_path) == []


def test_a_session_that_cannot_be_leaves_what_is_there(
    tmp_path: Path, found: list[Outcome]
) -> None:
    (made,) = write(found, tmp_path, "ardour")
    before = made.path.read_bytes()
    odd = [outcome(tmp_path, "x.wav", "x", rate_hz=44_101)]
    refused, playlist = write(odd, tmp_path, "ardour", "m3u8")
    assert (refused.is_new, refused.is_failure, playlist.is_new) == (False, True, True)
    assert "44,101 Hz" in refused.why
    assert made.path.read_bytes() == before


def test_one_odd_name_costs_one_clip(tmp_path: Path, found: list[Outcome]) -> None:
    """The bounce's own file has a line end in its name; its stems are called otherwise."""
    found.append(outcome(tmp_path, "two\nlines.wav", "two lines"))
    data = found[-1].manifest
    assert data is not None
    stems = tuple(
        dataclasses.replace(stem, path=f"two lines - {stem.name}.wav") for stem in data.stems
    )
    renamed = dataclasses.replace(data, stems=stems)
    found[-1] = dataclasses.replace(found[-1], read=lambda _: renamed)
    for again in (False, True):
        (made,) = write(found, tmp_path)
        assert (made.is_new, made.is_failure) == (not again, False)
        (reason,) = made.left_out  # also for an unchanged session
        assert reason.startswith("two\nlines.wav: ")
        assert "rename the file" in reason
    tracks = Project.load(made.path).tracks
    assert len(tracks) == 4 * 4
    assert [track.items for track in tracks if track.name == "two lines"] == [[]]
    assert made.path.read_text().count("two lines - drums.wav") == 1


def test_a_clip_out_of_reach_costs_one_bounce_in_one_file(
    tmp_path: Path, found: list[Outcome]
) -> None:
    found.append(outcome(tmp_path, "neg.wav", "neg", start=2**64 - 48_000))
    reaper, table = write(found, tmp_path, "reaper", "csv")
    assert [reason.partition(":")[0] for reason in reaper.left_out] == [
        *("neg.wav", "neg - drums.wav", "neg - bass.wav"),
    ]
    assert len([i for t in Project.load(reaper.path).tracks for i in t.items]) == 9
    assert (table.is_new, table.left_out) == (True, ())


def test_a_bounce_that_is_no_session_is_left_out_of_all(
    tmp_path: Path, found: list[Outcome]
) -> None:
    """As of Opus stems at another rate than the bounce, or of a manifest that was edited."""
    odd = outcome(tmp_path, "odd.wav", "odd")
    manifest_of_odd = odd.manifest
    assert manifest_of_odd is not None
    source = dataclasses.replace(manifest_of_odd.source, rate_hz=44_100)
    edited = dataclasses.replace(manifest_of_odd, source=source)
    odd = dataclasses.replace(odd, read=lambda _: edited)
    made = write([*found, odd], tmp_path, "reaper", "csv")
    assert [one.is_new for one in made] == [True, True]
    for one in made:
        (reason,) = one.left_out
        assert reason.startswith("odd.wav: ")
        assert "[44100, 48000] Hz" in reason
    failures = write([odd], tmp_path / "alone", "reaper", "csv")
    assert [(one.is_failure, len(one.left_out)) for one in failures] == [(True, 1), (True, 1)]


def test_a_defect_of_ours_costs_that_file_and_has_its_traceback(
    tmp_path: Path, found: list[Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise struct.error("argument out of range")

    broken = dataclasses.replace(FORMATS["reaper"], write=fail)
    monkeypatch.setattr(formats, "FORMATS", {**FORMATS, "reaper": broken})
    failed, table = write(found, tmp_path, "reaper", "csv")
    assert (failed.is_failure, table.is_new) == (True, True)
    assert failed.why == "internal error: error: argument out of range; please report it"
    assert "struct.error: argument out of range" in failed.traceback


def test_a_file_that_cannot_be_costs_itself_and_a_full_disk_all(
    tmp_path: Path, found: list[Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(error: Exception) -> object:
        def write(name: str, *rest: Any, **more: Any) -> Any:
            if name == "reaper":
                raise error
            return write_what_fits(name, *rest, **more)

        return write

    monkeypatch.setattr(sessions, "write_what_fits", refuse(FileTooLarge("too long")))
    failed, table = write(found, tmp_path, "reaper", "csv")
    assert (failed.is_failure, failed.why, table.is_new) == (True, "too long", True)
    monkeypatch.setattr(sessions, "write_what_fits", refuse(DiskFull("full")))
    with pytest.raises(DiskFull):
        write(found[:2], tmp_path, "reaper")


def test_a_file_for_one_bounce_is_refused_before_its_tool_is_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To install it would not help."""
    monkeypatch.setattr("shutil.which", lambda _name: None)
    with pytest.raises(UsageError, match="holds only one bounce"):
        check_formats(["stem-mp4"])


@pytest.mark.parametrize(
    ("name", "message"),
    [("reapr", "did you mean 'reaper'"), ("stem-mp4", "holds only one bounce"), ("", "there are")],
)
def test_a_format_that_cannot_be_is_refused_at_once(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_formats([name])


def test_every_format_that_joins_is_taken() -> None:
    able = [one.name for one in FORMATS.values() if one.joins and one.missing() is None]
    check_formats(able)
    assert {"reaper", "dawproject", "ardour", "m3u8", "csv"} <= set(able)
    assert os.sep not in RECORD
