"""Composition of preset files: parents are merged and variables replaced.

    file ─► its parents ─► merged ─► variables ─► plain data with the origin of each part

A key of a file wins over its parent's: mappings are merged key by key at any depth, other values
replace the parent's, and null removes the parent's key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.errors import PresetError
from bridge.presets.mixdown import long_form
from bridge.presets.yaml_source import Document, Location, parse, read
from bridge.system.spelling import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Finder = Callable[[str, Path], Path]

# A longer chain is almost certainly a mistake.
MAX_PARENTS = 8
# Keys of composition, not part of the loaded preset.
EXTENDS, VARIABLES = "extends", "variables"
# Keys that versions for schema 1 alone do not know.
_SCHEMA_2 = (EXTENDS, VARIABLES, "stem_chains", "master", "session")

_VARIABLE = re.compile(r"\$\{(.*)\}", re.DOTALL)
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Composed:
    """Merged data of a file and its parents.

    Attributes:
        data: plain data.
        documents: the file, then its parents, the nearest first.
        origins: location -> index of the document, and the location in that document.
    """

    data: object
    documents: tuple[Document, ...]
    origins: Mapping[Location, tuple[int, Location]]

    @property
    def path(self) -> Path:
        """Path of the file."""
        return self.documents[0].path

    def rank(self, location: Location) -> tuple[int, int]:
        """Sort key of problems: file, then line."""
        number, place = self._origin(location)
        return number, self.documents[number].line(place)

    def problem(self, location: Location, message: str) -> str:
        """Message in the form `file:line: message`."""
        number, place = self._origin(location)
        return self.documents[number].problem(place, message)

    def _origin(self, location: Location) -> tuple[int, Location]:
        """Origin of a location, or of its nearest known parent."""
        for end in range(len(location), -1, -1):
            if location[:end] in self.origins:
                number, place = self.origins[location[:end]]
                return number, place + location[end:]
        return 0, location


@dataclass
class _Tree:
    """Data with origins, during the merge."""

    data: Any
    origins: dict[Location, tuple[int, Location]] = field(default_factory=dict)


def is_yaml(name: str) -> bool:
    """Whether a file name has a YAML suffix."""
    return name.lower().endswith((".yaml", ".yml"))


def is_file_reference(name: str) -> bool:
    """Whether a name is that of a file rather than of a preset in the folders."""
    return is_yaml(name) or "/" in name or "\\" in name


def compose(
    path: Path,
    find: Finder,
    variables: Mapping[str, object] | None = None,
    *,
    files: bool = True,
) -> Composed:
    """Read a preset file, merge its parents and replace its variables.

    Args:
        path: the preset file.
        find: returns the file of a parent, from its name and the file that extends it.
        variables: values that replace the file's own.
        files: whether the preset may name files, as parents or as its model.

    Raises:
        PresetError: with the line of each problem.
    """
    documents = _family(path, find, files=files)
    tree = _Tree({}, {(): (0, ())})
    for number in range(len(documents) - 1, -1, -1):
        grown = _with_long_mixdowns(documents[number], number)
        tree = _merged(tree, grown) if isinstance(grown.data, dict) else grown
    if isinstance(tree.data, dict):
        composed = Composed(tree.data, documents, tree.origins)
        tree.data = _with_values(composed, variables or {})
        if not files and is_file_reference(str(tree.data.get("model", ""))):
            text = "a preset beside bounces cannot name a model's file; name a model"
            raise PresetError(composed.problem(("model",), text))
    return Composed(tree.data, documents, tree.origins)


def _family(path: Path, find: Finder, *, files: bool) -> tuple[Document, ...]:
    """Read the file and its parents, the nearest first."""
    documents = [read(path)]
    seen = {path.resolve()}
    while (parent := _parent(documents[-1], find, files=files)) is not None:
        last = documents[-1]
        if parent.resolve() in seen:
            text = f"'{EXTENDS}' is circular, by {parent.name}; remove it in one file"
            raise PresetError(last.problem((EXTENDS,), text))
        if len(documents) > MAX_PARENTS:
            text = f"more than {MAX_PARENTS} presets extend each other; write some of them out"
            raise PresetError(last.problem((EXTENDS,), text))
        seen.add(parent.resolve())
        documents.append(read(parent))
    return tuple(documents)


def _parent(document: Document, find: Finder, *, files: bool) -> Path | None:
    _check_schema(document)
    data = document.data
    if not isinstance(data, dict) or EXTENDS not in data:
        return None
    name = data[EXTENDS]
    if not isinstance(name, str) or not name:
        text = f"'{EXTENDS}' must be a preset's name or file; write `{EXTENDS}: karaoke`"
        raise PresetError(document.problem((EXTENDS,), text))
    if not is_file_reference(name):
        try:
            return find(name, document.path)
        except PresetError as error:
            raise PresetError(document.problem((EXTENDS,), str(error))) from error
    if not files:
        text = "a preset beside bounces can extend only what has a name; put the file into the "
        raise PresetError(document.problem((EXTENDS,), f"{text}presets folder"))
    parent = document.path.parent / name
    if not parent.is_file():
        text = f"there is no file '{name}'; expected at {parent}"
        raise PresetError(document.problem((EXTENDS,), text))
    return parent


def _check_schema(document: Document) -> None:
    """Refuse newer keys in a file of schema 1, and a child without a schema of its own."""
    data = document.data
    if not isinstance(data, dict):
        return
    if "schema" not in data and EXTENDS in data:
        text = "key 'schema' is missing; add a line `schema: 2`"
        raise PresetError(document.problem((), text))
    if data.get("schema") != 1:
        return
    newer: list[Location] = [(key,) for key in _SCHEMA_2 if key in data]
    newer += [place for place, value in _places(data, ()) if _is_newer(place, value)]
    if newer:
        newer.sort(key=document.line)
        raise PresetError(
            *(
                document.problem(p, f"'{p[-1]}' needs a newer schema; write `schema: 2`")
                for p in newer
            )
        )


def _is_newer(place: Location, value: object) -> bool:
    is_condition = place[-1] == "when" and isinstance(value, dict)
    is_bus = place[0] == "mixdowns" and len(place) == 3 and isinstance(value, dict)
    return is_condition or is_bus


def _places(data: object, above: Location) -> Iterator[tuple[Location, object]]:
    items: Any = ()
    if isinstance(data, dict):
        items = data.items()
    elif isinstance(data, tuple):
        items = enumerate(data)
    for key, value in items:
        yield (*above, key), value
        yield from _places(value, (*above, key))


def _with_long_mixdowns(document: Document, number: int) -> _Tree:
    """Data of a file with all mixdowns in their long form, so that they can be merged."""
    data = document.data
    tree = _Tree(data, {place: (number, place) for place in document.lines})
    if not isinstance(data, dict) or not isinstance(data.get("mixdowns"), dict):
        return tree
    for name, short in data["mixdowns"].items():
        if long_form(short) is short:
            continue
        at: Location = ("mixdowns", name)
        inside = {p: o for p, o in tree.origins.items() if p[:2] == at and len(p) > 2}
        for place in inside:
            del tree.origins[place]
        tree.origins |= {(*at, "mix", *p[2:]): origin for p, origin in inside.items()}
        tree.origins[(*at, "mix")] = (number, at)
    mixdowns = {name: long_form(bus) for name, bus in data["mixdowns"].items()}
    tree.data = {**data, "mixdowns": mixdowns}
    return tree


def _merged(parent: _Tree, child: _Tree) -> _Tree:
    origins = dict(parent.origins)
    data = _merge(parent.data, child.data, (), origins, child.origins)
    return _Tree(data, origins)


def _merge(
    old: dict[str, Any],
    new: dict[str, Any],
    at: Location,
    origins: dict[Location, tuple[int, Location]],
    newer: Mapping[Location, tuple[int, Location]],
) -> dict[str, Any]:
    """Merge the new mapping over the old one; updates `origins`."""
    data = dict(old)
    origins[at] = newer.get(at, (0, at))
    for key, value in new.items():
        place = (*at, key)
        if isinstance(value, dict) and isinstance(data.get(key), dict):
            data[key] = _merge(data[key], value, place, origins, newer)
            continue
        for gone in [p for p in origins if p[: len(place)] == place]:
            del origins[gone]
        if value is None and key in data:
            del data[key]
            continue
        data[key] = value
        origins.update({p: o for p, o in newer.items() if p[: len(place)] == place})
    return data


def _with_values(composed: Composed, given: Mapping[str, object]) -> dict[str, Any]:
    """The data without the keys of composition, with variables replaced."""
    data: Any = composed.data
    declared = data.get(VARIABLES, {})
    if not isinstance(declared, dict):
        text = f"'{VARIABLES}' must have keys with values; write `{VARIABLES}: {{name: value}}`"
        raise PresetError(composed.problem((VARIABLES,), text))
    unknown = [
        f"{composed.path}: there is no variable '{name}'; "
        + (suggestion(name, declared) if declared else "it declares none")
        for name in given
        if name not in declared
    ]
    problems = list(_bad_variables(declared))
    content = {key: value for key, value in data.items() if key not in {EXTENDS, VARIABLES}}
    if content.get("schema") != 1:
        content = _replaced(content, (), {**declared, **given}, problems)
    if unknown or problems:
        problems.sort(key=lambda problem: composed.rank(problem[0]))
        raise PresetError(*unknown, *(composed.problem(*problem) for problem in problems))
    return content


def _bad_variables(declared: Mapping[str, object]) -> Iterator[tuple[Location, str]]:
    for name, value in declared.items():
        place = (VARIABLES, name)
        if not _VARIABLE_NAME.fullmatch(name):
            text = f"variable '{name}' may only have letters, digits and _; rename it"
            yield place, text
        elif isinstance(value, dict | tuple) or value is None or "${" in str(value):
            text = f"variable '{name}' must be text, a number, true or false; write one value"
            yield place, text


def _replaced(
    value: Any, at: Location, values: Mapping[str, object], problems: list[tuple[Location, str]]
) -> Any:
    """The data with variables replaced; appends to `problems`."""
    if isinstance(value, dict):
        return {k: _replaced(v, (*at, k), values, problems) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(_replaced(v, (*at, i), values, problems) for i, v in enumerate(value))
    if not isinstance(value, str) or "${" not in value:
        return value
    match = _VARIABLE.fullmatch(value)
    name = match[1].strip() if match else ""
    if name in values:
        return values[name]
    if match is None or "${" in name:
        text = "a variable must be the whole value; write `key: ${name}`"
    else:
        advice = suggestion(name, values) if values else "declare it in `variables`"
        text = f"there is no variable '{name}'; {advice}"
    problems.append((at, text))
    return value


def parse_variables(assignments: list[str]) -> dict[str, object]:
    """Parse `name=value` arguments; values are read as YAML. Raises PresetError."""
    found: dict[str, object] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise PresetError(f"--set '{text}' is not understood; write --set name=value")
        plain = parse(value, Path(f"--set {name}")).data if value.strip() else ""
        if isinstance(plain, dict | tuple) or plain is None:
            raise PresetError(f"--set '{text}': a variable is text, a number, true or false")
        found[name.strip()] = plain
    return found
