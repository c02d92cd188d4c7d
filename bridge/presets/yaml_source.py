"""Preset files as plain data with the line of every key and item; see `plain_yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.errors import PresetError
from bridge.system import plain_yaml
from bridge.system.plain_yaml import Location, YamlProblems

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["MAX_BYTES", "Document", "Location", "parse", "read"]

MAX_BYTES = 2**20  # a preset has a few dozen lines


@dataclass(frozen=True)
class Document:
    """Data of a file with line numbers.

    Attributes:
        path: the file.
        data: dicts (keys are text), tuples, str, int, float, bool, None.
        lines: location (keys and list indices from the top) -> line, counted from 1.
    """

    path: Path
    data: object
    lines: Mapping[Location, int]

    def line(self, location: Location) -> int:
        """Line of a location, or of its nearest parent in the file."""
        for end in range(len(location), -1, -1):
            if location[:end] in self.lines:
                return self.lines[location[:end]]
        return 1

    def problem(self, location: Location, message: str) -> str:
        """Message in the form `file:line: message`."""
        return f"{self.path}:{self.line(location)}: {_visible(message)}"


def read(path: Path) -> Document:
    """Read a file. Raises PresetError, with a line where possible."""
    if path.is_dir():
        raise PresetError(f"{path}: is a folder; name the preset's file")
    if not path.is_file():
        raise PresetError(f"{path}: there is no such file; check the path")
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PresetError(
            f"{path}: cannot be read ({error.strerror}); check its permissions"
        ) from error
    if len(raw) > MAX_BYTES:
        raise PresetError(f"{path}:1: over 1 MiB, so not a preset; check the path")
    try:
        text = plain_yaml.decode(raw)
    except YamlProblems as error:
        raise _located(path, error) from error
    return parse(text, path)


def parse(text: str, path: Path) -> Document:
    """Parse text. `path` is used for messages only. Raises PresetError."""
    try:
        plain = plain_yaml.load(text)
    except YamlProblems as error:
        raise _located(path, error) from error
    if plain.is_empty:
        raise PresetError(f"{path}:1: the file is empty; start it with `schema: 1`")
    return Document(path, plain.data, plain.lines)


def _located(path: Path, error: YamlProblems) -> PresetError:
    return PresetError(*(f"{path}:{line}: {_visible(text)}" for line, text in error.problems))


def _visible(message: str) -> str:
    """Escape unprintable characters: a key may hold line ends and bidirectional controls."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
