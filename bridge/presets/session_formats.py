"""Session formats of a preset: validation, and availability on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from bridge.daw.formats import FORMATS
from bridge.effects.strict import preset_error
from bridge.errors import PresetError
from bridge.system.spelling import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def _unknown(name: str) -> str:
    return f"unknown session '{name}'; {suggestion(name, FORMATS)}"


def _known(name: str) -> str:
    if name not in FORMATS:
        raise preset_error(_unknown(name))
    return name


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise preset_error(f"'session' names '{doubled[0]}' twice; remove one")
    return names


Sessions = Annotated[
    tuple[
        Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": [*FORMATS]})], ...
    ],
    AfterValidator(_once),
    Field(json_schema_extra={"uniqueItems": True}),
]


def parse_formats(names: Sequence[str]) -> tuple[str, ...]:
    """Validate formats from the command line. Raises PresetError."""
    for name in names:
        if name not in FORMATS:
            raise PresetError(f"--session: {_unknown(name)}")
    check_available(names, "--session")
    return tuple(dict.fromkeys(names))


def check_available(names: Sequence[str], place: object) -> None:
    """Raise PresetError for formats that cannot be written here; `place` starts the message."""
    problems = [f"{place}: {text}" for _, text in unavailable(names)]
    if problems:
        raise PresetError(*problems)


def unavailable(names: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Formats that cannot be written on this machine: (index, what to install)."""
    for index, name in enumerate(names):
        reason = FORMATS[name].missing()
        if reason:
            yield index, f"session '{name}' {reason}"
