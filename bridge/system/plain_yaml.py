"""A YAML text as plain data, with the line of every key and item.

Mappings, lists, text, numbers, true/false and null are read, anchors, aliases and merge keys
(`<<: *name`) worked out. Tags are refused, so no object is ever built from a file, and `off`, `on`,
`yes`, `no` stay text: in YAML 1.1 they are truth values, and `vocals: off` would turn into
`vocals: false`. So do 1:30 (90 in YAML 1.1) and dates; 010 is ten (8 in YAML 1.1).
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

Location: TypeAlias = tuple[str | int, ...]

MAX_NODES = 2000  # keys and values; a preset has some fifty
MAX_ALIASES = 16  # split over five levels, so few repeat a node 250 times at most
MAX_DEPTH = 16  # a preset needs 4; the parser would run out of stack near 300

_TAG = "tag:yaml.org,2002:"
# https://yaml.org/type/merge.html
_MERGE = "<<"
# YAML 1.2, section 5.2. The longer marks first: that of UTF-16 is the beginning of that of UTF-32.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class YamlProblems(Exception):
    """What is wrong with a text: YamlProblems((line, message), ...), lines counted from 1."""

    def __init__(self, *problems: tuple[int, str]) -> None:
        super().__init__(*problems)
        self.problems = problems


@dataclass(frozen=True)
class PlainYaml:
    """What a text says, and where.

    data: dicts (keys are text), tuples, str, int, float, bool, None.
    lines: from location (keys and list indices from the top) to line, counted from 1.
    """

    data: object
    lines: Mapping[Location, int] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing but comments, or null alone."""
        return self.data is None


def decode(raw: bytes) -> str:
    """The text of a file, by its byte order mark, else UTF-8. Raises YamlProblems."""
    mark, encoding = next(
        ((mark, encoding) for mark, encoding in _BYTE_ORDER_MARKS if raw.startswith(mark)),
        (b"", "utf-8"),
    )
    body = raw.removeprefix(mark)
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise YamlProblems((line, "not UTF-8 text; save the file as UTF-8")) from error
    if "\0" in text:
        raise YamlProblems((1, "not a text file; check the path, or save the file as UTF-8"))
    return text


def load(text: str) -> PlainYaml:
    """What a text says. Raises YamlProblems, with everything that is wrong if it can be read."""
    try:
        # Not yaml.load: the loader below only composes nodes, it constructs nothing.
        root = _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        raise YamlProblems(_syntax(error, text)) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"character U+{ord(text[error.position]):04X} is not allowed; remove it"
        raise YamlProblems((line, message)) from error
    if root is None:
        return PlainYaml(None)
    plain = _Plain()
    data = plain.value(root, ())
    if plain.problems:
        raise YamlProblems(*dict.fromkeys(plain.problems))  # an alias repeats those of its anchor
    return PlainYaml(data, plain.lines)


# Of PyYAML's messages, by a part of each: what to do.
_ADVICE = {
    "'\\t'": "a tab cannot indent YAML; use spaces",
    "mapping values are not allowed": "a `: ` is not expected here; put text that holds one in "
    "quotes, and a space after the colon of every key",
    "while scanning an alias": "text cannot begin with *; put it in quotes",
    "while scanning an anchor": "text cannot begin with &; put it in quotes",
    "unknown escape character": "a backslash in double quotes is an escape; use single quotes",
    "expected '<document start>'": "what follows `...` is a second document; remove it",
    "single document": "a second document starts here; keep one per file and remove `---`",
}
_NO_SPACE = re.compile(r"\s*(?:- )?[\w-]+:[^\s:/\\]")


def _syntax(error: yaml.MarkedYAMLError, text: str) -> tuple[int, str]:
    """Line and message of a syntax error, with what to do about it."""
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    problem = error.problem or "cannot be understood"
    if isinstance(error, _Refused):
        return line, problem
    began = error.context_mark.line + 1 if error.context_mark else line
    if "quoted scalar" in (error.context or "") and "end of stream" in problem:
        return began, "the quote that begins here is not closed; close it"
    # The parser notices a missing space in the line after it.
    if "mapping values" in problem or "expected ':'" in problem:
        for number in range(max(1, min(began, line - 1)), line + 1):
            slip = _missing_space("".join(text.splitlines()[number - 1 : number]))
            if slip:
                return number, slip
    return line, _advice(f"{problem} {error.context or ''}") or (
        f"not valid YAML ({problem}); check indentation, colons and quotes near here"
    )


