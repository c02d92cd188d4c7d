"""Links between pages lead to pages and headings that are there; also without building the site."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urldefrag

import pytest

from docs.generate import assemble, check
from docs.generate.markdown import anchors, links
from tests.docs import pages
from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

EXTERNAL = re.compile(r"[a-z]+:")


def dead(page: Path, text: str) -> Iterator[str]:
    """The links of a page in the repository that lead nowhere."""
    for link in links(text):
        if EXTERNAL.match(link):
            continue
        address, anchor = urldefrag(link)
        target = (page.parent / address).resolve() if address else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            yield link


@functools.cache
def anchors_of(path: Path) -> set[str]:
    """The anchors of a page: many links lead to the same one."""
    return set(anchors(text_of(path)))


def text_of(path: Path) -> str:
    """A page as it is read: with its generated parts, if it has any."""
    try:
        return pages.pages()[path.relative_to(assemble.DOCS).as_posix()]
    except (KeyError, ValueError):
        return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", pages.sources())
def test_every_link_leads_somewhere(name: str) -> None:
    assert list(dead(assemble.DOCS / name, pages.pages()[name])) == []


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "BENCHMARKS.md"])
def test_every_link_of_a_page_at_the_top_leads_somewhere(name: str) -> None:
    assert list(dead(ROOT / name, (ROOT / name).read_text("utf-8"))) == []


def test_a_dead_link_would_be_found() -> None:
    text = "# A\n\n[x](no.md) [y](#a) [z](#b) [w](install.md#with-make) `[q](no.md)`\n"
    assert list(dead(assemble.DOCS / "install.md", text)) == ["no.md", "#a", "#b"]


def test_every_page_is_in_the_navigation_and_every_link_holds_in_the_tree(tmp_path: Path) -> None:
    tree = tmp_path / "docs"
    written = assemble.assemble(tree)
    assert list(check.orphans(tree)) == []
    for path in written:
        for link in links((tree / path).read_text("utf-8")):
            if not EXTERNAL.match(link) and not link.startswith("#"):
                assert ((tree / path).parent / urldefrag(link)[0]).exists(), (path, link)


def test_an_orphan_would_be_found(tmp_path: Path) -> None:
    assemble.assemble(tmp_path)
    (tmp_path / "stray.md").write_text("# Stray\n")
    (tmp_path / "install.md").unlink()
    assert list(check.orphans(tmp_path)) == [
        "stray.md: not in the navigation",
        "install.md: in the navigation, but no page",
    ]


def test_every_example_is_linked() -> None:
    found = {link.split("/")[-1] for text in pages.sources().values() for link in links(text)}
    index = (ROOT / "examples" / "README.md").read_text("utf-8")
    found |= set(links(index))
    files = {file.name for file in (ROOT / "examples").iterdir() if file.is_file()}
    assert files - {"README.md"} <= found
