r"""Patterns for files and folders, with `*`, `?` and `**`; every other character is itself.

Brackets are common in the names of takes ("Mix [v2].wav"), so they mean nothing here, unlike in
fnmatch. Linux and macOS allow `*`, `?` and `\` in names: there a backslash before one of the three
means the character itself. Windows allows none of them, and a backslash stands for a slash there.
"""

from __future__ import annotations

import os
import unicodedata
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from bridge.publish.output_names import collision_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import PurePath

T = TypeVar("T")
U = TypeVar("U")

# Whether names may contain the characters of the pattern language.
_ESCAPES = os.sep == "/"
_SPECIAL = "*?\\"


class _Wildcard(Enum):
    ONE = "?"
    RUN = "*"


# The characters and wildcards of one name; None is any number of folders.
_Name = tuple[str | _Wildcard, ...]
_Part = _Name | None


def matches(pattern: str, bounce: PurePath, *, escapes: bool = _ESCAPES) -> bool:
    """Whether a pattern is about a bounce. Pure.

    Without a slash it is about every file and folder of that name, a folder with all below it. With
    slashes it is about the path from the top, or a folder there with all below it. `*` and `?` stay
    within one name, `**` as a whole name is any number of folders. Letter case and Unicode
    composition make no difference, as on macOS and Windows.

    Args:
        pattern: as the user writes it.
        bounce: relative to its folder.
        escapes: whether a backslash makes the next character literal; else it is a slash.
    """
    return any(
        _fits_path(_parts(pattern, fold, escapes), tuple(fold(part) for part in bounce.parts))
        for fold in (collision_key, _lower_case)
    )


def _lower_case(text: str) -> list[str]:
    """One item for each character, so that one `?` stands for "ß", which casefold makes "ss"."""
    return [character.lower() for character in unicodedata.normalize("NFC", text)]


@lru_cache(maxsize=256)
def _parts(pattern: str, fold: Callable[[str], Sequence[str]], escapes: bool) -> tuple[_Part, ...]:
    path = (pattern if escapes else pattern.replace("\\", "/")).strip("/")
    named = [text for text in path.split("/") if text not in {"", "."}]
    parts = tuple(None if text == "**" else _name(text, fold, escapes=escapes) for text in named)
    return parts if "/" in path else (None, *parts)


def _name(text: str, fold: Callable[[str], Sequence[str]], *, escapes: bool) -> _Name:
    name: list[str | _Wildcard] = []
    literal = ""
    characters = iter(text)
    for character in characters:
        if character in "*?":
            name += [*fold(literal), _Wildcard(character)]
            literal = ""
            continue
        literal += character
        if escapes and character == "\\":
            following = next(characters, "")
            is_escape = following and following in _SPECIAL
            literal = (literal[:-1] if is_escape else literal) + following
    return (*name, *fold(literal))


def _fits_path(pattern: Sequence[_Part], parts: Sequence[Sequence[str]]) -> bool:
    """Whether the pattern fits the path or a folder above it."""
    return any(
        _fits(pattern, parts[:length], lambda part: part is None, _fits_name)
        for length in range(1, len(parts) + 1)
    )


def _fits_name(wanted: _Part, name: Sequence[str]) -> bool:
    return wanted is not None and _fits(
        wanted,
        name,
        lambda one: one is _Wildcard.RUN,
        lambda one, character: one in (character, _Wildcard.ONE),
    )


def _fits(
    pattern: Sequence[T],
    items: Sequence[U],
    is_run: Callable[[T], bool],
    fits_one: Callable[[T, U], bool],
) -> bool:
    """Whether items fit a pattern with runs of any length.

    Only the last run met has to be tried again with one item more: what fits from there on would
    fit with longer earlier runs, too. So the work is at most the product of the lengths.

    Args:
        pattern: runs, and elements that stand for one item each.
        items: what has to fit, from first to last.
        is_run: whether an element of the pattern is a run.
        fits_one: whether any other element stands for an item.

    Returns:
        True when all items are used up together with the pattern.
    """
    at, run_at, resume = 0, -1, 0
    position = 0
    while position < len(items):
        if at < len(pattern) and is_run(pattern[at]):
            run_at, resume = at, position
            at += 1
        elif at < len(pattern) and fits_one(pattern[at], items[position]):
            at += 1
            position += 1
        elif run_at >= 0:
            resume += 1
            at, position = run_at + 1, resume
        else:
            return False
    return all(is_run(element) for element in pattern[at:])
