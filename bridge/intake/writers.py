"""Detection of files that are open for writing, such as the bounce of a paused render.

Linux only, for processes of this user; elsewhere no file counts as open.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    FileKey = tuple[int, int]  # device, inode

_PROC = Path("/proc")
# Reading all processes takes about 10 ms; the result serves all files of a scan.
CACHE_S = 0.2


class OpenFiles:
    """Files that processes have open for writing. clock: monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read_s: float | None = None
        self._open: frozenset[FileKey] = frozenset()

    def is_written(self, path: Path) -> bool:
        """Whether a file is open for writing, as of at most CACHE_S ago. Never raises."""
        now_s = self._clock()
        if self._read_s is None or not 0 <= now_s - self._read_s < CACHE_S:
            self._read_s, self._open = now_s, frozenset(_open_for_writing())
        try:
            status = path.lstat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) in self._open


def _open_for_writing() -> Iterator[FileKey]:
    """Device and inode of every file that a process has open for writing."""
    if not (_PROC / "self" / "fdinfo").is_dir():
        return  # not Linux
    for process in _PROC.iterdir():
        if process.name.isdigit():
            with suppress(OSError):  # it has ended, or is of another user
                yield from _of_process(process)


def _of_process(process: Path) -> Iterator[FileKey]:
    for number in os.listdir(process / "fd"):  # noqa: PTH208 names are enough
        with suppress(OSError, ValueError):
            lines = (process / "fdinfo" / number).read_text(encoding="ascii").splitlines()
            flags = next(line.split()[1] for line in lines if line.startswith("flags:"))
            if int(flags, 8) & os.O_ACCMODE:
                status = (process / "fd" / number).stat()
                yield status.st_dev, status.st_ino