def _advice(problem: str) -> str | None:
    start = re.search(r"character '(.+)' that cannot start any token", problem)
    if start and start[1] != "\\t":
        return f"text cannot begin with {start[1]}; put it in quotes"
    undefined = re.search(r"undefined alias '(.+?)'", problem)
    if undefined:
        return f"there is no anchor '&{undefined[1]}'; put text that begins with * in quotes"
    return next((advice for part, advice in _ADVICE.items() if part in problem), None)


def _missing_space(line: str) -> str | None:
    odd = _odd_space(line)
    if odd:
        return odd
    return "a space is missing after the colon; add it" if _NO_SPACE.match(line) else None


def _odd_space(text: str) -> str | None:
    """Spaces that are none to YAML: web pages and word processors use them."""
    odd = {c for c in text if unicodedata.category(c) == "Zs" and c != " "}
    if not odd:
        return None
    return f"character U+{ord(min(odd)):04X} looks like a space; type a plain space in its place"


class _Refused(yaml.MarkedYAMLError):
    """Valid YAML that is not read here."""


class _Loader(yaml.SafeLoader):
    """Composes nodes; refuses tags, many aliases or nodes, and deep nesting while it does."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._aliases = 0
        self._depth = 0
        self._nodes = 0

    def scan_to_next_token(self) -> None:
        """YAML 1.2 (section 6.2) lets tabs separate, only not indent; PyYAML takes none."""
        super().scan_to_next_token()
        while self.peek() == "\t" and self._is_separation():
            self.forward()
            super().scan_to_next_token()

    def _is_separation(self) -> bool:
        """Whether the white space at hand lies behind a token, or before nothing."""
        scanner: Any = self
        before = scanner.buffer[scanner.pointer - scanner.column : scanner.pointer]
        ahead = 0
        while self.peek(ahead) in "\t ":
            ahead += 1
        return bool(before.strip()) or self.peek(ahead) in "#\0\r\n"

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
                event, f"more than {MAX_NODES} keys and values, so another file; check the path"
            )
        if self._depth == MAX_DEPTH:
            self._refuse(event, f"nested deeper than {MAX_DEPTH} levels; check the brackets")
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
        merges: list[yaml.Node] = []
        for key, value in node.value:
            if _is_merge(key):
                merges.append(value)
                if len(merges) == 2:
                    text = "`<<` stands twice; write one, as in `<<: [*a, *b]`"
                    self.problems.append((_line(key), text))
                continue
            name = self._key(key)
            if name is None:
                continue
            if name in data:
                first = self.lines[(*location, name)]
                self.problems.append(
                    (_line(key), f"key '{name}' stands twice (also in line {first}); remove one")
                )
                continue
            self.lines[(*location, name)] = _line(key)
            data[name] = self.value(value, (*location, name))
        for merged in merges[:1]:
            self._merge(merged, data, location)
        return data

    def _key(self, key: yaml.Node) -> str | None:
        """Its text; None, and a problem, for one that is none."""
        if not isinstance(key, yaml.ScalarNode):
            self.problems.append(
                (_line(key), "a key must be a word; quote it or check the brackets")
            )
            return None
        self._check_characters(key)
        name = str(key.value)
        odd = _odd_space(name) if key.style is None else None
        if odd:
            self.problems.append((_line(key), odd))
            return None
        return name

    def _merge(self, node: yaml.Node, data: dict[str, object], location: Location) -> None:
        """Adds keys of other mappings where the mapping has none; of several, the first counts."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                text = "`<<` takes a mapping, or a list of mappings; write `<<: *name`"
                self.problems.append((_line(source), text))
                continue
            others = _Plain()
            others._open = self._open  # an anchor that merges itself is found there
            merged = others.value(source, location)
            self.problems += others.problems
            for name, value in merged.items() if isinstance(merged, dict) else ():
                if name in data:
                    continue
                data[name] = value
                place = (*location, name)
                self.lines |= _below(others.lines, place)


def _below(lines: Mapping[Location, int], place: Location) -> dict[Location, int]:
    return {where: line for where, line in lines.items() if where[: len(place)] == place}


def _is_merge(key: yaml.Node) -> bool:
    """A plain `<<`: in quotes it is a key like any other."""
    return isinstance(key, yaml.ScalarNode) and key.value == _MERGE and key.style is None


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
