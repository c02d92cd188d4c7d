"""From a staging folder to the place where the DAW looks, so that a stem set is whole or absent.

Every file is complete and synced before it is renamed; the manifest is the last to arrive and the
first to go. So a set is whole exactly when its manifest is there. Files in the folder that are not
ours (a DAW's peak files, the user's own) are left alone, and session files that were ours and into
which the user has saved; see `bridge.publish.session_ownership`.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import shutil
import socket
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from bridge.errors import OutputBlocked
from bridge.publish.session_ownership import SessionHashes, is_unmodified, session_hashes
from bridge.system.disk import disk_errors, reserve
from bridge.system.processes import UNKNOWN, Process, start_mark, this_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MANIFEST = "manifest.json"
STAGING = ".stembridge"  # inside the output folder: renames must not cross file systems
# In a bounce's folder while its set is being replaced: every file there that is ours. Without it a
# publication that broke off would leave files that no later one knows to remove.
UNFINISHED = ".unfinished.json"

# A set is renamed into place in well under a second; a slow network drive takes some.
_LOCK_PATIENCE_S = 60.0
# What a file system without locks says, among them many network drives.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
# What a file system says that cannot sync folders, some network drives again; fsync(2).
_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})
# How often the folder of all staging folders may vanish under our hands: whoever is last removes it
_INSISTENCE = 10
# Staging folders that a disk in trouble did not let us remove; tried again with the next one.
_leftovers: set[Path] = set()


@contextlib.contextmanager
def staging(out_dir: Path) -> Iterator[Path]:
    """A new, empty folder beside the outputs; it and what is left in it go away at the end.

    Its name tells host and process, so that `sweep` knows which ones nobody works in any more.
    """
    folder = out_dir / STAGING / _staging_name(this_process())
    _remove_leftovers()
    with disk_errors(folder):
        _insist(folder.mkdir, folder.parent)
    try:
        yield folder
    finally:
        _leftovers.add(folder)
        _remove_leftovers()
        _remove_if_empty(folder.parent)


def sweep(out_dir: Path) -> int:
    """Removes staging folders of processes of this host that are gone; returns how many.

    Locks that nobody holds go too: a disk in trouble may not have let them be removed.
    """
    root, host = out_dir / STAGING, socket.gethostname()
    removed = 0
    for folder in root.glob(f"{glob.escape(host)}-*-*") if root.is_dir() else ():
        if _is_abandoned(folder.name):
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    for path in root.glob("*.lock") if root.is_dir() else ():
        with contextlib.suppress(OSError, Timeout):  # held: somebody is publishing
            lock = FileLock(path, timeout=0)
            with lock:
                _remove_lock(lock, path)
    _remove_if_empty(root)
    return removed


@contextlib.contextmanager
def publishing(out_dir: Path, target: Path) -> Iterator[None]:
    """One publisher for each bounce's folder, whatever ledger it works for and wherever it runs.

    Services with one ledger own their jobs; this holds apart those that know nothing of each other.
    On a file system without locks it holds nothing apart. Raises errors.OutputError.
    """
    name = hashlib.sha256(os.fsencode(target)).hexdigest()[:16]
    path = out_dir / STAGING / f"{name}.lock"
    lock = FileLock(path, timeout=_LOCK_PATIENCE_S)
    with disk_errors(path):
        _insist(lambda: _acquire(lock, target), path.parent)
    try:
        yield
    finally:
        _remove_lock(lock, path)
        lock.release()
        _remove_if_empty(path.parent)


def check_writable(out_dir: Path, needed_bytes: int) -> None:
    """Whether stems of that size can be written in `out_dir` now; nothing stays.

    Raises errors.OutputError when not, with what is in the way.
    """
    with staging(out_dir) as folder:
        reserve(folder, needed_bytes)


def changed_sessions(manifest: Mapping[str, Any], target: Path) -> set[str]:
    """Places of the manifest's session files where work of the user lies; reads what lies there.

    Raises OutputError when what was written there before cannot be told.
    """
    with disk_errors(target):
        before = session_hashes(*_known(target))
        return {
            place
            for place, hashes in session_hashes(manifest).items()
            if not is_unmodified(target / place, hashes | before.get(place, set()))
        }


def publish(staged: Path, manifest: Mapping[str, Any], target: Path) -> Path:
    """Moves the staged stems and session files to `target` and writes their manifest.

    A set that lies there already is replaced: its manifest goes first, then each file is renamed
    over its predecessor, then files of the old set that the new one lacks are removed: session
    files only while they are as we wrote them.

    Args:
        staged: folder with the files that `manifest["stems"]` and `["sessions"]` name, closed and
            synced. Session paths must not be in `changed_sessions`. Other files stay there.
        manifest: see `bridge.publish.manifest`.
        target: the bounce's folder, on the same file system.

    Returns:
        the manifest's path.

    Raises:
        OutputError: the file system refused; the target holds a whole set or no manifest then.
    """
    with disk_errors(target):
        _make_lasting(target)
        known = _known(target)
        new = [str(stem["path"]) for stem in manifest["stems"]]
        ours = {*new, *(path for each in known for path in _stem_paths(each))}
        sessions, before = session_hashes(manifest), session_hashes(*known)
        gone = {place: before[place] for place in before.keys() - sessions.keys()}
        _put(staged, target, UNFINISHED, _note(ours, before, sessions))
        (target / MANIFEST).unlink(missing_ok=True)
        _sync_folder(target)
        for name in new:
            (staged / name).replace(target / name)
        for name in ours - set(new):
            (target / name).unlink(missing_ok=True)
        for place in sorted(sessions):
            _move_session(staged, target, place)
        for place, hashes in gone.items():
            _remove_session(target, place, hashes)
        _sync_folder(target)
        _put(staged, target, MANIFEST, manifest)
        (target / UNFINISHED).unlink()
        _sync_folder(target)
    return target / MANIFEST


def finish(target: Path) -> Path:
    """Ends a publication that broke off when the manifest was there; returns the manifest's path.

    Raises OutputError.
    """
    with disk_errors(target):
        (target / UNFINISHED).unlink(missing_ok=True)
        _sync_folder(target)
    return target / MANIFEST


def read_manifest(target: Path) -> dict[str, Any] | None:
    """The manifest of the set in `target`, whatever it says; None when there is none."""
    try:
        data = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def _insist(make: Callable[[], object], parent: Path) -> None:
    """Makes something in `parent`, and `parent` itself, which another job may just be removing."""
    for _ in range(_INSISTENCE):
        _make_lasting(parent)
        try:
            make()
        except FileNotFoundError:
            continue
        return
    make()


def _acquire(lock: FileLock, target: Path) -> None:
    try:
        lock.acquire()
    except Timeout:
        raise OutputBlocked(
            f"another stembridge is writing into {target}: end it if it hangs"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _remove_lock(lock: FileLock, path: Path) -> None:
    """Before the release: whoever waits for it sees that it went."""
    if lock.is_locked and os.name != "nt":  # Windows: filelock does so itself
        with contextlib.suppress(OSError):
            path.unlink()


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # another job may be staging there
        folder.rmdir()


def _staging_name(process: Process) -> str:
    """The mark tells the process from a later one of its number."""
    mark = hashlib.sha256(process.start_mark.encode()).hexdigest()[:8]
    return f"{socket.gethostname()}-{process.pid}-{mark}{uuid.uuid4().hex[:8]}"


def _is_abandoned(name: str) -> bool:
    """Whether the process of this host that named it has ended."""
    pid, mark = name.rsplit("-", 2)[1:]
    if not pid.isdigit():
        return False
    now = start_mark(int(pid))
    if now is None or now == UNKNOWN:
        return now is None
    return not mark.startswith(hashlib.sha256(now.encode()).hexdigest()[:8])


def _stem_paths(manifest: Mapping[str, Any]) -> list[str]:
    """File names of a set; none when this is no manifest."""
    try:
        names = [str(stem["path"]) for stem in manifest["stems"]]
    except (KeyError, TypeError):
        return []
    # A file beside it, nothing else: manifests can be edited.
    return [name for name in names if Path(name).name == name != ".."]


def _known(target: Path) -> list[dict[str, Any]]:
    """What is said there of files of ours, with what is no manifest left out. Raises OSError."""
    found = []
    for name in (MANIFEST, UNFINISHED):
        with contextlib.suppress(FileNotFoundError, ValueError):
            found.append(json.loads((target / name).read_text(encoding="utf-8")))
    return [data for data in found if isinstance(data, dict)]


def _note(stems: set[str], *sessions: SessionHashes) -> dict[str, Any]:
    """What `UNFINISHED` says: every file there that is or will be ours."""
    places = {(place, sha) for known in sessions for place in known for sha in known[place]}
    return {
        "stems": [{"path": name} for name in sorted(stems)],
        "sessions": [{"path": place, "sha256": sha} for place, sha in sorted(places)],
    }


def _move_session(staged: Path, target: Path, place: str) -> None:
    """With the empty folders that lie beside it where the session is a folder, as Ardour's is."""
    top = staged / Path(place).parts[0]
    if top.is_dir():
        for folder in sorted([top, *(path for path in top.rglob("*") if path.is_dir())]):
            _make_lasting(target / folder.relative_to(staged))
    (staged / place).replace(target / place)
    if top.is_dir():
        _sync_folder((target / place).parent)


