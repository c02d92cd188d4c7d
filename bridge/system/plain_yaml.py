"""Parser of a subset of YAML into plain data, with the line of every key and item.

It reads mappings, lists, text, numbers, true/false and null, and resolves anchors, aliases and
merge keys (`<<: *name`). Tags are errors, so that a file creates no objects. `off`, `on`, `yes`,
`no`, 1:30 and dates are text, and 010 is ten, unlike in YAML 1.1, where `vocals: off` means
`vocals: false`.
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
MAX_ALIASES = 16  # nested over five levels, these repeat a node 250 times at most
MAX_DEPTH = 16  # a preset needs 4; the parser overflows the stack near 300

_TAG = "tag:yaml.org,2002:"
# https://yaml.org/type/merge.html
_MERGE = "<<"
# YAML 1.2, section 5.2. UTF-32 before UTF-16, whose mark is a prefix of its mark.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class YamlProblems(Exception):
    """Errors of a text: YamlProblems((line, message), ...), lines counted from 1."""

    def __init__(self, *problems: tuple[int, str]) -> None:
        super().__init__(*problems)
        self.problems = problems


@dataclass(frozen=True)
class PlainYaml:
    """Data of a text, and the line of each value.

    Attributes:
        data: dicts with text keys, tuples, str, int, float, bool, None.
        lines: line, counted from 1, by location (keys and list indices from the top).
    """

    data: object
    lines: Mapping[Location, int] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether the text is empty, only comments, or null."""
        return self.data is None


def decode(raw: bytes) -> str:
    """Decode a file by its byte order mark, else as UTF-8. Raises YamlProblems."""
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
    """Parse a text. Raises YamlProblems with all errors, or the first one of syntax."""
    try:
        # Not yaml.load: the loader below composes nodes and constructs no objects.
        root = _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        raise YamlProblems(_syntax(error, text)) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"character U+{ord(text[error.position]):04X} is not allowed; remove it"
        raise YamlProblems((line, message)) from error
    if root is None:
        return PlainYaml(None)
    plain = _PlainConverter()
    data = plain.value(root, ())
    if plain.problems:
        raise YamlProblems(*dict.fromkeys(plain.problems))  # an alias repeats those of its anchor
    return PlainYaml(data, plain.lines)


# Remedies, by a part of PyYAML's message.
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
    """Line and message of a syntax error, with a remedy."""
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    problem = error.problem or "cannot be understood"
    if isinstance(error, _UnsupportedYaml):
        return line, problem
    began = error.context_mark.line + 1 if error.context_mark else line
    if "quoted scalar" in (error.context or "") and "end of stream" in problem:
        return began, "the quote that begins here is not closed; close it"
    # The parser reports a missing space in the next line.
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
    """Message for a Unicode space, as from web pages, that YAML does not treat as one."""
    odd = {c for c in text if unicodedata.category(c) == "Zs" and c != " "}
    if not odd:
        return None
    return f"character U+{ord(min(odd)):04X} looks like a space; type a plain space in its place"


class _UnsupportedYaml(yaml.MarkedYAMLError):
    """Valid YAML outside the supported subset."""


class _Loader(yaml.SafeLoader):
    """Composes nodes; rejects tags, too many aliases or nodes, and deep nesting."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._aliases = 0
        self._depth = 0
        self._nodes = 0

    def scan_to_next_token(self) -> None:
        """Skip tabs as separators (YAML 1.2, section 6.2), which PyYAML rejects."""
        super().scan_to_next_token()
        while self.peek() == "\t" and self._is_separation():
            self.forward()
            super().scan_to_next_token()

    def _is_separation(self) -> bool:
        """Whether the white space here follows a token or ends the line."""
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
                self._reject(event, f"more than {MAX_ALIASES} aliases; write the values out")
        elif getattr(event, "tag", None) is not None:
            self._reject(event, f"tag '{event.tag}' is not allowed; write the plain value")
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._reject(
                event, f"more than {MAX_NODES} keys and values, so another file; check the path"
            )
        if self._depth == MAX_DEPTH:
            self._reject(event, f"nested deeper than {MAX_DEPTH} levels; check the brackets")
        self._depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    @staticmethod
    def _reject(event: Any, problem: str) -> None:
        raise _UnsupportedYaml(problem=problem, problem_mark=event.start_mark)


# Scalars of YAML 1.2's core schema (section 10.3.2), without octal and hexadecimal numbers.
# Integers of more than 15 digits are read as floats, because Python limits the length of integers.
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


class _PlainConverter:
    """Converts nodes into plain data, and collects lines and problems."""

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
        """Reject control characters (Cc) and surrogates (Cs), which YAML can escape.

        A value "\\e[2J" would clear the terminal that shows it.
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
        """Text of a key; None, and a problem, for an invalid key."""
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
        """Add missing keys from the merged mappings; earlier ones take precedence."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                text = "`<<` takes a mapping, or a list of mappings; write `<<: *name`"
                self.problems.append((_line(source), text))
                continue
            others = _PlainConverter()
            others._open = self._open  # detects an anchor that merges itself
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
    """Whether a key is a plain `<<`; in quotes it is an ordinary key."""
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
