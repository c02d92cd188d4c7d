"""Scan of a watched folder for bounces, independent of file system events.

A bounce is a regular file with an audio suffix. Links, output folders, folders with a Stembridge
manifest (also copies of them) and names in `exclusions` (hidden, temporary, recycle bins) are
skipped.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridge import errors
from bridge.intake.exclusions import is_excluded, is_online_only
from bridge.source import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

AUDIO_SUFFIXES = frozenset(
    {
        *(".wav", ".wave", ".bwf", ".rf64", ".w64"),
        *(".aif", ".aiff", ".aifc", ".caf"),
        *(".flac", ".wv", ".ogg", ".oga", ".opus", ".spx", ".mp3", ".mp2", ".mpga"),
        *(".m4a", ".m4b", ".aac", ".adts", ".ac3", ".eac3", ".ec3", ".wma", ".amr", ".awb", ".mka"),
        # Videos, for their audio.
        *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".wmv", ".asf", ".ogv"),
        *(".mts", ".m2ts", ".m2t"),
    }
)

#: Deeper than any session is nested; reached by a loop of bind mounts.
MAX_DEPTH = 32

# `generator` is among the manifest's first keys.
_MANIFEST = "manifest.json"
_MANIFEST_START_BYTES = 4096
_OURS = re.compile(rb'"generator"\s*:\s*"stembridge\b', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file found by a scan: path, size in bytes, modification time in ns."""

    path: Path
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A folder that could not be read, and the reason."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Scan:
    """Result of one scan.

    Attributes:
        files: bounces, sorted by path.
        unreadable: folders that could not be read.
        missing: the watched folder does not exist (an unplugged drive); its files may.
        root: device and inode of the watched folder; None if missing.
        others: files that cannot be bounces by name, without excluded ones; see `not_read`.
        online_only: bounces whose content is only in a cloud.
        links: number of links, which are not followed.
    """

    files: tuple[FoundFile, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    missing: bool = False
    root: tuple[int, int] | None = None
    others: tuple[FoundFile, ...] = ()
    online_only: tuple[FoundFile, ...] = ()
    links: int = 0


def is_bounce_name(name: str) -> bool:
    """Whether a file of this name can be a bounce."""
    return os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES and not is_excluded(name)  # noqa: PTH122


def looks_published(path: Path) -> bool:
    """Whether the name has the form of published stems: `<folder>/<folder> - <stem>.wav`.

    Such a file may belong to a stem set that is being copied, its manifest last.
    """
    return path.name.startswith(f"{path.parent.name} - ")


def is_output_folder(folder: Path) -> bool:
    """Whether `folder` holds a manifest of Stembridge, so that its audio is output."""
    try:
        descriptor = open_regular(folder / _MANIFEST)
    except (OSError, errors.NotAudio):
        return False
    try:
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            return _OURS.search(file.read(_MANIFEST_START_BYTES)) is not None
    except OSError:
        return False


@dataclass
class FolderScanner:
    """Scans a watched folder, except the output folders in it."""

    folder: Path
    output_dirs: tuple[Path, ...] = ()
    max_depth: int = MAX_DEPTH
    _output_ids: frozenset[tuple[int, int]] = field(default=frozenset(), init=False)
    _root: tuple[int, int] | None = field(default=None, init=False)

    def scan(self) -> Scan:
        """Scan the whole watched folder. Never raises: unreadable folders are in the result."""
        try:
            self._learn_outputs()
        except OSError as error:
            return Scan(missing=True, unreadable=(_unreadable(self.folder, error),))
        return self._walk(self.folder, depth=0)

    def scan_below(self, folder: Path) -> Scan:
        """Scan one folder inside the watched one, if a full scan would enter it."""
        if not self._reaches(folder):
            return Scan()
        return self._walk(folder, depth=len(folder.relative_to(self.folder).parts))

    def admits_folder(self, path: Path) -> bool:
        """Whether a scan would enter a folder at `path`, also when it is no longer there."""
        return not is_excluded(path.name) and self._reaches(path.parent)

    def admits(self, path: Path) -> bool:
        """Whether a scan would report a file at `path`, by its name and the folders above it."""
        return is_bounce_name(path.name) and self._reaches(path.parent)

    def _reaches(self, folder: Path) -> bool:
        """Whether a scan would enter `folder` and everything above it."""
        above = [step for step in (folder, *folder.parents) if self.folder in step.parents]
        if (not above and folder != self.folder) or len(above) > self.max_depth:
            return False
        try:
            self._learn_outputs()
            entered = all(self._enters(step.name, step, step.lstat()) for step in above)
        except OSError:
            return False
        return entered and not any(is_output_folder(step) for step in (self.folder, *above))

    def _enters(self, name: str, path: Path, status: os.stat_result) -> bool:
        return (
            stat.S_ISDIR(status.st_mode)
            and not is_excluded(name)
            and (status.st_dev, status.st_ino) not in self._output_ids
            and path not in self.output_dirs
        )

    def _learn_outputs(self) -> None:
        """Read the inodes of the output folders, whose paths may be spelled in several ways."""
        root = self.folder.stat()
        self._root = (root.st_dev, root.st_ino)
        found = set()
        for output in self.output_dirs:
            try:
                status = output.stat()
            except OSError:
                continue
            found.add((status.st_dev, status.st_ino))
        # Stems may go directly into the watched folder; then only manifests mark output.
        self._output_ids = frozenset(found - {self._root})

    def other(self, path: Path) -> FoundFile | None:
        """The file at `path` if a scan would list it in `others`."""
        if is_excluded(path.name) or is_bounce_name(path.name):
            return None
        try:
            status = path.lstat()
        except OSError:
            return None
        found = FoundFile(path, status.st_size, status.st_mtime_ns)
        return found if _is_here(status) and self._reaches(path.parent) else None

    def _walk(self, top: Path, depth: int) -> Scan:
        found = _Findings()
        pending = [(top, depth)]
        while pending:
            folder, level = pending.pop()
            if level > self.max_depth:
                reason = f"nested deeper than {self.max_depth} folders"
                found.unreadable.append(Unreadable(folder, reason))
                continue
            try:
                entries = list(_entries(folder))
            except (FileNotFoundError, NotADirectoryError) as error:
                if folder == self.folder:
                    return Scan(missing=True, unreadable=(_unreadable(folder, error),))
                continue  # gone since its parent was read
            except OSError as error:
                found.unreadable.append(_unreadable(folder, error))
                continue
            if any(name == _MANIFEST for name, _ in entries) and is_output_folder(folder):
                continue
            for name, status in entries:
                path = folder / name
                if self._enters(name, path, status):
                    pending.append((path, level + 1))
                elif not is_excluded(name):
                    found.add(path, status)
        return found.scan(self._root)


@dataclass
class _Findings:
    """Files found so far in a scan."""

    files: list[FoundFile] = field(default_factory=list)
    others: list[FoundFile] = field(default_factory=list)
    online_only: list[FoundFile] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    links: int = 0

    def add(self, path: Path, status: os.stat_result) -> None:
        """Add an entry that is not excluded and not a folder to enter."""
        self.links += stat.S_ISLNK(status.st_mode)
        if not stat.S_ISREG(status.st_mode):
            return
        is_bounce, is_here = is_bounce_name(path.name), not is_online_only(status)
        found = FoundFile(path, status.st_size, status.st_mtime_ns)
        if is_here:
            (self.files if is_bounce else self.others).append(found)
        elif is_bounce:
            self.online_only.append(found)

    def scan(self, root: tuple[int, int] | None) -> Scan:
        """The result, sorted by path."""
        files, others, online = (
            tuple(sorted(found, key=lambda one: one.path))
            for found in (self.files, self.others, self.online_only)
        )
        return Scan(files, tuple(self.unreadable), False, root, others, online, self.links)


def scan(folder: Path, *, output_dirs: Iterable[Path] = ()) -> Scan:
    """Find the bounces in `folder` and below, except in `output_dirs`.

    Never raises: a missing folder and unreadable sub-folders are in the result.
    """
    return FolderScanner(folder, tuple(output_dirs)).scan()


def _entries(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Name and status of each entry of a folder; links are not followed."""
    with os.scandir(folder) as listing:
        for entry in listing:
            with contextlib.suppress(FileNotFoundError):
                yield entry.name, entry.stat(follow_symlinks=False)


def _is_here(status: os.stat_result) -> bool:
    """Whether it is a regular file that is not online only."""
    return stat.S_ISREG(status.st_mode) and not is_online_only(status)


def _unreadable(folder: Path, error: OSError) -> Unreadable:
    return Unreadable(folder, error.strerror or str(error))
