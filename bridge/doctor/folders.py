"""Checks of folders: permissions, free space, SQLite, and treatment of file names."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
import unicodedata
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.doctor.findings import Finding
from bridge.intake.mounts import network_type

if TYPE_CHECKING:
    from collections.abc import Iterator

# A four-minute stereo bounce at 96 kHz takes about 1 GB as bounce, staged floats and stems.
COMFORTABLE_BYTES = 5 * 10**9
# Each bounce makes a folder and a handful of files.
COMFORTABLE_INODES = 10_000
# Usual limit of a file name's length; lower limits cut names that other systems keep.
COMMON_NAME_BYTES = 255


def watched_folder(folder: Path) -> Iterator[Finding]:
    """Check a folder for bounces."""
    if not folder.is_dir():
        yield Finding("folder", f"{folder} is not a folder: create it or name another", fine=False)
        return
    if not os.access(folder, os.R_OK | os.X_OK):
        yield Finding("folder", f"{folder} cannot be read: change its permissions", fine=False)
        return
    network = network_type(folder)
    how = f"on a network drive ({network}): it is scanned regularly, as with --poll"
    yield Finding("folder", f"{folder}{f': {how}' if network else ''}")


def writable_folder(name: str, folder: Path) -> Iterator[Finding]:
    """Check a folder for output: permission, free space and free inodes."""
    nearest = _nearest(folder)
    trouble = _trouble(nearest)
    if trouble:
        text = f"{folder}: {nearest} is not writable for you ({trouble})"
        yield Finding(name, f"{text}: change its permissions or name another folder", fine=False)
        return
    free_bytes = shutil.disk_usage(nearest).free
    little = free_bytes < COMFORTABLE_BYTES
    advice = "; may be too little for long bounces: free some" if little else ""
    quota = "" if os.name == "nt" else ", less if you have a quota"
    text = f"{folder}: {free_bytes / 1e9:.1f} GB free{quota}{advice}"
    yield Finding(name, text, warn=little)
    inodes = os.statvfs(nearest) if hasattr(os, "statvfs") else None
    if inodes and inodes.f_files and inodes.f_favail < COMFORTABLE_INODES:
        advice = "remove some, or name another folder"
        yield Finding(
            name, f"{nearest}: room for {inodes.f_favail} files only: {advice}", warn=True
        )


def database(state_dir: Path) -> Iterator[Finding]:
    """Check the ledger's folder, and SQLite with a write-ahead log in it."""
    findings = tuple(writable_folder("ledger", state_dir))
    yield from findings
    if not all(finding.fine for finding in findings):
        return
    version = f"SQLite {sqlite3.sqlite_version}"
    network = network_type(state_dir)
    if network:
        text = f"{version} on a network drive ({network}), where locks are not reliable"
        yield Finding("ledger", f"{text}: set STEMBRIDGE_STATE_DIR to a local folder", warn=True)
        return
    try:
        with (
            _trial_folder(_nearest(state_dir)) as folder,
            closing(sqlite3.connect(folder / "trial.sqlite3")) as db,
        ):
            mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            db.execute("CREATE TABLE trial (x)")
    except (OSError, sqlite3.Error) as error:
        text = f"{version} cannot work in {state_dir} ({error}): name another folder"
        yield Finding("ledger", text, fine=False)
        return
    wal = mode == "wal"
    advice = "" if wal else "; `status` may have to wait for a service: use a local folder"
    yield Finding("ledger", f"{version}, journal {mode}{advice}", warn=not wal)


def file_names(folder: Path) -> Iterator[Finding]:
    """Check the treatment of file names by the stems' file system."""
    nearest = _nearest(folder)
    network = network_type(nearest)
    if network:
        yield Finding("stems", f"on a network drive ({network}): publishing may take longer")
    try:
        with _trial_folder(nearest) as trial:
            habits = tuple(_habits(trial))
    except OSError:
        return  # not writable, which another finding reports
    except UnicodeEncodeError:  # the locale's encoding lacks accents
        encoding = sys.getfilesystemencoding()
        text = f"the locale's encoding is {encoding}, without accents: set a UTF-8 locale"
        yield Finding("names", text, warn=True)
        return
    longest_bytes = _longest_name_bytes(nearest)
    short = longest_bytes < COMMON_NAME_BYTES
    advice = ": keep the names of bounces short" if short else ""
    text = "; ".join((f"up to {longest_bytes} bytes{advice}", *habits))
    yield Finding("file names", text, warn=short)


def _habits(folder: Path) -> Iterator[str]:
    (folder / "case").touch()
    if (folder / "CASE").exists():
        yield "capitals make no difference (names that differ in nothing else get a number)"
    composed = unicodedata.normalize("NFC", "é")
    (folder / composed).touch()
    if (folder / unicodedata.normalize("NFD", "é")).exists():
        yield "accents are one letter however they are written"
    elif composed not in {path.name for path in folder.iterdir()}:
        yield "accents are rewritten"


def _longest_name_bytes(folder: Path) -> int:
    if not hasattr(os, "pathconf"):
        return COMMON_NAME_BYTES
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except OSError:
        return COMMON_NAME_BYTES


def _trouble(folder: Path) -> str | None:
    """Reason why a folder is not writable, or None; tested by writing, for read-only disks."""
    try:
        with _trial_folder(folder):
            return None
    except OSError as error:
        return error.strerror or type(error).__name__


@contextmanager
def _trial_folder(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=".stembridge-doctor-", dir=folder) as made:
        yield Path(made)


def _nearest(folder: Path) -> Path:
    """The folder itself, or its nearest existing parent."""
    # Unlike Path.exists, this is False instead of raising for an unreadable folder.
    return next(p for p in (folder, *folder.parents) if os.path.exists(p))  # noqa: PTH110
