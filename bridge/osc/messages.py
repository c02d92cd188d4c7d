"""The address space: what may be asked, what is answered, and how a packet is read. Pure."""

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
    """An address of the interface. asked: whether it comes in; else it goes out."""

    name: str
    arguments: str
    meaning: str
    asked: bool = False


#: s is text, i a whole number, f a number with a fraction (OSC 1.0, "OSC Type Tag String").
ADDRESSES = (
    Address(SPLIT, "path `s`, preset `s`", "make stems of this file; no preset: as usual", True),
    Address(STATUS, "", "how do things stand?", True),
    Address(PING, "", "is anybody there?", True),
    Address(QUEUED, "path `s`", "the job is noted, and will survive a restart"),
    Address(PROGRESS, "path `s`, stage `s`, share `f`", "of this stage, 0 to 1"),
    Address(WAITING, "path `s`, reason `s`", "it is tried again later"),
    Address(DONE, "manifest `s`, path `s`", "the stems are there"),
    Address(FAILED, "path `s`, reason `s`", "there will be no stems; the path may be empty"),
    Address(STANDING, "pending `i`, running `i`, done `i`, failed `i`, paused `s`", "to `status`"),
    Address(PONG, "version `s`, folder `s`", "to `ping`"),
)


@dataclass(frozen=True, slots=True)
class Message:
    """An address and its arguments."""

    address: str
    arguments: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """Somebody wants the stems of a file. preset: its name, None for the usual one."""

    path: Path
    preset: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """Somebody wants to know how things stand."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Somebody wants to know whether a service listens."""


Request = Split | Status | Ping


def parse_request(address: str, arguments: Sequence[object]) -> Request | None:
    """What a message asks for; None for an address that is not ours.

    Control surfaces send a value with every press (1.0, and 0.0 when the key is let go), so what
    `status` and `ping` bring along is not looked at.

    Raises UsageError for a `split` that names no file.
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
        raise UsageError(f"{SPLIT} takes the path of a file and, if you like, a preset's name")
    return Split(Path(str(path)), preset or None)


def osc_text(text: object) -> str:
    """As OSC text: a file name may hold bytes that are none in any encoding."""
    return str(text).encode("utf-8", "replace").decode()
