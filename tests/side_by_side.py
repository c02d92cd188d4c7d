"""Tests side by side, except those that measure time: such a test waits for the others to end.

With `pytest -n 2` the processes share a lock file: each test holds it shared, one marked `timing`
holds it alone. A second file makes a queue, so that such a test is not passed by for ever.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

PLACE = "STEMBRIDGE_TESTS_LOCKS"  # environment variable with the folder of the lock files
_made: list[Path] = []  # by this process: one that a test starts inherits the variable


def worker_count() -> int:
    """Processes of `pytest -n auto`: one more than cores, as some tests wait, but at most four.

    Each takes up to 2 GiB, with torch in it and in a worker of its own.
    """
    cores = os.cpu_count() or 1
    fitting = psutil.virtual_memory().available // (2 << 30)
    return max(1, min(4, cores + 1, fitting))


def prepare(config: pytest.Config) -> None:
    """Make the folder of the lock files, for the processes that this one starts."""
    if not _is_worker(config) and config.getoption("numprocesses", None):
        _made.append(Path(tempfile.mkdtemp(prefix="stembridge-tests-")))
        os.environ[PLACE] = str(_made[0])


def clear() -> None:
    """Remove what `prepare` made in this process."""
    while _made:
        os.environ.pop(PLACE, None)
        shutil.rmtree(_made.pop())


@contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """Hold the machine shared with other tests, or alone; nothing to hold in a single process."""
    place = os.environ.get(PLACE)
    if not place or sys.platform == "win32":
        yield
        return
    with (Path(place) / "queue").open("w") as queue, (Path(place) / "machine").open("w") as machine:
        fcntl.flock(queue, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(queue, fcntl.LOCK_UN)
        yield


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")
