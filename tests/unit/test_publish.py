"""Atomic publication, whatever step fails or is interrupted."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bridge.errors import OutputError
from bridge.publish.transaction import (
    MANIFEST,
    STAGING,
    UNFINISHED,
    changed_sessions,
    publish,
    publishing,
    staging,
    sweep,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ARDOUR = "mix (Ardour)/mix (Ardour).ardour"
SESSIONS = (".rpp", ".ardour", ".dawproject")
OLD = {
    "mix - vocals.wav": b"old vocals",
    "mix - accompaniment.wav": b"old rest",
    "mix.rpp": b"old project",
    ARDOUR: b"old session",
}
NEW = {
    "mix - vocals.wav": b"new vocals",
    "mix - karaoke.wav": b"new karaoke",
    "mix.rpp": b"new project",
    "mix.dawproject": b"new zip",
}
USERS = {"notes.txt": b"mine", "mix - vocals.wav.reapeaks": b"peaks", "mix.rpp-bak": b"older"}

#: Everything by which `publish` changes the disk.
CALLS = ((Path, "mkdir"), (Path, "unlink"), (Path, "replace"), (Path, "open"), (os, "fsync"))


class Refused(OSError):
    """What the file system says."""


class Stopped(BaseException):
    """The process ends here: nothing of `publish` runs any more."""


def manifest(files: dict[str, bytes]) -> dict[str, Any]:
    sessions = [name for name in files if name.endswith(SESSIONS)]
    return {
        "generator": "stembridge",
        "stems": [{"path": name} for name in files if name not in sessions],
        "sessions": [
            {"path": name, "sha256": hashlib.sha256(files[name]).hexdigest()} for name in sessions
        ],
    }


def put(out_dir: Path, files: dict[str, bytes]) -> Path:
    """Publishes a set in `out_dir/mix`, but for session files in whose place is work."""
    with staging(out_dir) as folder:
        stage(folder, files)
        mine = changed_sessions(manifest(files), out_dir / "mix")
        ours = {name: data for name, data in files.items() if name not in mine}
        return publish(folder, manifest(ours), out_dir / "mix")


def stage(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
        if name == ARDOUR:
            (folder / name).with_name("peaks").mkdir()


def held(folder: Path) -> dict[str, bytes]:
    """Every file, and every folder without one."""
    found = [path for path in folder.rglob("*") if path.is_file() or not any(path.iterdir())]
    contents = {path: path.read_bytes() if path.is_file() else b"" for path in found}
    return {path.relative_to(folder).as_posix(): data for path, data in contents.items()}


def is_whole(folder: Path, files: dict[str, bytes]) -> bool:
    """The manifest names exactly these files and they have these contents."""
    found = held(folder)
    if json.loads(found.pop(MANIFEST)) != manifest(files):
        return False
    return all(found[name] == data for name, data in files.items())


def fail_at(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> list[str]:
    """The call of that number raises; returns the calls so far, which grows."""
    calls: list[str] = []

    def guard(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            if len(calls) == number + 1:
                raise error
            return original(*args, **kwargs)

        return guarded

    for owner, name in CALLS:
        monkeypatch.setattr(owner, name, guard(name, getattr(owner, name)))
    return calls


def replace_and_fail(out_dir: Path, number: int, error: BaseException) -> bool:
    """OLD lies there; NEW is to replace it and is stopped at that step. False: so many are none."""
    put(out_dir, OLD)
    for name, data in USERS.items():
        (out_dir / "mix" / name).write_bytes(data)
    with pytest.MonkeyPatch.context() as patch, staging(out_dir) as folder:
        stage(folder, NEW)
        calls = fail_at(patch, number, error)
        try:
            publish(folder, manifest(NEW), out_dir / "mix")
        except (OutputError, Stopped) as raised:
            heard: BaseException = raised
        else:
            assert len(calls) <= number, f"{calls[number]} failed and nobody heard of it"
            return False
    if isinstance(error, Stopped):
        return heard is error
    assert isinstance(heard, OutputError)
    assert "No space left on device" in str(heard)
    assert heard.retryable
    return True


@pytest.mark.parametrize("error", [Refused(28, "No space left on device"), Stopped()], ids=type)
def test_a_manifest_means_a_whole_set(tmp_path: Path, error: BaseException) -> None:
    """Stopped at each step in turn, then tried again."""
    found = {"old": 0, "none": 0, "new": 0}
    for number in itertools.count():
        out_dir = tmp_path / str(number)
        folder = out_dir / "mix"
        if not replace_and_fail(out_dir, number, error):
            break
        if not (folder / MANIFEST).exists():
            found["none"] += 1
        else:
            assert is_whole(folder, OLD) or is_whole(folder, NEW), number
            found["old" if is_whole(folder, OLD) else "new"] += 1
        assert not (out_dir / STAGING).exists()
        put(out_dir, NEW)  # the next attempt
        assert is_whole(folder, NEW)
        assert held(folder).keys() == NEW.keys() | USERS.keys() | {MANIFEST}
        assert {name: held(folder)[name] for name in USERS} == USERS
    assert min(found.values()) >= 2, found  # it was stopped before, between and after


def test_the_manifest_is_the_first_to_go_and_the_last_to_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, OLD)
    folder = tmp_path / "mix"
    seen: list[bool] = []
    original = Path.replace

    def watched(self: Path, target: Path) -> Path:
        if target.suffix == ".wav":
            seen.append((folder / MANIFEST).exists())
        if target.name == MANIFEST:
            assert {n: d for n, d in held(folder).items() if n[0] != "."} == NEW
        return original(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    assert put(tmp_path, NEW) == folder / MANIFEST
    assert seen == [False, False]


def test_files_are_synced_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each manifest's bytes before its name, each folder after its names."""
    log: list[str] = []
    replace, fsync = Path.replace, os.fsync

    def fsynced(descriptor: int) -> None:
        log.append("sync " + Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def replaced(self: Path, target: Path) -> Path:
        log.append("name " + target.name)
        return replace(self, target)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc to tell what is synced")
    monkeypatch.setattr(os, "fsync", fsynced)
    monkeypatch.setattr(Path, "replace", replaced)
    put(tmp_path, {"mix - vocals.wav": b""})
    at = log.index("name " + MANIFEST)
    assert log[at - 1] == "sync " + MANIFEST
    assert log[at + 1] == "sync mix"
    assert log[log.index("name mix - vocals.wav") + 1] == "sync mix"


@pytest.mark.parametrize(
    "text",
    [
        *("", "not JSON", "[]", '{"stems": 3}', '{"stems": [{"name": "x"}]}'),
        json.dumps({"stems": [{"path": "../outside.txt"}, {"path": "/tmp/x"}, {"path": ".."}]}),
    ],
)
def test_a_manifest_that_is_not_ours_names_nothing_to_remove(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "mix"
    folder.mkdir()
    (tmp_path / "outside.txt").write_text("keep")
    (folder / MANIFEST).write_text(text)
    (folder / UNFINISHED).write_text(text)
    put(tmp_path, NEW)
    assert (tmp_path / "outside.txt").read_text() == "keep"
    assert is_whole(folder, NEW)


def test_the_staging_folder_is_removed(tmp_path: Path) -> None:
    def job() -> None:
        with staging(tmp_path) as folder:
            (folder / "half.wav").write_bytes(b"x")
            assert folder.parent == tmp_path / STAGING
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        job()
    assert list(tmp_path.iterdir()) == []


def test_two_jobs_stage_beside_each_other(tmp_path: Path) -> None:
    with staging(tmp_path) as one:
        with staging(tmp_path) as other:
            assert one != other
        assert one.is_dir()
        assert not other.exists()


def test_leftovers_are_removed_with_the_next_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while a drive reports errors; the process lives on, so no sweep takes its folder."""
    with monkeypatch.context() as patch:

        def refuse(*_: object, **__: object) -> None:
            raise Refused(5, "Input/output error")

        with staging(tmp_path) as left:
            (left / "half.wav").write_bytes(b"x")
            patch.setattr(os, "unlink", refuse)
            patch.setattr(os, "rmdir", refuse)
    assert (left / "half.wav").exists()
    assert sweep(tmp_path) == 0
    with staging(tmp_path):
        assert not left.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="there the lock's file goes with the lock")
def test_sweep_removes_locks_that_are_not_held(tmp_path: Path) -> None:
    forgotten = tmp_path / STAGING / "0123456789abcdef.lock"
    with publishing(tmp_path, tmp_path / "mix"):
        (held_lock,) = (tmp_path / STAGING).iterdir()
        forgotten.touch()
        assert sweep(tmp_path) == 0
        assert not forgotten.exists()
        assert held_lock.exists()
    forgotten.parent.mkdir()
    forgotten.touch()
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="no handle of a folder to sync")
def test_a_file_system_that_cannot_sync_folders_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def refused(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise Refused(errno.EINVAL, "Invalid argument")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refused)
    put(tmp_path / "out", NEW)
    assert is_whole(tmp_path / "out" / "mix", NEW)


def test_staging_where_nothing_can_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "Stems").write_text("a file")
    with pytest.raises(OutputError, match="stembridge retry"), staging(tmp_path / "Stems"):
        pass


def test_the_sweep_takes_only_the_folders_of_dead_processes_of_this_host(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host = socket.gethostname()
    dead = f"{host}-{ended.pid}-0123abcd"
    another = f"{host}-{os.getpid()}-0123abcd"  # of an earlier process with our number
    with staging(tmp_path) as mine:
        at_work = mine.name
    kept = {
        at_work,
        f"elsewhere-{ended.pid}-0123abcd",  # we cannot know
        f"{host}-x-0123abcd",  # not our name
    }
    for name in (dead, another, *kept):
        (tmp_path / STAGING / name).mkdir(parents=True)
        (tmp_path / STAGING / name / "vocals.separated").write_bytes(b"x")
    assert sweep(tmp_path) == 2
    assert {path.name for path in (tmp_path / STAGING).iterdir()} == kept
    assert sweep(tmp_path) == 0
    assert sweep(tmp_path / "nothing here") == 0


def test_the_sweep_leaves_the_process_of_another_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_yours(pid: int, number: int) -> None:
        raise PermissionError

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()  # nothing to be seen of it in /proc, as where those of others are hidden
    folder = tmp_path / STAGING / f"{socket.gethostname()}-{ended.pid}-0123abcd"
    folder.mkdir(parents=True)
    monkeypatch.setattr(os, "kill", not_yours)
    assert sweep(tmp_path) == 0
    assert folder.is_dir()


def test_names_that_are_no_text_come_back_from_the_manifest(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 - vocals.wav")
    with staging(tmp_path) as folder:
        (folder / name).write_bytes(b"x")
        path = publish(folder, manifest({name: b"x"}), tmp_path / "mix")
    path.read_bytes().decode("utf-8")  # it is valid UTF-8 all the same
    assert json.loads(path.read_text(encoding="utf-8"))["stems"] == [{"path": name}]


# --- session files, into which a user saves ---


SAVED = b"old project, and an hour of work"


def test_an_ardour_session_brings_its_folders_and_takes_them_along(tmp_path: Path) -> None:
    put(tmp_path, OLD)
    folder = tmp_path / "mix"
    assert is_whole(folder, OLD)
    assert (folder / "mix (Ardour)" / "peaks").is_dir()
    put(tmp_path, NEW)
    assert not (folder / "mix (Ardour)").exists()


def test_files_of_ardour_stay(tmp_path: Path) -> None:
    put(tmp_path, OLD)
    peaks = tmp_path / "mix" / "mix (Ardour)" / "peaks" / "vocals.peak"
    peaks.write_bytes(b"peaks")
    put(tmp_path, NEW)
    assert [path.name for path in peaks.parent.parent.iterdir()] == ["peaks"]
    assert peaks.read_bytes() == b"peaks"


@pytest.mark.parametrize("name", ["mix.rpp", ARDOUR])
def test_a_session_with_work_in_it_is_neither_replaced_nor_removed(
    tmp_path: Path, name: str
) -> None:
    put(tmp_path, OLD)
    folder = tmp_path / "mix"
    (folder / name).write_bytes(SAVED)
    assert changed_sessions(manifest(OLD), folder) == {name}
    for files in (NEW, OLD, NEW):  # also when no manifest speaks of it any more
        put(tmp_path, files)
        assert (folder / name).read_bytes() == SAVED
        listed = json.loads((folder / MANIFEST).read_text())["sessions"]
        assert name not in [entry["path"] for entry in listed]
    (folder / name).unlink()
    put(tmp_path, OLD)
    assert is_whole(folder, OLD)


def test_a_file_that_was_there_first_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "mix").mkdir()
    (tmp_path / "mix" / "mix.rpp").write_bytes(b"a project of that name")
    put(tmp_path, NEW)
    assert (tmp_path / "mix" / "mix.rpp").read_bytes() == b"a project of that name"


def test_a_folder_in_place_of_a_session_file_stays(tmp_path: Path) -> None:
    """A folder in a session's place, and a file where a session's folder would be."""
    folder = tmp_path / "mix"
    (folder / "mix.rpp").mkdir(parents=True)
    (folder / "mix (Ardour)").write_bytes(b"notes")
    assert changed_sessions(manifest(OLD), folder) == {"mix.rpp", ARDOUR}
    put(tmp_path, OLD)
    assert json.loads((folder / MANIFEST).read_text())["sessions"] == []
    assert (folder / "mix.rpp").is_dir()
    assert (folder / "mix (Ardour)").read_bytes() == b"notes"


def test_identical_content_counts_as_unmodified(tmp_path: Path) -> None:
    (tmp_path / "mix").mkdir()
    (tmp_path / "mix" / "mix.rpp").write_bytes(NEW["mix.rpp"])
    assert changed_sessions(manifest(NEW), tmp_path / "mix") == set()
    put(tmp_path, NEW)
    assert is_whole(tmp_path / "mix", NEW)


def test_work_that_is_saved_between_two_deaths_is_kept(tmp_path: Path) -> None:
    """Stopped at each step; then the user saves; then the next attempt."""
    for number in itertools.count():
        out_dir = tmp_path / str(number)
        folder = out_dir / "mix"
        if not replace_and_fail(out_dir, number, Stopped()):
            break
        (folder / "mix.rpp").write_bytes(SAVED)
        put(out_dir, NEW)
        assert (folder / "mix.rpp").read_bytes() == SAVED, number
        assert held(folder).keys() == NEW.keys() | USERS.keys() | {MANIFEST}
    assert number > 10


@pytest.mark.parametrize(
    "path",
    ["../outside.txt", "/tmp/x", "a/../../outside.txt", "a/b/c", "..", "", 7, None, "C:/x", "a\\b"],
)
def test_a_session_outside_the_folder_is_not_known(tmp_path: Path, path: object) -> None:
    folder = tmp_path / "mix"
    folder.mkdir()
    (tmp_path / "outside.txt").write_bytes(b"keep")
    sha = hashlib.sha256(b"keep").hexdigest()
    for name in (MANIFEST, UNFINISHED):
        entry = {"path": path, "sha256": sha}
        (folder / name).write_text(json.dumps({"stems": [], "sessions": [entry, 3]}))
    put(tmp_path, NEW)
    assert (tmp_path / "outside.txt").read_bytes() == b"keep"
    assert is_whole(folder, NEW)
