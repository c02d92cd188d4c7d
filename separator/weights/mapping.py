"""A file's bytes without reading them: pages come in when an array is used, and are copied then."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from separator.errors import BadCheckpoint

if TYPE_CHECKING:
    from pathlib import Path


def memory_map(path: Path) -> memoryview:
    """All bytes of a file; they live as long as anything refers to them.

    Writable, because torch wants its arrays so; what is written stays in memory.

    Raises:
        BadCheckpoint: no such file, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            if not file.seek(0, 2):
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    except OSError as error:
        raise BadCheckpoint(f"it cannot be read ({error.strerror or error})") from None
