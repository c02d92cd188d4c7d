"""What systems, NAS and sync programs leave in folders is no bounce; what users name alike is."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import cast

import pytest

from bridge.intake import intake, scan
from bridge.intake.exclusions import EXCLUSIONS, is_excluded, is_online_only, lies_in_excluded
from bridge.intake.scan import FolderScanner

# As they are met in the field; each with a file in it that has an audio suffix.
FOLDERS = (
    *("#recycle", "#Recycle", "@Recycle", "@recycle", "$RECYCLE.BIN", "$Recycle.Bin"),
    *("$RECYCLE.BIN/S-1-5-21-1-2-3-1001", "RECYCLER/S-1-5-21-1-2-3-1001", "RECYCLED"),
    *(".Trash", ".Trash-1000/files", ".Trash/1000/files", ".Trashes/501", "Network Trash Folder"),
    *(".recycle", ".Recycle.Bin", "#snapshot/GMT+01-2024.01.01-00.00.00"),
    *("@Recently-Snapshot/GMT+01_2024-01-01_0000", ".snapshot/daily", "~snapshot", ".snapshots/1"),
    *(".zfs/snapshot/auto", "@eaDir/Mix.wav", ".@__thumb", "System Volume Information"),
    *("lost+found", "Temporary Items", ".TemporaryItems", ".Spotlight-V100", ".fseventsd"),
    *(".stversions", ".stfolder", ".dropbox.cache", ".sync/Archive", ".tmp.drivedownload"),
    *(".tmp.driveupload", "Mix.wav.download", "x.tmp"),
)
FILES = (
    *("._Mix.wav", ".DS_Store", "Thumbs.db", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db"),
    *("desktop.ini", "Desktop.ini", "Icon\r", "~$Mix.wav", "~syncthing~Mix.wav.tmp", "Mix.wav~"),
    *(".Mix.wav.icloud", ".trashed-1700000000-Mix.wav", "Mix.wav.crdownload"),
)
# Users have folders like these.
ORDINARY = (
    *("Trash", "trash", "Recycle", "Recycled", "recycled", "Recycler", "recycle", "Recycle Bin"),
    *("snapshot", "Snapshots", "Lost+Found", "LOST+FOUND", "network trash folder", "#1 hits"),
    *("@home", "$100 bill", "temporary items", "Bin", "eaDir", "sync", "files", "#recycled"),
    *("System Volume", "Icon", "my $RECYCLE.BIN", "@Recycle 2", "Dropbox", "Backup", "Freeze"),
)


def put(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


@pytest.mark.parametrize("name", FOLDERS)
def test_the_walk_and_the_events_leave_a_folder_alone(tmp_path: Path, name: str) -> None:
    territory = FolderScanner(tmp_path)
    for inside in (f"{name}/old.wav", f"Song 1/{name}/old.wav", f"{name}/deep/er/old.wav"):
        path = put(tmp_path, inside)
        assert not territory.admits(path)  # as an event names it
        assert lies_in_excluded(PurePosixPath(inside))
    keep = put(tmp_path, "Song 1/keep.wav")
    found = territory.scan()
    assert [file.path for file in found.files] == [keep]
    assert territory.admits(keep)
    assert found.others == ()


@pytest.mark.parametrize("name", FILES)
def test_such_a_file_is_neither_a_bounce_nor_counted(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    found = scan.scan(tmp_path)
    assert (found.files, found.others) == ((), ())
    assert lies_in_excluded(PurePosixPath("Song 1", name))


@pytest.mark.parametrize("name", ORDINARY)
def test_a_folder_of_the_user_is_an_ordinary_one(tmp_path: Path, name: str) -> None:
    path = put(tmp_path, f"{name}/mix.wav")
    assert [file.path for file in scan.scan(tmp_path).files] == [path]
    assert FolderScanner(tmp_path).admits(path)
    assert not lies_in_excluded(PurePosixPath(name, "mix.wav"))


@pytest.mark.parametrize("name", ["#recycle", "$RECYCLE.BIN", ".Trash-1000", "lost+found", "~x"])
def test_the_folder_that_the_user_names_is_taken_whatever_its_name(
    tmp_path: Path, name: str
) -> None:
    path = put(tmp_path / name, "sub/mix.wav")
    assert [file.path for file in scan.scan(tmp_path / name).files] == [path]
    assert FolderScanner(tmp_path / name).admits(path)


def test_every_row_excludes_its_own_name_and_says_where_it_comes_from() -> None:
    for row in EXCLUSIONS:
        assert row.makes, row
        assert row.source, row
        assert is_excluded(row.pattern.replace("*", "x")), row
        assert is_excluded(row.pattern.replace("*", "")) or row.pattern == ".*", row
        other = row.pattern.replace("*", "x").swapcase()
        assert is_excluded(other) is (row.any_case or other.startswith(".")), row
    patterns = [row.pattern for row in EXCLUSIONS]
    assert len(set(patterns)) == len(patterns)


def status_of(path: Path, **more: int) -> os.stat_result:
    """A file's status as Windows or macOS would give it."""
    real = path.lstat()
    named = {name: getattr(real, name) for name in dir(real) if name.startswith("st_")}
    return cast("os.stat_result", SimpleNamespace(**named | more))


@pytest.mark.parametrize(
    "more",
    [
        {"st_file_attributes": 0x20 | 0x1000},  # ARCHIVE, OFFLINE
        {"st_file_attributes": 0x400000 | 0x400},  # RECALL_ON_DATA_ACCESS, REPARSE_POINT
        {"st_file_attributes": 0x40000},  # RECALL_ON_OPEN
        {"st_flags": 0x40000000 | 0x20},  # SF_DATALESS, UF_COMPRESSED
    ],
)
def test_a_file_that_is_online_only_is_left_in_the_cloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, int]
) -> None:
    path = put(tmp_path, "mix.wav")
    here, away = status_of(path, st_file_attributes=0x20, st_flags=0x20), status_of(path, **more)
    assert not is_online_only(here)
    assert is_online_only(away)
    for status, count in ((here, 1), (away, 0)):
        monkeypatch.setattr(scan, "_entries", lambda _, status=status: [("mix.wav", status)])
        assert len(scan.scan(tmp_path).files) == count
        with monkeypatch.context() as patch:
            patch.setattr(Path, "lstat", lambda _, status=status: status)
            assert (intake._file_state(path) is not None) is bool(count)
