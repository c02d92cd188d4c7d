"""Retries while something other than the bounce fails: full disk, missing drive, locked ledger."""

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

#: Errors that pass without a change to the bounce.
BLOCKING_ERRORS = (LedgerBlocked, OutputBlocked)

# First and longest wait between two tries: soon after a user has made room, and rarely enough for
# a disk that is full all night.
FIRST_WAIT_S = 5.0
LONGEST_WAIT_S = 60.0
# With `once` the service gives up after this; another program's lock passes within it.
ONCE_PATIENCE_S = 10.0
# How often the wait checks whether the service is to stop.
_STEP_S = 0.2


class Stopped(Exception):
    """The service was asked to stop."""


class RetryWait:
    """Retries calls that raise `BLOCKING_ERRORS`; reports the events "paused" and "resumed" once.

    Args:
        events: listener for the two events.
        ended: whether the service was asked to stop.
        sleep: sleep function; for tests.

    Attributes:
        longest_s: seconds that one call is retried before it gives up.
        gave_up: the error at which it gave up; None while it did not.
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
        self._reasons: dict[int, str] = {}  # by thread id, as intake and job loops wait apart

    @property
    def reason(self) -> str | None:
        """The error that is waited out; None while there is none."""
        with self._lock:
            return next(iter(self._reasons.values()), None)

    def call(self, function: Callable[[], Result]) -> Result:
        """Call `function` until it raises none of `BLOCKING_ERRORS`, and return its result.

        Raises Stopped when the service is asked to stop, or after `longest_s`; other errors of
        `function` are passed on.
        """
        wait_s, waited_s = FIRST_WAIT_S, 0.0
        try:
            while True:
                try:
                    result = function()
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
        """Wait out `error`, one of `BLOCKING_ERRORS`, until `trial` raises none of them.

        Raises Stopped when the service is asked to stop.
        """
        known = [error]

        def raise_known_then_try() -> None:
            if known:
                raise known.pop()
            try:
                trial()
            except BLOCKING_ERRORS:
                raise
            except StembridgeError:
                pass  # not a blocking error: the next job meets and reports it

        self.call(raise_known_then_try)

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
            self._events.event("resumed", "resumed: the problem is gone")
