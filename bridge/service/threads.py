"""Supervision of the service's threads: an exception in any of them ends the service."""

from __future__ import annotations

import threading
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bridge.errors import StembridgeError
from bridge.service.retry_wait import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bridge.service.events import EventListener


class ServiceThreads:
    """Ends the service when one of its threads raises, and keeps the first reason.

    Attributes:
        death: name and error of the first thread that died, in one line; None while none has.
    """

    def __init__(self, events: EventListener, end: Callable[[], None]) -> None:
        """events: listener for "thread-died". end: makes every thread of the service return."""
        self._events = events
        self._end = end
        self._lock = threading.Lock()
        self.death: str | None = None

    @contextmanager
    def supervised(self, name: str, *, passes_on: bool = False) -> Iterator[None]:
        """Context for the body of thread `name`: an exception in it ends the service.

        passes_on: raise the exception again, for a thread whose result is awaited.
        """
        try:
            yield
        except BaseException as error:
            if isinstance(error, Stopped):
                self._end()
            else:
                self._note(name, error)
            if passes_on:
                raise

    def _note(self, name: str, error: BaseException) -> None:
        reason = str(error) if isinstance(error, StembridgeError) else _described(error)
        text = f"the thread '{name}' died: {reason}"
        with self._lock:
            self.death = self.death or text
        self._end()  # before the event, whose listeners may fail too
        lines = "".join(traceback.format_exception(error))
        text = f"{text}; the service ends, start it again"
        self._events.event("thread-died", text, thread=name, reason=reason, traceback=lines)


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
