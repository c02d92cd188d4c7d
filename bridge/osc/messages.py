"""OSC address space: requests, answers, and parsing of requests. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

Argument = str | int | float

SPLIT = "/stembridge/split"
STATUS = "/stembridge/status"
PING = "/stembridge/ping"
QUEUED = "/stembridge/queued"
PROGRESS = "/stembridge/progress"
WAITING = "/stembridge/waiting"
DONE = "/stembridge/done"
FAILED = "/stembridge/failed"
STANDING = "/stembridge/standing"
PONG = "/stembridge/pong"


@dataclass(frozen=True, slots=True)
class Address:
    """An OSC address, for the documentation. asked: whether it is a request, not an answer."""

    name: str
    arguments: str
    meaning: str
    asked: bool = False


#: s is text, i a whole number, f a number with a fraction (OSC 1.0, "OSC Type Tag String").
ADDRESSES = (
    Address(SPLIT, "path `s`, preset `s`", "make stems of this file; no preset: as usual", True),
    Address(STATUS, "", "number of jobs in each state", True),
    Address(PING, "", "is a service running?", True),
    Address(QUEUED, "path `s`", "the job is in the ledger, and survives a restart"),
    Address(PROGRESS, "path `s`, stage `s`, share `f`", "share of this stage that is done, 0 to 1"),
    Address(WAITING, "path `s`, reason `s`", "the job is tried again later"),
    Address(DONE, "manifest `s`, path `s`", "the stems are there"),
    Address(FAILED, "path `s`, reason `s`", "there will be no stems; the path may be empty"),
    Address(STANDING, "pending `i`, running `i`, done `i`, failed `i`, paused `s`", "to `status`"),
    Address(PONG, "version `s`, folder `s`", "to `ping`"),
)


@dataclass(frozen=True, slots=True)
class Message:
    """An outgoing message: address and arguments."""

    address: str
    arguments: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """Request for the stems of a file. preset: its name; None for the usual one."""

    path: Path
    preset: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """Request for the number of jobs in each state."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Request for an answer by a running service."""


Request = Split | Status | Ping


def parse_request(address: str, arguments: Sequence[object]) -> Request | None:
    """Parse a request; returns None for an unknown address.

    Arguments of `status` and `ping` are ignored, because control surfaces send a value with every
    key press (1.0, then 0.0).

    Raises UsageError for a `split` without a file.
    """
    if address == STATUS:
        return Status()
    if address == PING:
        return Ping()
    return _split(arguments) if address == SPLIT else None


def _split(arguments: Sequence[object]) -> Split:
    path, preset = (*arguments, None, None)[:2]
    good_path = isinstance(path, str) and path
    if not good_path or not isinstance(preset, str | None) or len(arguments) > 2:
        raise UsageError(f"{SPLIT} takes the path of a file and optionally the name of a preset")
    return Split(Path(str(path)), preset or None)


def osc_text(text: object) -> str:
    """Text for OSC; undecodable bytes of a file name are replaced."""
    return str(text).encode("utf-8", "replace").decode()
