"""The threads of a service, none of which it can do without: the death of one ends it."""

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
    """Notes the first thread that dies and ends the service then.

    Attributes:
        death: which thread died and why, in one line; None while all live.
    """

    def __init__(self, events: EventListener, end: Callable[[], None]) -> None:
        """`end` makes every thread of the service return."""
        self._events = events
        self._end = end
        self._lock = threading.Lock()
        self.death: str | None = None

    @contextmanager
    def supervised(self, name: str, *, passes_on: bool = False) -> Iterator[None]:
        """Around the body of the thread `name`: an exception there ends the service.

        passes_on: raise it again, for a thread whose result somebody waits for.
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
        self._end()  # before anybody is told of it, as that may fail too
        lines = "".join(traceback.format_exception(error))
        text = f"{text}; the service ends, start it again"
        self._events.event("thread-died", text, thread=name, reason=reason, traceback=lines)


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
