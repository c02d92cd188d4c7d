"""What service and worker tell each other: one JSON object a line, ASCII only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

from bridge.errors import StembridgeError, with_code


@dataclass(frozen=True)
class Load:
    """To the worker: have this model ready (`ModelOrder` as data)."""

    order: dict[str, Any]


@dataclass(frozen=True)
class Process:
    """To the worker: make the files of one bounce in a folder (`Order` as data)."""

    order: dict[str, Any]
    folder: str


@dataclass(frozen=True)
class Fetching:
    """Weights are on their way."""

    done_bytes: int
    total_bytes: int | None
    label: str

    @property
    def waits(self) -> bool:
        """Whether it waits for another program, however long.

        That fetches the same, or fetches for us (pip, npm), and has limits of its own.
        """
        return self.done_bytes == 0


@dataclass(frozen=True)
class Announced:
    """The licence of weights that are new here."""

    text: str


@dataclass(frozen=True)
class Stage:
    """A stage of the running job is done to this share (0..1)."""

    name: str
    share: float


@dataclass(frozen=True)
class Loaded:
    """The model is ready; the names of its outputs, in its order, and `Separator.hop_s`."""

    outputs: list[str]
    hop_s: float


@dataclass(frozen=True)
class Done:
    """The job's files are complete; `Manifest` as data."""

    manifest: dict[str, Any]


@dataclass(frozen=True)
class Failed:
    """What was asked for cannot be had, for a reason that has a class in the tree of errors."""

    code: str
    words: list[str]

    @classmethod
    def of(cls, error: StembridgeError) -> Failed:
        """The message for an error."""
        return cls(error.code, [str(word) for word in error.args])

    @property
    def error(self) -> StembridgeError:
        """The error again, of the same class."""
        return with_code(self.code)(*self.words)


@dataclass(frozen=True)
class Defect:
    """An exception that nobody foresaw: in a line, and with all its lines."""

    text: str
    traceback: str


@dataclass(frozen=True)
class NonFatalError:
    """A defect that costs a part of the job and not the job; for the log."""

    text: str
    traceback: str


Message: TypeAlias = (
    Load | Process | Fetching | Announced | Stage | Loaded | Done | Failed | Defect | NonFatalError
)
KINDS: dict[str, type[Message]] = {
    cls.__name__.lower(): cls
    for cls in (
        Load,
        Process,
        Fetching,
        Announced,
        Stage,
        Loaded,
        Done,
        Failed,
        Defect,
        NonFatalError,
    )
}


class InvalidMessage(ValueError):
    """A line that is no message."""


def encode(message: Message) -> bytes:
    """One line. Text of any kind survives: what is not ASCII is escaped, lone surrogates too."""
    data = {"kind": type(message).__name__.lower(), **asdict(message)}
    return json.dumps(data, ensure_ascii=True, default=_plain).encode("ascii") + b"\n"


def decode(line: bytes) -> Message:
    """The message of a line. Raises Garbage."""
    try:
        data = json.loads(line)
        kind = KINDS[data.pop("kind")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidMessage(f"not a message: {line[:80]!r}") from error
    if data.keys() != {field.name for field in fields(kind)}:
        raise InvalidMessage(f"not a {kind.__name__}: {line[:80]!r}")
    return kind(**data)


def _plain(value: object) -> str:
    """A path inside plain data; nothing else may be there that JSON does not know."""
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} does not travel")
