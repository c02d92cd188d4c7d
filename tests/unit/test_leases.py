"""Leases expire by observation, whatever the clocks do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.ledger.leases import HEARTBEAT_S, LEASE_S, Key, LeaseMonitor

JOB: Key = (1, "a service")
LOOKS = int(LEASE_S / HEARTBEAT_S)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_beat_that_stays_the_same_is_silence_after_a_lease() -> None:
    clock = Clock()
    monitor = LeaseMonitor(clock)
    for look in range(LOOKS + 1):
        found = monitor.expired({JOB: 5.0})
        assert (found == {JOB}) == (look == LOOKS), look
        clock.now_s += HEARTBEAT_S


def test_a_beat_that_changes_is_life_even_if_its_owner_set_its_clock_back() -> None:
    clock = Clock()
    monitor = LeaseMonitor(clock)
    for look in range(5 * LOOKS):
        assert monitor.expired({JOB: float(-look)}) == set()
        clock.now_s += HEARTBEAT_S


def test_a_computer_that_slept_takes_nothing_away() -> None:
    """Both were asleep: the looker is the first to wake up and sees the beat of last night."""
    clock = Clock()
    monitor = LeaseMonitor(clock)
    assert monitor.expired({JOB: 5.0}) == set()
    clock.now_s += 8 * 3600
    assert monitor.expired({JOB: 5.0}) == set()
    clock.now_s += HEARTBEAT_S
    assert monitor.expired({JOB: 6.0}) == set()


def test_another_owner_or_a_job_that_was_away_begins_anew() -> None:
    clock = Clock()
    monitor = LeaseMonitor(clock)
    for _ in range(LOOKS):
        assert monitor.expired({JOB: 5.0}) == set()
        clock.now_s += HEARTBEAT_S
    assert monitor.expired({(1, "another"): 5.0}) == set()
    clock.now_s += HEARTBEAT_S
    assert monitor.expired({JOB: 5.0}) == set()


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.booleans()), max_size=60))
def test_a_lease_expires_only_after_observation_for_its_length(
    looks: list[tuple[float, bool]],
) -> None:
    """However the clock jumps: no look counts for more than two beats, and a beat starts anew."""
    clock = Clock()
    monitor = LeaseMonitor(clock)
    beat, unchanged = 0.0, -1
    for jump_s, beats in looks:
        clock.now_s += jump_s
        beat, unchanged = (beat + 1, 0) if beats else (beat, unchanged + 1)
        if monitor.expired({JOB: beat}):
            assert unchanged * 2 * HEARTBEAT_S >= LEASE_S
