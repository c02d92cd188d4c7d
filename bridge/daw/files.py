"""Atomic writing of session files."""

from __future__ import annotations

import contextlib
import os
import uuid
from typing import TYPE_CHECKING

from bridge.system.disk import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def write_file(path: Path, data: bytes) -> None:
    """Write a file atomically, replacing one of that name. Raises OutputError."""
    with new_file(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Create a temporary path beside `path`, which is synced and moved to `path` at the end.

    Its folder is created. When the body fails, everything is removed. Raises OutputError for errors
    of the system.
    """
    # Hidden, so that no watcher takes it; short, because `path` may have the longest legal name.
    temporary = path.parent / f".{uuid.uuid4().hex}{path.suffix}"
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
