"""Which files are open for writing: a DAW that pauses in mid-render has its bounce open all along.

Asked of Linux, of the processes that this user may look into. Elsewhere nothing is known.
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
# One look at all processes takes some ten milliseconds and serves all files of a walk.
LASTS_S = 0.2


class OpenFiles:
    """Knows whether some process has a file open for writing. clock: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked_s: float | None = None
        self._held: frozenset[FileKey] = frozenset()

    def hold(self, path: Path) -> bool:
        """Whether it is, as far as one can see; what is seen is up to LASTS_S old. Never raises."""
        now_s = self._clock()
        if self._looked_s is None or not 0 <= now_s - self._looked_s < LASTS_S:
            self._looked_s, self._held = now_s, frozenset(_open_for_writing())
        try:
            status = path.lstat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) in self._held


def _open_for_writing() -> Iterator[FileKey]:
    """Regular files and others; processes come and go meanwhile."""
    if not (_PROC / "self" / "fdinfo").is_dir():
        return  # not Linux
    for process in _PROC.iterdir():
        if process.name.isdigit():
            with suppress(OSError):  # it has ended, or is another user's
                yield from _of_process(process)


def _of_process(process: Path) -> Iterator[FileKey]:
    for number in os.listdir(process / "fd"):  # noqa: PTH208 names are enough
        with suppress(OSError, ValueError):
            lines = (process / "fdinfo" / number).read_text(encoding="ascii").splitlines()
            flags = next(line.split()[1] for line in lines if line.startswith("flags:"))
            if int(flags, 8) & os.O_ACCMODE:
                status = (process / "fd" / number).stat()
                yield status.st_dev, status.st_ino
