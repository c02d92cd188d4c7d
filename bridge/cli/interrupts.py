"""Ctrl-C and a plain kill, looked at between two blocks of audio.

As exceptions they could strike inside a C library's call back into Python, where they are dropped;
what was being read then looks damaged. So they only set an event while a job can be running.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERRUPTED = 130  # exit code, 128 + SIGINT, as shells expect


@contextmanager
def deferred() -> Iterator[threading.Event]:
    """Within it, SIGINT and SIGTERM set the event and do nothing else.

    Nobody but the signal may set the event: its lock is not reentrant.
    """
    stop = threading.Event()

    def ask(*_: object) -> None:
        if not stop.is_set():
            stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
