"""Last steps of an encoded file: tags, sync to the disk, checksum."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mutagen import MutagenError

from bridge.errors import PromiseBroken
from bridge.system.disk import disk_errors, output_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HASHED_BYTES = 1 << 20


@contextmanager
def tagging_errors(path: Path) -> Iterator[None]:
    """Convert errors of mutagen, mostly refused writes, to OutputError or PromiseBroken."""
    try:
        with disk_errors(path):
            yield
    except MutagenError as error:
        cause = error.args[0] if error.args else None
        if isinstance(cause, OSError):
            raise output_error(cause, path) from error
        raise PromiseBroken(f"{path.name} cannot be tagged ({error}); please report it") from error


def sync_and_hash(path: Path) -> str:
    """Sync the file to the disk; return its sha256 in hex. Raises OutputError."""
    digest = hashlib.sha256()
    with disk_errors(path), path.open("rb+") as file:
        os.fsync(file.fileno())
        while data := file.read(_HASHED_BYTES):
            digest.update(data)
    return digest.hexdigest()
