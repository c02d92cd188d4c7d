"""Decides from observations of a file whether a bounce is finished. Pure.

A DAW does not announce the end of a render. These signs can be observed:

- The system reports that a writer closed the file, or that a finished file was moved in.
- A RIFF file states its own length (RIFF size field, EBU Tech 3306 for RF64). Most writers fill it
  in when they close; until then it is 0, 36 or 0xFFFFFFFF. Some keep it up to date while they
  render, so on its own it proves little.
- The file stops changing. That is the weakest sign, so it must last longest.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import Enum

#: Bytes that `header_complete` needs: RIFF header (12), ds64 chunk header (8), its RIFF size
#: (8).
HEADER_BYTES = 28

# RIFF size of "WAVE", a 16-byte fmt chunk and an empty data chunk: a render without frames so far.
# Ardour leaves it so until the file is closed.
_HEADER_ONLY_BYTES = 36

# Length fields of an unfinished render (0xFFFFFFFF also refers to the ds64 chunk of RF64).
_UNKNOWN_LENGTHS = (0, 0xFFFFFFFF)

# "riff" as Sony Wave64 spells it; 64-bit length of the whole file at byte 16.
_W64_GUID = bytes.fromhex("726966662e91cf11a5d628db04c10000")

_BIG_ENDIAN = (b"RIFX", b"FORM")
_WITH_DS64 = (b"RF64", b"BW64")


@dataclass(frozen=True, slots=True)
class SettleTimes:
    """Seconds that a file must stay unchanged before it counts as finished.

    Attributes:
        riff_quiet_s: if the header agrees with the file size, without a reported close; outlasts
            the gap between two writes of a renderer that keeps its header up to date.
        quiet_s: without a better sign; outlasts a renderer that waits for a plugin or a slow disk.
        held_quiet_s: if a process has the file open for writing; outlasts a paused renderer or a
            sample library that loads, but not a program that never closes the file.
    """

    riff_quiet_s: float = 0.5
    quiet_s: float = 3.0
    held_quiet_s: float = 120.0


LOCAL = SettleTimes()

#: Without events, mostly on network drives: an NFS client may report a size that is 3 s old
#: (nfs(5), acregmin), so two observations must be further apart than that.
POLLING = SettleTimes(riff_quiet_s=3.5, quiet_s=10.0)


@dataclass(frozen=True, slots=True)
class Observation:
    """One observation of a file: size in bytes, modification time in ns, monotonic time."""

    size: int
    mtime_ns: int
    time_s: float

    def same_file_state(self, other: Observation) -> bool:
        """Whether size and modification time are the same."""
        return self.size == other.size and self.mtime_ns == other.mtime_ns


@dataclass(frozen=True, slots=True)
class FileHistory:
    """Observations of one file, reduced to what the decision needs.

    Attributes:
        since: first observation of the present state.
        last: latest observation.
        closed: whether a close, or a move into the folder, was reported since the last change.
    """

    since: Observation
    last: Observation
    closed: bool = False

    @classmethod
    def first(cls, observation: Observation) -> FileHistory:
        """The history of a file that is observed for the first time."""
        return cls(since=observation, last=observation)

    def seen(self, observation: Observation) -> FileHistory:
        """This history with one more observation; a change resets it, close included."""
        if observation.same_file_state(self.last):
            return replace(self, last=observation)
        return FileHistory.first(observation)

    def close(self) -> FileHistory:
        """This history with a reported close or move, followed by the last observation."""
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
    """Undecided: check again at `at_s` (monotonic, later than the last observation)."""

    at_s: float


def decide(
    history: FileHistory, riff_complete: bool | None, times: SettleTimes = LOCAL
) -> Ready | CheckAgain:
    """Decide whether a file is finished.

    A file whose header never agrees with its size ends as Ready(QUIET); the probe then tells a
    truncated bounce from one with trailing bytes.

    Args:
        history: observations of the file.
        riff_complete: result of `header_complete` at the last observation.
        times: settle times.
    """
    if history.closed and riff_complete is not False:
        return Ready(Reason.CLOSED)
    now_s = history.last.time_s
    complete_at_s = history.since.time_s + times.riff_quiet_s
    if riff_complete and now_s >= complete_at_s:
        return Ready(Reason.COMPLETE)
    quiet_at_s = history.since.time_s + times.quiet_s
    if now_s >= quiet_at_s:
        return Ready(Reason.QUIET)
    if riff_complete:
        return CheckAgain(min(complete_at_s, quiet_at_s))
    if riff_complete is False:
        # The header may be completed at any moment, and closes may not be reported.
        return CheckAgain(min(now_s + times.riff_quiet_s, quiet_at_s))
    return CheckAgain(quiet_at_s)


def decide_held(
    history: FileHistory, riff_complete: bool | None, times: SettleTimes
) -> Ready | CheckAgain:
    """As `decide`, for a file that a process has open for writing, without a reported close."""
    longer = SettleTimes(times.held_quiet_s, times.held_quiet_s)
    decision = decide(history, riff_complete, longer)
    if isinstance(decision, Ready):
        return decision
    # It may be closed at any moment, and closes may not be reported.
    return CheckAgain(min(decision.at_s, history.last.time_s + times.quiet_s))


def header_complete(header: bytes, file_size: int) -> bool | None:
    """Whether the size of a file agrees with its RIFF, RIFX, RF64, BW64, AIFF or Wave64 header.

    A difference of one byte is allowed: writers differ on whether the last pad byte is written and
    counted. Trailing bytes count as disagreement, because tags behind the end cannot be told from a
    render whose header is not up to date.

    header: first `HEADER_BYTES` bytes of the file. file_size: in bytes. Returns None for other
    formats, False for an empty file.
    """
    if file_size == 0:
        return False  # a render often starts as an empty file
    if header.startswith(_W64_GUID):
        return len(header) >= 24 and bool(struct.unpack_from("<Q", header, 16)[0] == file_size)
    kind = header[:4]
    if kind in _WITH_DS64 or kind in _BIG_ENDIAN or kind == b"RIFF":
        claimed = _claimed_bytes(header)
        return claimed > _HEADER_ONLY_BYTES and abs(file_size - 8 - claimed) <= 1
    return None


def _claimed_bytes(header: bytes) -> int:
    """Length that a RIFF-like header claims beyond its first 8 bytes; 0 without one."""
    if header[:4] in _WITH_DS64 and header[12:16] == b"ds64" and len(header) >= HEADER_BYTES:
        return int(struct.unpack_from("<Q", header, 20)[0])
    if len(header) < 8:
        return 0
    order = ">I" if header[:4] in _BIG_ENDIAN else "<I"
    claimed = int(struct.unpack_from(order, header, 4)[0])
    return 0 if claimed in _UNKNOWN_LENGTHS else claimed
