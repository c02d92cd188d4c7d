"""Markdown as the pages use it: tables, code blocks, headings and links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_INLINE_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)\)")
# A `|` that is not escaped, and not in code: an even number of backticks follows.
_SEPARATOR = re.compile(r"(?<!\\)\|(?=(?:[^`]*`[^`]*`)*[^`]*$)")
_HEADING = re.compile(r"^(#{1,6}) (.+?)(?: \{#([\w.-]+)\})?$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced code block, without its indentation."""

    language: str
    text: str


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; a `|` in a cell is escaped, unless it is in code, where it does not count."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(_cell(str(cell)) for cell in row)} |\n" for row in lines)


def _cell(text: str) -> str:
    parts = re.split(r"(`[^`]*`)", text.replace("\n", " "))
    return "".join(p if p.startswith("`") else p.replace("|", "\\|") for p in parts)


def block(language: str, text: str) -> str:
    """A fenced code block."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def blocks(page: str) -> Iterator[Block]:
    """The fenced code blocks of a page, in order."""
    for found in FENCE.finditer(page):
        indent = found["indent"]
        lines = (line.removeprefix(indent) for line in found["text"].splitlines(keepends=True))
        yield Block(found["language"], "".join(lines))


def prose(page: str) -> str:
    """The page without its code blocks."""
    return FENCE.sub("", page)


def links(page: str) -> list[str]:
    """The targets of inline links and images, outside code."""
    return _LINK.findall(_INLINE_CODE.sub("", prose(page)))


def slug(heading: str) -> str:
    """The anchor that Python-Markdown's `toc` gives a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    plain = re.sub(r"[^\w\s-]", "", plain.encode("ascii", "ignore").decode()).strip().lower()
    return re.sub(r"[-\s]+", "-", plain)


def anchors(page: str) -> set[str]:
    """The anchors of all headings; a repeated heading gets a number."""
    found: set[str] = set()
    for _, heading, given in _HEADING.findall(prose(page)):
        name, number = given or slug(heading), 0
        while name in found:
            number += 1
            name = f"{slug(heading)}_{number}"
        found.add(name)
    return found


def rows(page: str, *header: str) -> list[list[str]]:
    """The rows of the table whose header begins with these cells.

    Raises:
        LookupError: the page has no such table.
    """
    lines = iter(prose(page).splitlines())
    for line in lines:
        if _cells(line)[: len(header)] == list(header):
            next(lines)  # the rule below the header
            found: list[list[str]] = []
            for row in lines:
                if not row.startswith("|"):
                    break
                found.append(_cells(row))
            return found
    raise LookupError(f"no table with the header {header}")


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    cells = _SEPARATOR.split(inner)
    return [cell.strip().replace("\\|", "|") for cell in cells]
