"""Gaps between the frames of a stream: bytes that are neither audio nor a tag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = 5  # a stream with more holes is described by their number


@dataclass(frozen=True)
class Gap:
    """Bytes `at` to `end`; incomplete: a frame that breaks off; zeros: nothing but zeros."""

    at: int
    end: int
    incomplete: bool = False
    zeros: bool = False


def gap_warnings(gaps: Sequence[Gap], what: str, *, first: int, last: int) -> tuple[str, ...]:
    """Return a warning for each gap where audio may be missing.

    Zeros in front of the first frame and behind the last are padding, and an incomplete frame at
    the end is reported as a truncated file.

    Args:
        gaps: in the order of the file.
        what: the stream, as in "no MPEG audio".
        first, last: start of its first frame and end of its last one.
    """
    inside = [
        gap
        for gap in gaps
        if not (gap.zeros and (gap.end <= first or gap.at >= last))
        and not (gap.incomplete and gap.at >= last)
    ]
    lines = [_warning(gap, what) for gap in inside[:_SHOWN]]
    if len(inside) > _SHOWN:
        lines.append(f"... and {len(inside) - _SHOWN:,} more such places")
    return tuple(lines)


def _warning(gap: Gap, what: str) -> str:
    if gap.incomplete:
        return f"an incomplete frame at byte {gap.at:,} was left out: sound may be missing there"
    kind = "zeros" if gap.zeros else f"no {what}"
    return f"{gap.end - gap.at:,} bytes at byte {gap.at:,} are {kind} and were left out"


def trailing_bytes_warning(size_bytes: int) -> tuple[str, ...]:
    """Return the warning for bytes behind the end of a container; none for 0."""
    text = f"{size_bytes:,} bytes behind its end are not read"
    return (f"{text}; if something is missing there, export it again",) if size_bytes > 0 else ()
