"""iXML chunk (iXML specification 3.01): values that are read, and changes for trimmed files.

The chunk is copied byte for byte and never parsed into a tree: recorders write broken XML, and
untrusted XML can expand without limit. Numbers are searched for and replaced in place.
"""

from __future__ import annotations

import re
from functools import partial

from bridge.audio.metadata import tempo

_HIGH = rb"(?:TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI|BWF_TIME_REFERENCE_HIGH)"
_LOW = rb"(?:TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO|BWF_TIME_REFERENCE_LOW)"
_DIGITS = rb"\s*(\d{1,20})\s*<"
# Elements of the specification's SPEED and BEXT, and of ASWG's tempo.
_HIGHS, _LOWS = re.compile(b"<" + _HIGH + b">" + _DIGITS), re.compile(b"<" + _LOW + b">" + _DIGITS)
_TEMPO = re.compile(rb"<(?:TEMPO|BPM)>\s*([0-9][0-9.,]{0,15})\s*</", re.IGNORECASE)
# Steinberg's own attributes: a name and, a little later in the same element, its value.
_STEINBERG = re.compile(
    rb"<NAME>[A-Za-z]{0,32}Tempo</NAME>(?:(?!</ATTR>).){0,200}?<VALUE>([0-9][0-9.]{0,15})</VALUE>",
    re.DOTALL,
)
_WORD = 1 << 32
_SEARCHED_BYTES = 1 << 20  # the largest real ones have some hundred kilobytes


def time_reference(data: bytes) -> int | None:
    """Position of the first frame in frames since midnight; None if absent."""
    low = _LOWS.search(data)
    if low is None:
        return None
    high = _HIGHS.search(data)
    return (int(high[1]) % _WORD if high else 0) * _WORD + int(low[1]) % _WORD


def tempo_bpm(data: bytes) -> float | None:
    """Tempo in quarter notes per minute; None if absent."""
    start = data[:_SEARCHED_BYTES]
    found = _TEMPO.search(start) or _STEINBERG.search(start)
    return tempo.parse_tempo(found[1].decode("ascii")) if found else None


def with_later_start(data: bytes, start_frame: int) -> bytes:
    """Return the chunk with a time reference `start_frame` frames later; the rest byte for byte."""
    before = time_reference(data)
    if before is None:
        return data
    high, low = divmod((before + start_frame) % _WORD**2, _WORD)
    for pattern, word in ((_HIGHS, high), (_LOWS, low)):
        data = pattern.sub(partial(_with, word), data)
    return data


def _with(word: int, found: re.Match[bytes]) -> bytes:
    """Format a number with as many digits as before, if they suffice: some recorders write ten."""
    whole, start = found[0], found.start()
    digits = b"%0*d" % (len(found[1]), word)
    return whole[: found.start(1) - start] + digits + whole[found.end(1) - start :]
