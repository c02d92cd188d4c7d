"""Tempo values and the `acid` chunk, in which loops carry theirs.

The chunk was never published by its maker; its layout (flags, root note, two fields of unknown use,
beats, meter, tempo) is common knowledge among sequencers.
"""

from __future__ import annotations

import struct

from bridge.audio.text import leading_number

_ACID = "<IHHfIHHf"
_ACID_BYTES = struct.calcsize(_ACID)

# A file that is played once, as it is: no sequencer may stretch a stem to its own tempo.
_ONE_SHOT = 1

SLOWEST_BPM, FASTEST_BPM = 10.0, 1000.0
"""Range of sequencers, with a margin; a value beyond it is a misread field."""


def plausible_tempo(bpm: float | None) -> float | None:
    """Return a tempo in quarter notes per minute; None outside the range of sequencers."""
    if bpm is None or not SLOWEST_BPM <= bpm <= FASTEST_BPM:
        return None
    return round(bpm, 6)  # a 32-bit float holds no more


def parse_tempo(text: str) -> float | None:
    """Parse the text of a tag or of an XML element; None if it is not a plausible tempo."""
    return plausible_tempo(leading_number(text))


def tempo_of_acid(data: bytes) -> float | None:
    """Read the tempo from the data of an `acid` chunk; None if absent."""
    if len(data) < _ACID_BYTES:
        return None
    return plausible_tempo(struct.unpack(_ACID, data[:_ACID_BYTES])[7])


def encode_acid(tempo_bpm: float) -> bytes:
    """Encode a tempo as the data of an `acid` chunk, without a beat count."""
    return struct.pack(_ACID, _ONE_SHOT, 0, 0x8000, 0.0, 0, 4, 4, tempo_bpm)


def with_beat_count(data: bytes, frames: int, rate_hz: int, *, anew: bool) -> bytes:
    """Fill in the beat count of an `acid` chunk; `anew`: replace an existing count, too."""
    if len(data) < _ACID_BYTES:
        return data
    fields = list(struct.unpack(_ACID, data[:_ACID_BYTES]))
    tempo_bpm = plausible_tempo(fields[7])
    if tempo_bpm is None or (fields[4] and not anew):
        return data
    fields[4] = min(round(frames / rate_hz * tempo_bpm / 60), 0xFFFFFFFF)
    return struct.pack(_ACID, *fields) + data[_ACID_BYTES:]


def byteswapped_acid(data: bytes) -> bytes:
    """Convert a big-endian `acid` chunk to little-endian."""
    if len(data) < _ACID_BYTES:
        return data
    fields = struct.unpack(_ACID.replace("<", ">"), data[:_ACID_BYTES])
    return struct.pack(_ACID, *fields) + data[_ACID_BYTES:]
