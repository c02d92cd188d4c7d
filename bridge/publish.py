"""From a staging folder to the place where the DAW looks, so that a stem set is whole or absent.

Every file is complete and synced before it is renamed; the manifest is the last to arrive and the
first to go. So a set is whole exactly when its manifest is there. Files in the folder that are not
ours (a DAW's peak files, the user's own) are left alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MANIFEST = "manifest.json"
STAGING = ".stembridge"  # inside the output folder: renames must not cross file systems
# In a bounce's folder while its set is being replaced: every file there that is ours. Without it a
# publication that broke off would leave files that no later one knows to remove.
UNFINISHED = ".unfinished.json"


@contextlib.contextmanager
def staging(out_dir: Path) -> Iterator[Path]:
    """A new, empty folder beside the outputs; it and what is left in it go away at the end.

    Its name tells host and process, so that `sweep` knows which ones nobody works in any more.
    """
    folder = out_dir / STAGING / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    with disk_errors(folder):
        folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another job may be staging there
            folder.parent.rmdir()


def sweep(out_dir: Path) -> int:
    """Removes staging folders of processes of this host that are gone; returns how many."""
    root, host = out_dir / STAGING, socket.gethostname()
    removed = 0
    for folder in root.glob(f"{host}-*-*") if root.is_dir() else ():
        pid = folder.name.rsplit("-", 2)[1]
        if pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    with contextlib.suppress(OSError):
        root.rmdir()
    return removed


def publish(staged: Path, manifest: Mapping[str, Any], target: Path) -> Path:
    """Moves the staged stems to `target` and writes their manifest; returns its path.

    A set that lies there already is replaced: its manifest goes first, then each file is renamed
    over its predecessor, then files of the old set that the new one lacks are removed.

    Args:
        staged: folder with exactly the files that `manifest["stems"]` names, closed and synced.
        manifest: see `bridge.report`.
        target: the bounce's folder, on the same file system.

    Raises:
        OutputError: the file system refused; the target holds a whole set or no manifest then.
    """
    with disk_errors(target):
        target.mkdir(parents=True, exist_ok=True)
        new = [str(stem["path"]) for stem in manifest["stems"]]
        ours = {*new, *_stem_paths(target / MANIFEST), *_stem_paths(target / UNFINISHED)}
        _put(staged, target, UNFINISHED, {"stems": [{"path": name} for name in sorted(ours)]})
        (target / MANIFEST).unlink(missing_ok=True)
        _sync_folder(target)
        for name in new:
            (staged / name).replace(target / name)
        for name in ours - set(new):
            (target / name).unlink(missing_ok=True)
        _sync_folder(target)
        _put(staged, target, MANIFEST, manifest)
        (target / UNFINISHED).unlink()
        _sync_folder(target)
    return target / MANIFEST


@contextlib.contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turns the system's refusals into OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{error.filename or place}: {error.strerror or error}: free or unlock the disk, "
            "then `stembridge retry`"
        ) from error


def _stem_paths(manifest: Path) -> list[str]:
    """File names of the set that lies there; none when there is no manifest of that form."""
    try:
        data = json.loads(manifest.read_text(encoding="utf-8"))
        names = [str(stem["path"]) for stem in data["stems"]]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []
    # A file beside it, nothing else: manifests can be edited.
    return [name for name in names if Path(name).name == name != ".."]


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


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows has no handle of a folder to sync
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
