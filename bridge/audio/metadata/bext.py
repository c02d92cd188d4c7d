"""Broadcast extension chunk (`bext`) of EBU Tech 3285, versions 0 to 2.

Fields are kept as the bytes of the file, NUL padding included: the standard asks for ASCII, but
recorders write Latin-1, UTF-8 and leftovers of their buffers, and unknown content must survive.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

ByteOrder = Literal["little", "big"]

# EBU Tech 3285 v2 section 2.4: description, originator, reference, date, time,
# TimeReferenceLow, TimeReferenceHigh, version, UMID, five loudness values, reserved.
_FIELDS = "256s32s32s10s8sIIH64s5h180s"
FIXED_BYTES = struct.calcsize("<" + _FIELDS)

LOUDNESS_NOT_SET = 0x7FFF
"""EBU Tech 3285 v2 section 2.4: a loudness value of 7FFFh means that there is none."""

_LOUDNESS_SINCE_VERSION = 2  # before that these ten bytes are reserved, and not ours to change
_LOUDNESS_LIMIT = 9999
_MODES = {1: "mono", 2: "stereo"}  # EBU R 98 names no more channels


@dataclass(frozen=True)
class Bext:
    """One `bext` chunk.

    `time_reference` is the position of the first frame, in frames since midnight, 64 bit and
    unsigned. The text fields are bytes, padded with NUL to their length in the chunk. `loudness`
    holds loudness value, range, maximum true peak, momentary and short-term, in 0.01 LUFS,
    LU or dBTP.
    """

    description: bytes
    originator: bytes
    originator_reference: bytes
    origination_date: bytes
    origination_time: bytes
    time_reference: int
    version: int
    umid: bytes
    loudness: tuple[int, int, int, int, int]
    reserved: bytes
    coding_history: bytes

    def to_bytes(self) -> bytes:
        """The chunk's data, little-endian, without chunk id, size or pad byte."""
        fixed = struct.pack(
            "<" + _FIELDS,
            self.description,
            self.originator,
            self.originator_reference,
            self.origination_date,
            self.origination_time,
            self.time_reference & 0xFFFFFFFF,
            self.time_reference >> 32,
            self.version,
            self.umid,
            *self.loudness,
            self.reserved,
        )
        return fixed + self.coding_history

    @property
    def states_loudness(self) -> bool:
        """Whether the chunk has loudness values; many writers of version 2 leave zeros there."""
        known = any(value not in {LOUDNESS_NOT_SET, 0} for value in self.loudness)
        return self.version >= _LOUDNESS_SINCE_VERSION and known

    def for_stem(self, line: str) -> Bext:
        """Return the chunk of a stem: every field kept, `line` added to the coding history.

        The loudness of a version 2 chunk measures the mixture, not the stem: it becomes "not set".
        """
        # Recorders leave old buffer contents behind the end of the text.
        history = self.coding_history.split(b"\0", 1)[0]
        if history and not history.endswith(b"\n"):
            history += b"\r\n"
        history += line.encode("ascii", "replace") + b"\r\n"
        loudness = self.loudness
        if self.version >= _LOUDNESS_SINCE_VERSION:
            loudness = (LOUDNESS_NOT_SET,) * 5
        return replace(self, coding_history=history, loudness=loudness)

    def with_loudness(self, levels: Sequence[float]) -> Bext:
        """Return the chunk with five given levels in LUFS, LU or dBTP, in chunk order."""
        first, second, third, fourth, fifth = map(loudness_value, levels)
        return replace(self, loudness=(first, second, third, fourth, fifth))


def parse(data: bytes, byte_order: ByteOrder = "little") -> Bext:
    """Read the data of a `bext` chunk; a chunk that is too short is padded with NUL.

    `byte_order` is "big" in a RIFX file. Trailing NUL of the coding history is padding and dropped.
    """
    fixed = data[:FIXED_BYTES].ljust(FIXED_BYTES, b"\0")
    fields = struct.unpack(("<" if byte_order == "little" else ">") + _FIELDS, fixed)
    description, originator, reference, date, time, low, high, version, umid = fields[:9]
    return Bext(
        description=description,
        originator=originator,
        originator_reference=reference,
        origination_date=date,
        origination_time=time,
        time_reference=high << 32 | low,
        version=version,
        umid=umid,
        loudness=fields[9:14],
        reserved=fields[14],
        coding_history=data[FIXED_BYTES:].rstrip(b"\0"),
    )


def new_bext(time_reference: int, line: str) -> Bext:
    """Create a `bext` for a stem whose bounce has a time reference (in frames) but no `bext`."""
    return Bext(
        description=b"",
        originator=b"Stembridge",
        originator_reference=b"",
        origination_date=b"",
        origination_time=b"",
        time_reference=time_reference,
        version=1,
        umid=b"",
        loudness=(0,) * 5,
        reserved=b"",
        coding_history=line.encode("ascii", "replace") + b"\r\n",
    )


def loudness_value(level: float) -> int:
    """Encode a level in LUFS, LU or dBTP for the chunk; "not set" for NaN and infinity.

    Section 2.4 allows -99.99 to 99.99.
    """
    value = round(100 * level) if math.isfinite(level) else LOUDNESS_NOT_SET
    return value if abs(value) <= _LOUDNESS_LIMIT else LOUDNESS_NOT_SET


def history_line(*, rate_hz: int, bits: int, channels: int, text: str) -> str:
    """Format a line for the coding history (EBU R 98), without the line end.

    A = coding algorithm, F = rate in Hz, W = word length in bits, M = mode (left out above two
    channels), T = free text, in which the standard allows neither commas nor line ends.
    """
    words = ["A=PCM", f"F={rate_hz}", f"W={bits}"]
    if channels in _MODES:
        words.append(f"M={_MODES[channels]}")
    words.append("T=" + " ".join(text.replace(",", " ").split()))
    return ",".join(words)
