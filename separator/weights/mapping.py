"""Memory mapping of files: pages are read when an array uses them."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from separator.errors import BadCheckpoint

if TYPE_CHECKING:
    from pathlib import Path


def memory_map(path: Path) -> memoryview:
    """Copy-on-write map of a whole file, valid as long as it is referenced.

    Writable, as torch requires of its arrays; the file itself never changes.

    Raises:
        BadCheckpoint: the file does not exist or cannot be read.
    """
    try:
        with path.open("rb") as file:
            if not file.seek(0, 2):
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    except OSError as error:
        raise BadCheckpoint(f"it cannot be read ({error.strerror or error})") from None
