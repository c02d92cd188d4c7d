r"""Patterns for files and folders, with `*`, `?` and `**`; all other characters are literal.

Brackets are common in the names of takes ("Mix [v2].wav"), so they are literal, unlike in fnmatch.
Linux and macOS allow `*`, `?` and `\` in names: there a backslash escapes these three. Windows
allows none of them, and a backslash is a separator there.
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

# Whether file names may contain the special characters.
_ESCAPES = os.sep == "/"
_SPECIAL = "*?\\"


class _Wildcard(Enum):
    ONE = "?"
    RUN = "*"


# Characters and wildcards of one name; None is `**`, any number of folders.
_Name = tuple[str | _Wildcard, ...]
_Part = _Name | None


def matches(pattern: str, bounce: PurePath, *, escapes: bool = _ESCAPES) -> bool:
    """Whether a pattern matches a bounce. Pure.

    A pattern without a slash matches files and folders of that name anywhere, with slashes the path
    from the top; a matched folder includes everything in it. `*` and `?` stay within one name, `**`
    as a whole name is any number of folders. Letter case and Unicode normalisation are ignored, as
    on macOS and Windows.

    Args:
        pattern: as written by the user.
        bounce: path relative to the batch's folder.
        escapes: whether a backslash escapes the next character; else it is a separator.
    """
    return any(
        _fits_path(_parts(pattern, fold, escapes), tuple(fold(part) for part in bounce.parts))
        for fold in (collision_key, _lower_case)
    )


def _lower_case(text: str) -> list[str]:
    """Lower-case characters as a list, so that one `?` matches "ß" (casefold makes it "ss")."""
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
    """Whether a pattern with wildcards of any length matches all items.

    Greedy with backtracking to the last run only: longer earlier runs cannot match more. So the
    work is at most the product of the lengths.

    Args:
        pattern: runs (wildcards of any length) and elements that match one item each.
        items: the sequence to match.
        is_run: whether an element of the pattern is a run.
        fits_one: whether any other element matches an item.

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
