"""Retries report once, wait longer each time, and end when they should."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bridge.errors import (
    DiskFull,
    EmptyBounce,
    LedgerBlocked,
    OutputBlocked,
    OutputError,
    StembridgeError,
)
from bridge.service.retry_wait import FIRST_WAIT_S, LONGEST_WAIT_S, RetryWait, Stopped
from tests.watch_service import Heard

if TYPE_CHECKING:
    from collections.abc import Callable


class Room:
    """A pause without time, and how long it has been."""

    def __init__(self) -> None:
        self.heard = Heard()
        self.slept_s = 0.0
        self.end_after_s = float("inf")
        self.retry_wait = RetryWait(
            self.heard, lambda: self.slept_s >= self.end_after_s, self.sleep
        )

    def sleep(self, wait_s: float) -> None:
        self.slept_s += wait_s
        assert self.retry_wait.reason, "who waits says why"


def failing(times: int, error: StembridgeError) -> Callable[[], str]:
    left = [error] * times

    def call() -> str:
        if left:
            raise left.pop()
        return "done"

    return call


@pytest.mark.parametrize("kind", [LedgerBlocked, OutputBlocked, DiskFull])
def test_it_retries_until_success_and_reports_once(kind: type[StembridgeError]) -> None:
    room = Room()
    assert room.retry_wait.call(failing(6, kind("no room"))) == "done"
    waits_s = (5, 10, 20, 40, 60, 60)
    assert waits_s[0] == FIRST_WAIT_S
    assert waits_s[-1] == LONGEST_WAIT_S
    assert room.slept_s == pytest.approx(sum(waits_s))
    assert [kind for kind, _ in room.heard.events] == ["paused", "resumed"]
    assert room.heard.events[0][1] == "paused: no room"
    assert room.retry_wait.reason is None


def test_it_gives_up_when_it_has_an_end() -> None:
    room = Room()
    room.retry_wait.longest_s = 12
    with pytest.raises(Stopped):
        room.retry_wait.call(failing(9, LedgerBlocked("no room")))
    assert room.slept_s == pytest.approx(5 + 10)
    assert room.retry_wait.gave_up == "no room"
    assert room.retry_wait.reason is None


def test_immediate_success_reports_no_pause() -> None:
    room = Room()
    assert room.retry_wait.call(lambda: 3) == 3
    assert (room.heard.events, room.slept_s) == ([], 0.0)


@pytest.mark.parametrize("error", [OutputError("x"), EmptyBounce("x"), ZeroDivisionError()])
def test_other_errors_are_raised(error: Exception) -> None:
    room = Room()

    def call() -> None:
        raise error

    with pytest.raises(type(error)):
        room.retry_wait.call(call)
    assert room.slept_s == 0


def test_the_end_of_the_service_ends_the_wait() -> None:
    room = Room()
    room.end_after_s = 7.0
    with pytest.raises(Stopped):
        room.retry_wait.call(failing(99, DiskFull("no room")))
    assert room.slept_s < 7.5
    assert room.retry_wait.reason is None


def test_a_known_error_is_waited_out_before_the_first_trial() -> None:
    room = Room()
    tried_s: list[float] = []

    def trial() -> None:
        tried_s.append(room.slept_s)
        if len(tried_s) < 3:
            raise DiskFull("still no room")

    room.retry_wait.wait_until_clear(DiskFull("no room"), trial)
    assert tried_s == pytest.approx([5, 15, 35])
    assert room.heard.of("paused") == ["paused: no room"]
    assert len(room.heard.of("resumed")) == 1


def test_another_error_ends_the_wait() -> None:
    room = Room()
    room.retry_wait.wait_until_clear(DiskFull("no room"), failing(1, OutputError("not a folder")))
    assert room.slept_s == pytest.approx(5)
