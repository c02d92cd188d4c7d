"""Deferred handling of SIGINT, SIGTERM and SIGHUP.

As exceptions they could interrupt any statement, such as one between two writes to the ledger. So
the handlers only set an event, which the loops that wait for the worker poll.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INTERRUPTED = 130  # exit code, 128 + SIGINT, as shells expect


@contextmanager
def deferred_signals() -> Iterator[threading.Event]:
    """Within the context, SIGINT and SIGTERM set the yielded event and do nothing else.

    Only the handler may set the event: its lock is not reentrant.
    """
    stop = threading.Event()

    def on_signal(*_: object) -> None:
        if not stop.is_set():
            stop.set()

    before = {
        number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def reload_on_hangup(reload: threading.Event, stop: threading.Event) -> Iterator[None]:
    """Within the context, SIGHUP (where it exists) sets `reload`, to read the settings again.

    When the terminal was closed, it sets `stop` instead.
    """
    if not hasattr(signal, "SIGHUP"):
        yield
        return
    had_terminal = os.isatty(0)

    def on_signal(*_: object) -> None:
        event = stop if had_terminal and not os.isatty(0) else reload
        if not event.is_set():
            event.set()

    before = signal.signal(signal.SIGHUP, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def interrupt_check(stop: threading.Event) -> Callable[[], None]:
    """A function that raises KeyboardInterrupt once `stop` is set."""

    def check_interrupt() -> None:
        if stop.is_set():
            raise KeyboardInterrupt

    return check_interrupt
