"""Atomic publication: moves staged files into the bounce's folder so that a set is whole or absent.

Every file is complete and synced before it is renamed; the manifest is written last and removed
first, so a set is whole exactly when its manifest exists. Other files in the folder (peak files of
a DAW, the user's own) and session files that the user has changed are left alone; see
`bridge.publish.session_ownership`.
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
# In a bounce's folder while its set is replaced: lists every file of the old and new set, so that
# those of an interrupted publication can be removed.
UNFINISHED = ".unfinished.json"

# A set is renamed into place in well under a second; a slow network drive takes some.
_LOCK_PATIENCE_S = 60.0
# Errors of a file system without locks, such as many network drives.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
# Errors of a file system that cannot sync folders, such as some network drives; fsync(2).
_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})
# Tries to create something in the staging folder, which the last job of another process may remove.
_MAX_TRIES = 10
# Staging folders that could not be removed after a disk error; tried again with the next one.
_leftovers: set[Path] = set()


@contextlib.contextmanager
def staging(out_dir: Path) -> Iterator[Path]:
    """Create an empty staging folder on the file system of `out_dir`; removed at the end.

    Its name holds host and process, by which `sweep` finds abandoned ones.
    """
    folder = out_dir / STAGING / _staging_name(this_process())
    _remove_leftovers()
    with disk_errors(folder):
        _with_parent(folder.mkdir, folder.parent)
    try:
        yield folder
    finally:
        _leftovers.add(folder)
        _remove_leftovers()
        _remove_if_empty(folder.parent)


def sweep(out_dir: Path) -> int:
    """Remove staging folders of ended processes of this host, and return their number.

    Lock files that no process holds are removed as well.
    """
    root, host = out_dir / STAGING, socket.gethostname()
    removed = 0
    for folder in root.glob(f"{glob.escape(host)}-*-*") if root.is_dir() else ():
        if _is_abandoned(folder.name):
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    for path in root.glob("*.lock") if root.is_dir() else ():
        with contextlib.suppress(OSError, Timeout):  # held by a running publication
            lock = FileLock(path, timeout=0)
            with lock:
                _remove_lock(lock, path)
    _remove_if_empty(root)
    return removed


@contextlib.contextmanager
def publishing(out_dir: Path, target: Path) -> Iterator[None]:
    """Lock a bounce's folder against other publishers on any machine, whatever their ledger.

    Without effect on a file system without locks. Raises errors.OutputError.
    """
    name = hashlib.sha256(os.fsencode(target)).hexdigest()[:16]
    path = out_dir / STAGING / f"{name}.lock"
    lock = FileLock(path, timeout=_LOCK_PATIENCE_S)
    with disk_errors(path):
        _with_parent(lambda: _acquire(lock, target), path.parent)
    try:
        yield
    finally:
        _remove_lock(lock, path)
        lock.release()
        _remove_if_empty(path.parent)


def check_writable(out_dir: Path, needed_bytes: int) -> None:
    """Check by a trial write that `needed_bytes` fit into `out_dir`; nothing stays.

    Raises errors.OutputError with the reason if they do not.
    """
    with staging(out_dir) as folder:
        reserve(folder, needed_bytes)


def changed_sessions(manifest: Mapping[str, Any], target: Path) -> set[str]:
    """Paths of the manifest's session files at which the user has changed the existing file.

    Raises OutputError when the old set cannot be read.
    """
    with disk_errors(target):
        before = session_hashes(*_previous(target))
        return {
            path
            for path, hashes in session_hashes(manifest).items()
            if not is_unmodified(target / path, hashes | before.get(path, set()))
        }


def publish(staged: Path, manifest: Mapping[str, Any], target: Path) -> Path:
    """Move staged stems and session files to `target` and write their manifest.

    An existing set is replaced: its manifest is removed first, then each file is renamed over its
    predecessor, then files of the old set that the new one lacks are removed, except session files
    that the user has changed.

    Args:
        staged: folder with the files that `manifest["stems"]` and `["sessions"]` name, closed and
            synced. Session paths must not be in `changed_sessions`. Other files stay there.
        manifest: see `bridge.publish.manifest`.
        target: the bounce's folder, on the same file system.

    Returns:
        the manifest's path.

    Raises:
        OutputError: the file system refused; `target` then holds a whole set or no manifest.
    """
    with disk_errors(target):
        _make_folder(target)
        previous = _previous(target)
        new = [str(stem["path"]) for stem in manifest["stems"]]
        old_and_new = {*new, *(path for each in previous for path in _stem_paths(each))}
        sessions, before = session_hashes(manifest), session_hashes(*previous)
        gone = {path: before[path] for path in before.keys() - sessions.keys()}
        _publish_json(staged, target, UNFINISHED, _record(old_and_new, before, sessions))
        (target / MANIFEST).unlink(missing_ok=True)
        _sync_folder(target)
        for name in new:
            (staged / name).replace(target / name)
        for name in old_and_new - set(new):
            (target / name).unlink(missing_ok=True)
        for path in sorted(sessions):
            _move_session(staged, target, path)
        for path, hashes in gone.items():
            _remove_session(target, path, hashes)
        _sync_folder(target)
        _publish_json(staged, target, MANIFEST, manifest)
        (target / UNFINISHED).unlink()
        _sync_folder(target)
    return target / MANIFEST


def finish(target: Path) -> Path:
    """Complete a publication that was interrupted after its manifest was written.

    Returns the manifest's path. Raises OutputError.
    """
    with disk_errors(target):
        (target / UNFINISHED).unlink(missing_ok=True)
        _sync_folder(target)
    return target / MANIFEST


def read_manifest(target: Path) -> dict[str, Any] | None:
    """Unchecked data of the manifest in `target`; None if there is none or it is no JSON object."""
    try:
        data = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def _with_parent(make: Callable[[], object], parent: Path) -> None:
    """Call `make` with `parent` existing, even if another job removes `parent` meanwhile."""
    for _ in range(_MAX_TRIES):
        _make_folder(parent)
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
            f"another stembridge process is writing into {target}: wait, or end it if it hangs"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _remove_lock(lock: FileLock, path: Path) -> None:
    """Unlink before releasing, so that waiters notice the file is stale."""
    if lock.is_locked and os.name != "nt":  # on Windows filelock unlinks it
        with contextlib.suppress(OSError):
            path.unlink()


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # another job may be staging there
        folder.rmdir()


def _staging_name(process: Process) -> str:
    """Host, process number and start mark, so that a reused number is noticed."""
    mark = hashlib.sha256(process.start_mark.encode()).hexdigest()[:8]
    return f"{socket.gethostname()}-{process.pid}-{mark}{uuid.uuid4().hex[:8]}"


def _is_abandoned(name: str) -> bool:
    """Whether the process of this host in a staging folder's name has ended."""
    pid, mark = name.rsplit("-", 2)[1:]
    if not pid.isdigit():
        return False
    now = start_mark(int(pid))
    if now is None or now == UNKNOWN:
        return now is None
    return not mark.startswith(hashlib.sha256(now.encode()).hexdigest()[:8])


