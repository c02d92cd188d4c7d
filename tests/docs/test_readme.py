"""What the README says is so: its commands parse, and its output is that of the screens."""

from __future__ import annotations

import re
import shlex

import pytest

from docs.generate import screens
from docs.generate.commands import commands
from docs.generate.markdown import blocks, prose, rows
from tests.docs import pages
from tests.support import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def shown(language: str) -> list[str]:
    """The code blocks of a language."""
    return [each.text for each in blocks(README) if each.language == language]


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 200


def test_it_begins_with_two_commands() -> None:
    assert shown("sh")[0] == "make demo\nmake test\n"


def test_its_blocks_are_commands_and_output() -> None:
    assert {each.language for each in blocks(README)} == {"sh", "text"}


@pytest.mark.parametrize("line", [line for text in shown("sh") for line in text.splitlines()])
def test_every_command_is_one_that_the_pages_show(line: str) -> None:
    words = shlex.split(line)
    if words[0] == "stembridge":
        command, arguments = pages.find(words[1:])
        command.make_context(command.name, arguments)  # raises for what it does not know
    else:
        assert any(line in sample.text for sample in pages.samples("sh")), line


def test_the_five_commands_exist() -> None:
    found = [row[0] for row in rows(README, "command", "what it does")]
    assert len(found) == 5
    names = [name for name, _ in commands()]
    for text in found:
        words = text.strip("`").split()[1:]
        assert any(" ".join(words).startswith(name) for name in names), text
    for text in re.findall(r"`(stembridge [^`]+)`", prose(README)):
        pages.find(shlex.split(text)[1:])


def test_its_output_is_that_of_the_screens() -> None:
    real = {
        line
        for name in ("demo", "watch")
        for line in screens.comparable(screens.path_of(name).read_text(encoding="utf-8"))
    }
    picture, *outputs = shown("text")
    assert "──►" in picture
    assert len(outputs) == 2
    for output in outputs:
        assert set(screens.comparable(output)) <= real


def test_it_names_the_size_of_what_the_demo_fetches() -> None:
    from separator.weights import catalog

    sources = catalog.load().weights["spleeter-2stems"].sources
    sizes = {round(size / 1e6) for s in sources if (size := s.archive.size_bytes)}
    assert 89 in sizes
    assert "89 MB" in README
