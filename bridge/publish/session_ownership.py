"""Session files that the user has changed since they were written, and which are never replaced.

A DAW saves into the session file that it opened. So a file may be replaced or removed only while
its hash is one that a manifest, or the record of an interrupted publication, lists.
"""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_BLOCK_BYTES = 1 << 20
# An Ardour session is a folder that holds the session file.
_DEEPEST = 2

SessionHashes = dict[str, set[str]]
"""Path of each session file in the bounce's folder, and the hashes of the versions written."""


def session_hashes(*manifests: Mapping[str, Any]) -> SessionHashes:
    """Session files that manifests list; paths outside the bounce's folder are ignored."""
    found: SessionHashes = {}
    for manifest in manifests:
        for entry in _entries(manifest):
            found.setdefault(str(entry["path"]), set()).add(str(entry["sha256"]))
    return found


def is_unmodified(path: Path, hashes: Iterable[str]) -> bool:
    """Whether a session file may be replaced: it is missing, or has one of `hashes`.

    An unreadable file (a DAW may hold it open) and a folder count as modified. Raises OSError when
    the disk fails.
    """
    try:
        return sha256(path) in {*hashes}
    except FileNotFoundError:
        return True
    except (PermissionError, IsADirectoryError, NotADirectoryError):
        return False


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hex. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _entries(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Valid session entries of a manifest, which users can edit."""
    found = manifest.get("sessions")
    entries = found if isinstance(found, list | tuple) else ()
    return [
        entry
        for entry in entries
        if isinstance(entry, dict) and entry.keys() >= {"path", "sha256"} and _inside(entry["path"])
    ]


def _inside(path: object) -> bool:
    if not isinstance(path, str) or "\\" in path or "\0" in path:
        return False
    parts = PurePosixPath(path).parts
    return 0 < len(parts) <= _DEEPEST and not {"..", "/"} & {*parts} and ":" not in parts[0]
