"""Implausible time references.

EBU Tech 3285 section 2.4 defines "the first sample count since midnight" as an unsigned 64-bit
number. Programs whose timeline begins at zero store an earlier start as a number that wrapped;
others leave old buffer contents, or swap the two halves.
"""

from __future__ import annotations

DAY_S = 86_400

LATEST_S = 7 * DAY_S
"""A time of day ends at 24 h, and a session that begins in the evening runs on past that. The
timelines of DAWs end within days (Pro Tools after 24 h). A week leaves room for all of them, and
what was misread lies beyond: of all 64-bit numbers, 1 in 10^8 is within a week at 192 kHz."""

_SIGN = 1 << 63
_WRAP = 1 << 64


def implausibility(time_reference: int | None, rate_hz: int) -> str | None:
    """Describe the fault of a time reference; None if it is plausible.

    time_reference: in frames since midnight, None if the file has none.
    """
    if time_reference is None or time_reference <= LATEST_S * rate_hz:
        return None
    number = f"the time reference of {time_reference:,} frames"
    if time_reference >= _SIGN:
        before = _WRAP - time_reference
        early = f"{before:,} frames ({_time(before, rate_hz)})"
        return f"{number} wrapped below zero: the bounce began {early} before zero"
    return f"{number} is {_time(time_reference, rate_hz)} after midnight, which no session reaches"


def at_rate(time_reference: int, rate_hz: int, out_rate_hz: int) -> int:
    """Convert a position to another rate, to the nearest frame; wrapped ones stay below zero."""
    signed = time_reference - (_WRAP if time_reference >= _SIGN else 0)
    return (signed * out_rate_hz + rate_hz // 2) // rate_hz % _WRAP


def _time(frames: int, rate_hz: int) -> str:
    """Format a length in seconds, or in days from one day on."""
    seconds = frames / rate_hz
    return f"{seconds:.3f} s" if seconds < DAY_S else f"{seconds / DAY_S:,.1f} days"
