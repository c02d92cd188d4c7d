"""Which time references are no place in a session, and how one moves to another rate."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.audio.time_reference import LATEST_S, at_rate, implausibility
from bridge.render.warnings import time_reference_warnings

WORD = 2**64
RATES_HZ = st.sampled_from([8_000, 44_100, 48_000, 96_000, 192_000])


@pytest.mark.parametrize("rate_hz", [8_000, 48_000, 192_000])
def test_a_day_and_a_long_session_are_plausible(rate_hz: int) -> None:
    day = 24 * 3600 * rate_hz
    for time_reference in (None, 0, 1, day - 1, day, 2 * day, LATEST_S * rate_hz):
        assert implausibility(time_reference, rate_hz) is None
        assert [*time_reference_warnings(time_reference, rate_hz)] == []


@pytest.mark.parametrize(
    ("time_reference", "words"),
    [
        (WORD - 48_000, "wrapped below zero: the bounce began 48,000 frames (1.000 s) before zero"),
        (WORD - 1, "wrapped below zero: the bounce began 1 frames (0.000 s) before zero"),
        (2**63, "wrapped below zero"),
        (2**63 - 1, "is 2,223,999,816.0 days after midnight, which no session reaches"),
        (172_800_000 << 32, "days after midnight"),  # an hour, with its halves swapped
        (7 * 86_400 * 48_000 + 1, "is 7.0 days after midnight"),
    ],
)
def test_an_implausible_time_reference_is_described(time_reference: int, words: str) -> None:
    fault = implausibility(time_reference, 48_000)
    assert fault is not None
    assert fault.startswith(f"the time reference of {time_reference:,} frames ")
    assert words in fault
    (warning,) = time_reference_warnings(time_reference, 48_000)
    assert warning.startswith(fault)


@settings(deadline=None)
@given(st.integers(-(2**40), 2**40), RATES_HZ, RATES_HZ)
def test_a_place_below_zero_stays_below_zero_at_another_rate(
    frames: int, rate_hz: int, out_rate_hz: int
) -> None:
    moved = at_rate(frames % WORD, rate_hz, out_rate_hz)
    assert 0 <= moved < WORD
    signed = moved - WORD if moved >= WORD // 2 else moved
    assert abs(signed - Fraction(frames * out_rate_hz, rate_hz)) <= Fraction(1, 2)


@settings(deadline=None)
@given(st.integers(0, WORD - 1), RATES_HZ, RATES_HZ)
def test_every_value_stays_one_that_a_file_can_hold(
    time_reference: int, rate_hz: int, out_rate_hz: int
) -> None:
    assert 0 <= at_rate(time_reference, rate_hz, out_rate_hz) < WORD
