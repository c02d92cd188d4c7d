"""A YAML file as plain data, with the line of every key and item.

Only what a preset needs is read: mappings, lists, text, numbers, true/false and null. Tags are
refused, so no object is ever built from a file, and `off`, `on`, `yes`, `no` stay text (in YAML 1.1
they are truth values, and `vocals: off` would turn into `vocals: false`).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from bridge.errors import PresetError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Location: TypeAlias = tuple[str | int, ...]

MAX_BYTES = 2**20  # a preset has a few dozen lines; more is the wrong file
MAX_NODES = 2000  # keys and values; a preset has some fifty
MAX_ALIASES = 16  # split over five levels, so few repeat a node 250 times at most
MAX_DEPTH = 16  # the schema needs 4; the parser would run out of stack near 300

_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Document:
    """A file's data, and where each part of it stands.

    data: dicts (keys are text), tuples, str, int, float, bool, None.
    lines: from location (keys and list indices from the top) to line, counted from 1.
    """

    path: Path
    data: object
    lines: Mapping[Location, int]

    def line(self, location: Location) -> int:
        """The line of a location, or of the nearest thing around it that stands in the file."""
        for end in range(len(location), -1, -1):
            if location[:end] in self.lines:
                return self.lines[location[:end]]
        return 1

    def problem(self, location: Location, message: str) -> str:
        """`file:line: message`."""
        return f"{self.path}:{self.line(location)}: {_visible(message)}"


def read(path: Path) -> Document:
    """Read a file. Raises PresetError (PresetError where a line can be named)."""
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
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise PresetError(f"{path}:{line}: not UTF-8 text; save the file as UTF-8") from error
    return parse(text, path)


def parse(text: str, path: Path) -> Document:
    """Parse text. `path` is used for messages only. Raises PresetError."""
    try:
        # Not yaml.load: the loader below only composes nodes, it constructs nothing.
        root = _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise PresetError(f"{path}:{line}: {_visible(_syntax(error))}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = (
            f"{path}:{line}: character U+{ord(text[error.position]):04X} is not allowed; remove it"
        )
        raise PresetError(problem) from error
    if root is None:
        raise PresetError(f"{path}:1: the file is empty; start it with `schema: 1`")
    plain = _Plain()
    data = plain.value(root, ())
    document = Document(path, data, plain.lines)
    if plain.problems:
        problems = [f"{path}:{line}: {_visible(message)}" for line, message in plain.problems]
        raise PresetError(*problems)
    return document


def _visible(message: str) -> str:
    """One line that shows what it quotes: a key may hold line ends and changes of direction."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    """A syntax error in one line, with what to do about it."""
    if isinstance(error, _Refused):
        return str(error.problem)
    problem = error.problem or "cannot be understood"
    if "'\\t'" in problem:
        return "a tab cannot indent YAML; use spaces"
    if "single document" in (error.context or ""):
        return "a second document starts here; keep one per file and remove `---`"
    return f"not valid YAML ({problem}); check indentation, colons and quotes near here"


class _Refused(yaml.MarkedYAMLError):
    """Valid YAML that a preset has no use for."""


class _Loader(yaml.SafeLoader):
    """Composes nodes; refuses tags, many aliases or nodes, and deep nesting while it does."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._aliases = 0
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            self._aliases += 1
            if self._aliases > MAX_ALIASES:
                self._refuse(event, f"more than {MAX_ALIASES} aliases; write the values out")
        elif getattr(event, "tag", None) is not None:
            self._refuse(event, f"tag '{event.tag}' is not allowed; write the plain value")
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._refuse(
                event, f"more than {MAX_NODES} keys and values, so not a preset; check the path"
            )
        if self._depth == MAX_DEPTH:
            self._refuse(event, f"nested deeper than {MAX_DEPTH} levels; a preset needs 4")
        self._depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    @staticmethod
    def _refuse(event: Any, problem: str) -> None:
        raise _Refused(problem=problem, problem_mark=event.start_mark)


# The scalars of YAML 1.2's core schema (section 10.3.2), without octal and hexadecimal numbers.
# Whole numbers of more than 15 digits are read as floats: no setting needs them exactly, and Python
# refuses to read very long ones as integers.
_RULES = (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]{1,15}", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
)
_Loader.yaml_implicit_resolvers = {}  # none of YAML 1.1's
for _name, _pattern, _first in _RULES:
    # The empty string stands for "the scalar is empty".
    _Loader.add_implicit_resolver(
        _TAG + _name, re.compile(f"^(?:{_pattern})$"), [*_first, *([""] if _name == "null" else [])]
    )


class _Plain:
    """Turns nodes into plain data; collects the lines and the problems on the way."""

    def __init__(self) -> None:
        self.lines: dict[Location, int] = {}
        self.problems: list[tuple[int, str]] = []
        self._open: set[int] = set()

    def value(self, node: yaml.Node, location: Location) -> object:
        self.lines.setdefault(location, _line(node))
        if isinstance(node, yaml.ScalarNode):
            self._check_characters(node)
            return _scalar(node)
        if id(node) in self._open:
            self.problems.append((_line(node), "an alias contains itself; write the values out"))
            return None
        self._open.add(id(node))
        data = (
            self._mapping(node, location)
            if isinstance(node, yaml.MappingNode)
            else self._list(node, location)
        )
        self._open.remove(id(node))
        return data

    def _check_characters(self, node: yaml.ScalarNode) -> None:
        """YAML has escapes for what it forbids: "\\e[2J" would clear the terminal that shows it.

        Neither control characters (Cc) nor halves of characters (Cs) are text.
        """
        bad = next(
            (
                c
                for c in str(node.value)
                if unicodedata.category(c) in {"Cc", "Cs"} and c not in "\n\t"
            ),
            None,
        )
        if bad is not None:
            message = f"character U+{ord(bad):04X} is not allowed, not even escaped; remove it"
            self.problems.append((_line(node), message))

    def _list(self, node: yaml.Node, location: Location) -> tuple[object, ...]:
        return tuple(self.value(item, (*location, index)) for index, item in enumerate(node.value))

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, object]:
        data: dict[str, object] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.problems.append(
                    (_line(key), "a key must be a word; quote it or check the brackets")
                )
                continue
            self._check_characters(key)
            name = str(key.value)
            if name in data:
                first = self.lines[(*location, name)]
                self.problems.append(
                    (_line(key), f"key '{name}' stands twice (also in line {first}); remove one")
                )
                continue
            self.lines[(*location, name)] = _line(key)
            data[name] = self.value(value, (*location, name))
        return data


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _scalar(node: yaml.ScalarNode) -> object:
    text = str(node.value)
    kind = node.tag.removeprefix(_TAG)
    if kind == "int":
        return int(text)
    if kind == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if kind == "bool":
        return text.lower() == "true"
    return None if kind == "null" else text
