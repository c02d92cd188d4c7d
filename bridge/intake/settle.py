"""Is a bounce finished? Decided from looks at the file: no clock, no file system of its own.

A DAW tells nobody that its render is done. What can be seen from outside:

- The system reports that a writer closed the file, or that a finished file was moved in.
- A RIFF file names its own length (RIFF size field, EBU Tech 3306 for RF64). Most writers put that
  in when they close; until then it stays 0, 36 or 0xFFFFFFFF. Some keep it up to date while they
  render, so on its own it proves little.
- The file stops changing. That is the weakest sign, so it has to hold longest.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import Enum

#: Bytes that `header_complete` wants to see: RIFF header (12), ds64 chunk header (8), its RIFF size
#: (8).
HEADER_BYTES = 28

# A RIFF of 36 bytes is "WAVE", a 16-byte fmt chunk and an empty data chunk: the header of a render
# that has not written its first frame. Ardour leaves it so until the file is closed.
_HEADER_ONLY_BYTES = 36

# Length fields of writers that do not know the length yet (0xFFFFFFFF is also RF64's "look in
# ds64").
_UNKNOWN_LENGTHS = (0, 0xFFFFFFFF)

# "riff" as Sony Wave64 spells it; 64-bit length of the whole file at byte 16.
_W64_GUID = bytes.fromhex("726966662e91cf11a5d628db04c10000")

_BIG_ENDIAN = (b"RIFX", b"FORM")
_WITH_DS64 = (b"RF64", b"BW64")


@dataclass(frozen=True, slots=True)
class SettleTimes:
    """How long a file must stay unchanged before it counts as finished, in seconds.

    riff_quiet_s: header agrees with the file size, nobody reported a close. Outlasts the gap
    between two writes of a renderer that keeps its header up to date.
    quiet_s: no better sign. Outlasts a renderer that waits for a plugin or a slow disk.
    held_quiet_s: some process has the file open for writing. Outlasts a renderer that the user has
    paused, or a sample library that loads; a program that only forgot to close it is found out.
    """

    riff_quiet_s: float = 0.5
    quiet_s: float = 3.0
    held_quiet_s: float = 120.0


LOCAL = SettleTimes()

#: For folders without events, mostly network drives: an NFS client may show a size that is 3 s old
#: (nfs(5), acregmin), so two looks prove something only when they are further apart than that.
POLLING = SettleTimes(riff_quiet_s=3.5, quiet_s=10.0)


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at a file: size in bytes, modification time in ns, monotonic time of the look."""

    size: int
    mtime_ns: int
    time_s: float

    def same_file_state(self, other: Observation) -> bool:
        """True when size and modification time agree."""
        return self.size == other.size and self.mtime_ns == other.mtime_ns


@dataclass(frozen=True, slots=True)
class FileHistory:
    """All looks at one file, reduced to what the decision needs.

    since: the first look at the present state; last: the latest one; closed: a close or a move into
    the folder was reported since the last change.
    """

    since: Observation
    last: Observation
    closed: bool = False

    @classmethod
    def first(cls, look: Observation) -> FileHistory:
        """The track of a file that was never looked at before."""
        return cls(since=look, last=look)

    def seen(self, look: Observation) -> FileHistory:
        """This track after one more look. A change starts it again and cancels an earlier close."""
        if look.same_file_state(self.last):
            return replace(self, last=look)
        return FileHistory.first(look)

    def close(self) -> FileHistory:
        """This track after a reported close or move; the last look must be later than that."""
        return replace(self, closed=True)


class Reason(str, Enum):
    """Why a bounce counts as finished."""

    CLOSED = "closed"
    COMPLETE = "complete"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Ready:
    """The bounce is finished."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class CheckAgain:
    """Not known yet: look again at `at_s` (monotonic, later than the last look)."""

    at_s: float


def decide(
    track: FileHistory, riff_complete: bool | None, times: SettleTimes = LOCAL
) -> Ready | CheckAgain:
    """Whether the file of this track is finished, given what its header says at the last look.

    riff_complete: see `header_complete`. A file whose header never agrees ends as Ready(QUIET): the
    probe then tells a truncated bounce from one with bytes behind its end.
    """
    if track.closed and riff_complete is not False:
        return Ready(Reason.CLOSED)
    now_s = track.last.time_s
    complete_at_s = track.since.time_s + times.riff_quiet_s
    if riff_complete and now_s >= complete_at_s:
        return Ready(Reason.COMPLETE)
    quiet_at_s = track.since.time_s + times.quiet_s
    if now_s >= quiet_at_s:
        return Ready(Reason.QUIET)
    if riff_complete:
        return CheckAgain(min(complete_at_s, quiet_at_s))
    if riff_complete is False:
        # The header may be put right at any moment, and where closes are not reported this is all
        # we get.
        return CheckAgain(min(now_s + times.riff_quiet_s, quiet_at_s))
    return CheckAgain(quiet_at_s)


def decide_held(
    track: FileHistory, riff_complete: bool | None, times: SettleTimes
) -> Ready | CheckAgain:
    """As `decide`, for a file without a reported close that some process has open for writing."""
    longer = SettleTimes(times.held_quiet_s, times.held_quiet_s)
    decision = decide(track, riff_complete, longer)
    if isinstance(decision, Ready):
        return decision
    # It may be let go at any moment, and where closes are not reported nobody says so.
    return CheckAgain(min(decision.at_s, track.last.time_s + times.quiet_s))


def header_complete(header: bytes, file_size: int) -> bool | None:
    """Whether a file is as long as its own header says.

    header: the first HEADER_BYTES bytes of the file, or all of a shorter one. file_size: in bytes.
    Returns True when the length field of RIFF, RIFX, RF64, BW64, AIFF or Wave64 agrees with the
    size, False when it does not or the file is empty, None when the file is none of these.

    Agreement allows one byte either way: chunks are padded to an even length, and writers differ on
    whether the last pad byte is written and whether it is counted. More bytes than the header says
    are tags that some tool put behind the end, or a render whose header is not up to date: the two
    cannot be told apart here, so that is False, and such a file waits for quiet.
    """
    if file_size == 0:
        return False  # often touched first and filled later
    if header.startswith(_W64_GUID):
        return len(header) >= 24 and bool(struct.unpack_from("<Q", header, 16)[0] == file_size)
    kind = header[:4]
    if kind in _WITH_DS64 or kind in _BIG_ENDIAN or kind == b"RIFF":
        claimed = _claimed_bytes(header)
        return claimed > _HEADER_ONLY_BYTES and abs(file_size - 8 - claimed) <= 1
    return None


def _claimed_bytes(header: bytes) -> int:
    """The length that a RIFF-like header claims beyond its first 8 bytes; 0 when it has none."""
    if header[:4] in _WITH_DS64 and header[12:16] == b"ds64" and len(header) >= HEADER_BYTES:
        return int(struct.unpack_from("<Q", header, 20)[0])
    if len(header) < 8:
        return 0
    order = ">I" if header[:4] in _BIG_ENDIAN else "<I"
    claimed = int(struct.unpack_from(order, header, 4)[0])
    return 0 if claimed in _UNKNOWN_LENGTHS else claimed
