"""What lies in the watched folder: the truth, whatever events were lost.

A bounce is a regular file with an audio suffix. Links, output folders and any folder that carries
a manifest of ours are left out, wherever the user copied them; so is what bears a name of
`exclusions`: hidden, temporary, in a recycle bin.
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
        # Videos, for their sound.
        *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".wmv", ".asf", ".ogv"),
        *(".mts", ".m2ts", ".m2t"),
    }
)

#: No session is nested as deep; a loop made with bind mounts is.
MAX_DEPTH = 32

# `generator` is among the manifest's first keys.
_MANIFEST = "manifest.json"
_MANIFEST_START_BYTES = 4096
_OURS = re.compile(rb'"generator"\s*:\s*"stembridge\b', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file as the walk found it: size in bytes, modification time in ns."""

    path: Path
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A folder that the walk could not look into, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Scan:
    """One walk over the watched folder.

    missing: the watched folder itself is not there (an unplugged drive), which says nothing of its
    files.
    root: device and inode of the watched folder, None when missing.
    others: files that cannot be bounces by their names, without excluded ones; see `not_read`.
    online_only: bounces by their names whose content is not on this machine. links: how many links,
    which are not followed.
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
    """Whether the name is the one that we give to stems: `<folder>/<folder> - <stem>.wav`.

    Such a file may be a stem set that is being copied and whose manifest has not arrived yet.
    """
    return path.name.startswith(f"{path.parent.name} - ")


def is_output_folder(folder: Path) -> bool:
    """Whether `folder` holds a manifest that we wrote, so that its audio is our own output."""
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
    """A watched folder and the folders in it that are not to be entered."""

    folder: Path
    output_dirs: tuple[Path, ...] = ()
    max_depth: int = MAX_DEPTH
    _output_ids: frozenset[tuple[int, int]] = field(default=frozenset(), init=False)
    _root: tuple[int, int] | None = field(default=None, init=False)

    def scan(self) -> Scan:
        """Walks the whole watched folder. Never raises: what cannot be read is reported."""
        try:
            self._learn_outputs()
        except OSError as error:
            return Scan(missing=True, unreadable=(_unreadable(self.folder, error),))
        return self._walk(self.folder, depth=0)

    def scan_below(self, folder: Path) -> Scan:
        """Walks one folder inside the watched one, if it would be entered at all."""
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
        """Whether the walk would enter `folder` and everything above it."""
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
        """Known by inode too: one folder can be spelled in several ways (links, letter case)."""
        root = self.folder.stat()
        self._root = (root.st_dev, root.st_ino)
        found = set()
        for output in self.output_dirs:
            try:
                status = output.stat()
            except OSError:
                continue
            found.add((status.st_dev, status.st_ino))
        # Stems may go right beside the bounces; then only the manifests tell them apart.
        self._output_ids = frozenset(found - {self._root})

    def other(self, path: Path) -> FoundFile | None:
        """A file at `path` that a scan would list among the others, if there is one."""
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
    """What a walk has found so far."""

    files: list[FoundFile] = field(default_factory=list)
    others: list[FoundFile] = field(default_factory=list)
    online_only: list[FoundFile] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    links: int = 0

    def add(self, path: Path, status: os.stat_result) -> None:
        """Anything but a folder that is entered, by a name that is not excluded."""
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
        """All of it, sorted by path."""
        files, others, online = (
            tuple(sorted(found, key=lambda one: one.path))
            for found in (self.files, self.others, self.online_only)
        )
        return Scan(files, tuple(self.unreadable), False, root, others, online, self.links)


def scan(folder: Path, *, output_dirs: Iterable[Path] = ()) -> Scan:
    """The bounces in `folder` and below, sorted by path, without those in `output_dirs`.

    Never raises: a missing folder and unreadable sub-folders are reported in the result.
    """
    return FolderScanner(folder, tuple(output_dirs)).scan()


def _entries(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Names and statuses of what lies in a folder and does not vanish; links are seen as links."""
    with os.scandir(folder) as listing:
        for entry in listing:
            with contextlib.suppress(FileNotFoundError):
                yield entry.name, entry.stat(follow_symlinks=False)


def _is_here(status: os.stat_result) -> bool:
    """Whether it is a regular file with its content on this machine."""
    return stat.S_ISREG(status.st_mode) and not is_online_only(status)


def _unreadable(folder: Path, error: OSError) -> Unreadable:
    return Unreadable(folder, error.strerror or str(error))
