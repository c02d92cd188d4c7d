"""Waiting for what no bounce is to blame for: a full disk, a missing drive, a locked ledger."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from bridge.errors import LedgerBlocked, OutputBlocked, StembridgeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.service.events import EventListener

Result = TypeVar("Result")

#: What passes without any bounce being touched.
BLOCKING_ERRORS = (LedgerBlocked, OutputBlocked)

# Soon enough for who has just made room, seldom enough for a disk that is full all night.
FIRST_WAIT_S = 5.0
LONGEST_WAIT_S = 60.0
# A service that works off what is there has an end: a lock of another program passes in this time.
ONCE_PATIENCE_S = 10.0
# How late the end of the service may be noticed.
_STEP_S = 0.2


class Stopped(Exception):
    """The service was asked to end."""


class RetryWait:
    """Tries again until it works; says so once when it begins and once when it is over.

    ended: whether the service was asked to end. sleep: for tests. longest_s: how long it waits for
    one thing before it gives up; gave_up: why it did.
    """

    def __init__(
        self,
        events: EventListener,
        ended: Callable[[], bool],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._events = events
        self._ended = ended
        self._sleep = sleep
        self.longest_s = math.inf
        self.gave_up: str | None = None
        self._lock = threading.Lock()
        self._reasons: dict[int, str] = {}  # by thread: the intake may wait for something else

    @property
    def reason(self) -> str | None:
        """What is waited for, None when the service works."""
        with self._lock:
            return next(iter(self._reasons.values()), None)

    def call(self, call: Callable[[], Result]) -> Result:
        """What `call` returns, as soon as it raises none of BLOCKS.

        Raises Stopped when the service is to end before or nothing changed for `longest_s`, and
        whatever else `call` raises.
        """
        wait_s, waited_s = FIRST_WAIT_S, 0.0
        try:
            while True:
                try:
                    result = call()
                except BLOCKING_ERRORS as error:
                    if waited_s >= self.longest_s:
                        self.gave_up = str(error)
                        raise Stopped from error
                    self._begin(error)
                else:
                    self._resume()
                    return result
                self._wait(wait_s)
                waited_s += wait_s
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        finally:
            with self._lock:
                self._reasons.pop(threading.get_ident(), None)

    def wait_until_clear(self, error: StembridgeError, trial: Callable[[], object]) -> None:
        """Waits because of `error`, one of BLOCKS, until `trial` raises none of those.

        Raises Stopped when the service is to end before.
        """
        known = [error]

        def call() -> None:
            if known:
                raise known.pop()
            try:
                trial()
            except BLOCKING_ERRORS:
                raise
            except StembridgeError:
                pass  # the next job meets it too, and tells it

        self.call(call)

    def _wait(self, wait_s: float) -> None:
        left_s = wait_s
        while left_s > 0:
            if self._ended():
                raise Stopped
            self._sleep(min(_STEP_S, left_s))
            left_s -= _STEP_S

    def _begin(self, error: StembridgeError) -> None:
        reason = str(error)
        with self._lock:
            known = bool(self._reasons)
            self._reasons[threading.get_ident()] = reason
        if not known:
            self._events.event("paused", f"paused: {reason}", code=error.code, reason=reason)

    def _resume(self) -> None:
        with self._lock:
            waited = self._reasons.pop(threading.get_ident(), None)
            others = bool(self._reasons)
        if waited is not None and not others:
            self._events.event("resumed", "that is over; going on")