def _remove_session(target: Path, place: str, hashes: set[str]) -> None:
    """Unless there is work of the user in it; with its folders, as far as they are empty."""
    path = target / place
    if not is_unmodified(path, hashes):
        return
    path.unlink(missing_ok=True)
    if path.parent != target:
        for folder in sorted(path.parent.rglob("*"), reverse=True):
            if folder.is_dir() and not folder.is_symlink():
                _remove_if_empty(folder)
        _remove_if_empty(path.parent)
        if path.parent.is_dir():  # something of the user's is left in it
            _sync_folder(path.parent)


def _put(staged: Path, target: Path, name: str, data: Mapping[str, Any]) -> None:
    """Writes a JSON file beside the staged ones and moves it in."""
    _write_synced(staged / name, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    (staged / name).replace(target / name)
    _sync_folder(target)


def _write_synced(path: Path, text: str) -> None:
    # A file name may hold bytes that are no text; they end as \udc.. in JSON, and Python's reader
    # gives the same name back.
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _remove_leftovers() -> None:
    """Staging folders of this process that are not needed any more."""
    for folder in tuple(_leftovers):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            _leftovers.discard(folder)


def _make_lasting(folder: Path) -> None:
    """Makes a folder, and those above it, that are still there after a power cut."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        with contextlib.suppress(PermissionError):  # one may make folders where one may not read
            _sync_folder(place.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows has no handle of a folder to sync
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)
