"""The list of formats: what each needs, where it lies, and that nothing half-written stays."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.daw import files
from bridge.daw.formats import FORMATS, find_format, write_session
from bridge.daw.session import from_manifest, merge_sessions
from bridge.errors import OutputError, SessionError
from tests.daw.sets import manifest, session, write_set
from tests.support import ROOT

FRAMES = 2_001
JOINING = [name for name in FORMATS if FORMATS[name].joins]


def test_they_are_all_there() -> None:
    assert [*FORMATS] == ["reaper", "dawproject", "ardour", "aaf", "stem-mp4", "m3u8", "csv"]
    assert all(name == one.name and one.summary for name, one in FORMATS.items())
    assert len({one.suffix for one in FORMATS.values()}) == len(FORMATS)


def test_an_unknown_one_gets_a_suggestion() -> None:
    with pytest.raises(SessionError, match="did you mean 'reaper'"):
        find_format("repaer")
    with pytest.raises(SessionError, match="there are reaper"):
        find_format("xyz")


@pytest.mark.parametrize("name", FORMATS)
def test_each_writes_beside_the_stems(tmp_path: Path, name: str) -> None:
    write_set(tmp_path / "Mix 3.wav", frames=FRAMES)
    before = {*tmp_path.iterdir()}
    made = session(tmp_path / "Mix 3.wav", frames=FRAMES)
    path = write_session(name, made, tmp_path, "Mix 3")
    assert path.is_file()
    assert {*tmp_path.iterdir()} - before == {find_format(name).place(tmp_path, "Mix 3")}
    first = path.read_bytes()
    assert write_session(name, made, tmp_path, "Mix 3").read_bytes() == first


@pytest.mark.parametrize("name", FORMATS)
def test_one_that_is_moved_later_is_as_if_written_there(tmp_path: Path, name: str) -> None:
    """Stems and session are made in a staging folder, at another depth than where they end."""
    bounce = tmp_path / "Mix.wav"
    stems = tmp_path / "Stems" / "Album" / "Mix"
    staged = tmp_path / "Stems" / ".staging" / "1"
    write_set(stems / "Mix.wav", frames=FRAMES)
    (stems / "Mix.wav").rename(bounce)
    data = manifest(bounce, frames=FRAMES)
    in_place = write_session(name, from_manifest(data, stems), stems, "Mix")
    staged.mkdir(parents=True)
    for stem in data["stems"]:
        (stems / stem["path"]).rename(staged / stem["path"])
    made = from_manifest(data, stems, staged=staged)
    moved = write_session(name, made, staged, "Mix", stays_in=stems)
    assert moved.relative_to(staged) == in_place.relative_to(stems)
    assert moved.read_bytes() == in_place.read_bytes()


def test_the_bytes_know_no_clock_and_no_chance(tmp_path: Path) -> None:
    write_set(tmp_path / "Mix.wav", frames=FRAMES)
    program = (
        "import sys, pathlib\n"
        "from tests.daw.sets import session\n"
        "from bridge.daw.formats import FORMATS, write_session\n"
        "made = session(pathlib.Path(sys.argv[1]), frames=2_001)\n"
        "for name in FORMATS: print(write_session(name, made, pathlib.Path(sys.argv[2]), 'Mix'))\n"
    )
    digests = []
    for seed in ("1", "2"):
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        ended = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "Mix.wav"), str(out)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        paths = [Path(line) for line in ended.stdout.splitlines()]
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in paths])
    assert len(digests[0]) == len(FORMATS)
    assert digests[0] == digests[1]


@pytest.mark.parametrize("name", JOINING)
def test_each_holds_many_bounces(tmp_path: Path, name: str) -> None:
    sets = []
    for song in ("One", "Two"):
        write_set(tmp_path / song / f"{song}.wav", frames=FRAMES)
        sets.append(session(tmp_path / song / f"{song}.wav", frames=FRAMES))
    (album,) = merge_sessions("Album", sets)
    assert write_session(name, album, tmp_path, "Album").stat().st_size > 100


@pytest.mark.parametrize("name", JOINING)
def test_each_can_hold_nothing(tmp_path: Path, name: str) -> None:
    empty = replace(session(tmp_path / "Mix.wav"), tracks=())
    assert write_session(name, empty, tmp_path, "Empty").is_file()


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    lacking = {name for name, one in FORMATS.items() if one.missing()}
    assert lacking == {"aaf"}
    for name in lacking:
        with pytest.raises(SessionError, match="install"):
            write_session(name, session(tmp_path / "Mix.wav"), tmp_path, "Mix")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FORMATS)
def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path, name: str) -> None:
    write_set(tmp_path / "Mix.wav", frames=FRAMES)
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    with pytest.raises(OutputError):
        write_session(name, session(tmp_path / "Mix.wav", frames=FRAMES), blocked, "Mix")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "session.rpp"
    files.write_file(path, b"old")

    def fail() -> None:
        with files.new_file(path) as temporary:
            temporary.write_bytes(b"half")
            raise SessionError("no")

    with pytest.raises(SessionError):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
