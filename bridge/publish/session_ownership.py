"""Session files that are no longer as we wrote them: the user's work, never touched again.

A DAW saves into the session file that it opened. So a file counts as ours only while its content is
what a manifest of ours (or the note of a publication that broke off) says that we wrote.
"""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_BLOCK_BYTES = 1 << 20
# An Ardour session is a folder with the session file in it; nothing of ours lies deeper.
_DEEPEST = 2

SessionHashes = dict[str, set[str]]
"""Session files by their place in the bounce's folder, and the sha256 of what we wrote there."""


def session_hashes(*manifests: Mapping[str, Any]) -> SessionHashes:
    """What these say that we wrote; places outside the folder are left out."""
    found: SessionHashes = {}
    for manifest in manifests:
        for entry in _entries(manifest):
            found.setdefault(str(entry["path"]), set()).add(str(entry["sha256"]))
    return found


def is_unmodified(path: Path, hashes: Iterable[str]) -> bool:
    """Whether nobody's work is lost when it goes: it is not there, or as we wrote it.

    What may not be read (a DAW may hold it open) and what is no file counts as the user's. Raises
    OSError when the disk fails.
    """
    try:
        return sha256(path) in {*hashes}
    except FileNotFoundError:
        return True
    except (PermissionError, IsADirectoryError, NotADirectoryError):
        return False


def sha256(path: Path) -> str:
    """Of the content of a file, in hex. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _entries(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those of a form that we write: a manifest can be edited."""
    found = manifest.get("sessions")
    entries = found if isinstance(found, list | tuple) else ()
    return [
        entry
        for entry in entries
        if isinstance(entry, dict) and entry.keys() >= {"path", "sha256"} and _inside(entry["path"])
    ]


def _inside(place: object) -> bool:
    if not isinstance(place, str) or "\\" in place or "\0" in place:
        return False
    parts = PurePosixPath(place).parts
    return 0 < len(parts) <= _DEEPEST and not {"..", "/"} & {*parts} and ":" not in parts[0]
