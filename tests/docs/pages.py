"""The pages of docs/ as they are read: their code blocks, and the commands in them."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer.main

from bridge.cli import app
from docs.generate import assemble, markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

# Pages that are made from code as a whole; what they say of commands is not an example.
REFERENCE = "reference"
_BLOCK_COMMAND = re.compile(r"^(stembridge (?:\w|-).*?)(?: +# .*)?$", re.MULTILINE)
_SCREEN_COMMAND = re.compile(r"^\$ (stembridge .*)$", re.MULTILINE)
_INLINE_COMMAND = re.compile(r"`(stembridge [^`]+)`")


def find(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words lead to, and its arguments."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    return command, words


@dataclass(frozen=True)
class Sample:
    """A code block, or a command in it, and the page that shows it."""

    page: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text.strip().splitlines()[0]}"


@functools.cache
def sources() -> dict[str, str]:
    """Every page as it is in the repository, by its path below docs/."""
    paths = sorted(assemble.DOCS.rglob("*.md"))
    return {p.relative_to(assemble.DOCS).as_posix(): p.read_text("utf-8") for p in paths}


@functools.cache
def pages() -> dict[str, str]:
    """Every page with its generated parts."""
    return {path.as_posix(): text for path, text in assemble.pages().items()}


def samples(language: str) -> list[Sample]:
    """Every code block of that language."""
    return [
        Sample(page, each.text)
        for page, text in pages().items()
        for each in markdown.blocks(text)
        if each.language == language
    ]


def block_with(words: str, language: str = "yaml") -> str:
    """The one block that has these words."""
    (found,) = [each.text for each in samples(language) if words in each.text]
    return found


def shell_commands() -> list[Sample]:
    """Every `stembridge` command in a shell block, each once."""
    found = {
        command: Sample(sample.page, command)
        for sample in samples("sh")
        for command in _BLOCK_COMMAND.findall(sample.text)
    }
    return list(found.values())


def screen_commands() -> list[Sample]:
    """Every command that a screen shows."""
    return [Sample(s.page, c) for s in samples("text") for c in _SCREEN_COMMAND.findall(s.text)]


def inline_commands() -> list[Sample]:
    """Every command in running text."""

    def found() -> Iterator[Sample]:
        for page, text in pages().items():
            if not page.startswith(REFERENCE):
                for command in _INLINE_COMMAND.findall(markdown.prose(text)):
                    yield Sample(page, " ".join(command.split()))

    return list(dict.fromkeys(found()))