def _stem_paths(manifest: Mapping[str, Any]) -> list[str]:
    """File names of the stems in a manifest; empty if it is malformed."""
    try:
        names = [str(stem["path"]) for stem in manifest["stems"]]
    except (KeyError, TypeError):
        return []
    # Only files next to the manifest, which users can edit.
    return [name for name in names if Path(name).name == name != ".."]


def _previous(target: Path) -> list[dict[str, Any]]:
    """Manifest and record of an interrupted publication in `target`. Raises OSError."""
    found = []
    for name in (MANIFEST, UNFINISHED):
        with contextlib.suppress(FileNotFoundError, ValueError):
            found.append(json.loads((target / name).read_text(encoding="utf-8")))
    return [data for data in found if isinstance(data, dict)]


def _record(stems: set[str], *sessions: SessionHashes) -> dict[str, Any]:
    """Content of `UNFINISHED`: every file of the old and new set."""
    entries = {(path, sha) for known in sessions for path in known for sha in known[path]}
    return {
        "stems": [{"path": name} for name in sorted(stems)],
        "sessions": [{"path": path, "sha256": sha} for path, sha in sorted(entries)],
    }


def _move_session(staged: Path, target: Path, path: str) -> None:
    """Move a session file; of a session folder (Ardour), its empty sub-folders too."""
    top = staged / Path(path).parts[0]
    if top.is_dir():
        for folder in sorted([top, *(path for path in top.rglob("*") if path.is_dir())]):
            _make_folder(target / folder.relative_to(staged))
    (staged / path).replace(target / path)
    if top.is_dir():
        _sync_folder((target / path).parent)


def _remove_session(target: Path, name: str, hashes: set[str]) -> None:
    """Remove an unmodified session file and its folders as far as they are empty."""
    path = target / name
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


def _publish_json(staged: Path, target: Path, name: str, data: Mapping[str, Any]) -> None:
    """Write a JSON file into `staged` and move it to `target`."""
    _write_synced(staged / name, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    (staged / name).replace(target / name)
    _sync_folder(target)


def _write_synced(path: Path, text: str) -> None:
    # Undecodable bytes of a file name become \udc.. in JSON, which Python reads back unchanged.
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _remove_leftovers() -> None:
    """Remove the staging folders of this process that are no longer needed."""
    for folder in tuple(_leftovers):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            _leftovers.discard(folder)


def _make_folder(folder: Path) -> None:
    """Create a folder with its parents and sync them, so that they survive a power cut."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        with contextlib.suppress(PermissionError):  # the parent may be writable but not readable
            _sync_folder(path.parent)


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
