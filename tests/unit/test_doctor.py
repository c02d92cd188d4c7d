"""`doctor` names what could bite, each on one line with what to do."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psutil
import pytest

from bridge.config import DEFAULT_MODEL, resolve
from bridge.doctor import examine, folders, limits, machine
from tests.support import require

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bridge.config import Settings
    from bridge.doctor import Finding


def test_a_locale_without_accents_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> list[str]:
        raise UnicodeEncodeError("ascii", "é", 0, 1, "no")

    monkeypatch.setattr(folders, "_habits", refuse)
    assert "set a UTF-8 locale" in warning(folders.file_names(tmp_path), "names")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    nothing = {"STEMBRIDGE_CONFIG": str(tmp_path / "no such file.yaml")}
    return resolve({"state_dir": tmp_path / "state"}, nothing).settings


def warning(findings: Iterable[Finding], name: str) -> str:
    """The one finding of that name that is not plain good news."""
    (found,) = [f for f in findings if f.name == name and f.mark != "ok"]
    assert "\n" not in found.text
    return f"{found.mark} {found.text}"


def test_every_check_has_its_line(settings: Settings, tmp_path: Path) -> None:
    findings = examine(settings, tmp_path)
    names = {finding.name for finding in findings}
    assert names >= {
        *("stembridge", "folder", "events", "torch", "weights", "pedalboard", "soundfile"),
        *("av", "cores", "memory", "ledger", "weights cache", "stems", "file names", "clock"),
        *("preset", "your presets", "plugins"),
    }
    if os.name == "posix":
        assert names >= {"open files", "file size"}
    for finding in findings:
        assert len(finding.text.splitlines()) == 1
        assert finding.text[-1] != "."
    assert list(tmp_path.iterdir()) == []  # looking leaves nothing behind


@pytest.mark.skipif(os.name == "nt", reason="needs limits of processes")
def test_limits_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
    findings = tuple(limits.process_limits())
    assert "raise `ulimit -n` to 256" in warning(findings, "open files")
    assert "raise `ulimit -f`" in warning(findings, "file size")
    unlimited = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _: (unlimited, unlimited))
    assert {f.text for f in limits.process_limits()} == {"unlimited"}
    assert {f.mark for f in limits.process_limits()} == {"ok"}


def test_limits_of_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not limits._INOTIFY.exists():
        pytest.skip("needs inotify")
    monkeypatch.setattr(limits, "_INOTIFY", tmp_path)
    assert "`watch --poll` works all the same" in warning(limits.events(), "events")
    for name in ("max_user_watches", "max_user_instances", "max_queued_events"):
        (tmp_path / name).write_text("8\n")
    findings = tuple(limits.events())
    assert "raise fs.inotify.max_user_watches" in warning(findings, "events")
    assert "raise fs.inotify.max_user_instances" in warning(findings, "event users")
    assert "raise fs.inotify.max_queued_events" in warning(findings, "event queue")


def test_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=5e8))
    text = warning(machine.memory(DEFAULT_MODEL), "memory")
    assert text.startswith("-- 0.5 GB available, 1.7 GB needed by spleeter:2stems; close")


def test_the_tightest_control_group_counts(tmp_path: Path) -> None:
    """As the kernel lays them out (cgroups v2): the root has no limit, `max` is none."""
    own = tmp_path / "user.slice" / "daw.scope"
    own.mkdir(parents=True)
    membership = tmp_path / "cgroup"
    membership.write_text("0::/user.slice/daw.scope\n")
    assert machine.cgroup_left_bytes(tmp_path, membership) is None
    for group, limit, used in ((own, "max", "5"), (own.parent, "3000", "1000")):
        (group / "memory.max").write_text(f"{limit}\n")
        (group / "memory.current").write_text(f"{used}\n")
    assert machine.cgroup_left_bytes(tmp_path, membership) == 2000
    (own / "memory.max").write_text("505\n")
    assert machine.cgroup_left_bytes(tmp_path, membership) == 500
    assert machine.cgroup_left_bytes(tmp_path, tmp_path / "none") is None


def test_a_control_group_that_is_tight_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cgroup_left_bytes", lambda *_: 1e8)
    text = warning(machine.memory(DEFAULT_MODEL), "memory")
    assert text.startswith("-- 0.1 GB left in this control group")


def test_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    assert "may be too little" in warning(folders.writable_folder("disk", tmp_path), "disk")


def test_a_file_system_without_room_for_more_files(tmp_path: Path) -> None:
    with require.tmpfs(tmp_path / "small", 50_000_000, "nr_inodes=500") as place:
        findings = [f for f in folders.writable_folder("disk", place) if "room for" in f.text]
        assert "files only: remove some" in warning(findings, "disk")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with require.read_only(tmp_path) as place:
        for findings in (
            folders.writable_folder("disk", place / "a" / "b"),
            folders.database(place),
        ):
            (finding,) = findings
            assert finding.mark == "!!"
            assert "(Read-only file system): change its permissions or" in finding.text


def test_a_folder_that_is_none_or_on_a_network_drive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "is not a folder" in warning(folders.watched_folder(tmp_path / "none"), "folder")
    monkeypatch.setattr(folders, "network_type", lambda _: "nfs4")
    (finding,) = folders.watched_folder(tmp_path)
    assert "on a network drive (nfs4): it is scanned regularly" in finding.text
    text = warning(folders.database(tmp_path), "ledger")
    assert "set STEMBRIDGE_STATE_DIR to a local folder" in text


def test_a_place_where_sqlite_has_no_write_ahead_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Without(sqlite3.Connection):
        def execute(self, text: str, *parameters: object) -> sqlite3.Cursor:  # type: ignore[override]
            return super().execute(text.replace("WAL", "DELETE"), *parameters)

    original = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path: original(path, factory=Without))
    text = warning(folders.database(tmp_path), "ledger")
    assert "journal delete; `status` may have to wait" in text


def test_a_file_system_that_ignores_capitals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (finding,) = folders.file_names(tmp_path)
    assert finding.text.startswith("up to 255 bytes")
    monkeypatch.setattr(os, "pathconf", lambda *_: 143)  # as eCryptfs has it
    assert "up to 143 bytes: keep the names" in warning(folders.file_names(tmp_path), "file names")
    if not (tmp_path / "x").exists():
        monkeypatch.setattr(type(tmp_path), "exists", lambda _: True)
        (finding,) = folders.file_names(tmp_path)
        assert "capitals make no difference" in finding.text
        assert "accents are one letter" in finding.text


def test_a_clock_that_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = tmp_path / "ledger.sqlite3"
    assert limits.clock(ledger).mark == "ok"
    ledger.touch()
    assert limits.clock(ledger).mark == "ok"
    later_s = time.time() + 3600
    os.utime(ledger, (later_s, later_s))
    assert "the ledger was written later than that" in limits.clock(ledger).text
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    assert "not set" in limits.clock(ledger).text
