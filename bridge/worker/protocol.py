"""Messages between service and worker: one JSON object a line, in ASCII."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

from bridge.errors import StembridgeError, with_code


@dataclass(frozen=True)
class Load:
    """Request to load a model (`ModelRequest` as JSON data)."""

    order: dict[str, Any]


@dataclass(frozen=True)
class Process:
    """Request to make the files of one bounce in a folder (`Order` as JSON data)."""

    order: dict[str, Any]
    folder: str


@dataclass(frozen=True)
class Fetching:
    """Progress of a download of weights."""

    done_bytes: int
    total_bytes: int | None
    label: str

    @property
    def waits(self) -> bool:
        """Whether the download waits for another program, with a time limit of its own.

        That program downloads the same weights, or is a package manager (pip, npm).
        """
        return self.done_bytes == 0


@dataclass(frozen=True)
class Announced:
    """Licence of weights that are fetched for the first time."""

    text: str


@dataclass(frozen=True)
class Stage:
    """Progress of the running job: `share` (0..1) of stage `name` is done."""

    name: str
    share: float


@dataclass(frozen=True)
class Loaded:
    """Answer to Load: names of the model's outputs, in order, and `Separator.hop_s`."""

    outputs: list[str]
    hop_s: float


@dataclass(frozen=True)
class Done:
    """Answer to Process: the files are complete (`Manifest` as JSON data)."""

    manifest: dict[str, Any]


@dataclass(frozen=True)
class Failed:
    """The request failed with a known error code."""

    code: str
    words: list[str]

    @classmethod
    def of(cls, error: StembridgeError) -> Failed:
        """The message for an error."""
        return cls(error.code, [str(word) for word in error.args])

    @property
    def error(self) -> StembridgeError:
        """The error, of its original class."""
        return with_code(self.code)(*self.words)


@dataclass(frozen=True)
class Defect:
    """The request failed with an unexpected exception."""

    text: str
    traceback: str


@dataclass(frozen=True)
class NonFatalError:
    """An exception that costs part of the job, such as one session file; for the log."""

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
    """Line that is not a valid message."""


def encode(message: Message) -> bytes:
    """Encode a message as one line; non-ASCII text, lone surrogates included, is escaped."""
    data = {"kind": type(message).__name__.lower(), **asdict(message)}
    return json.dumps(data, ensure_ascii=True, default=_plain).encode("ascii") + b"\n"


def decode(line: bytes) -> Message:
    """Decode the message in a line. Raises InvalidMessage."""
    try:
        data = json.loads(line)
        kind = KINDS[data.pop("kind")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidMessage(f"not a message: {line[:80]!r}") from error
    if data.keys() != {field.name for field in fields(kind)}:
        raise InvalidMessage(f"not a {kind.__name__}: {line[:80]!r}")
    return kind(**data)


def _plain(value: object) -> str:
    """Convert a path to text. Raises TypeError for other types."""
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON serialisable")
