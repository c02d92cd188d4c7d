"""The source tree of the site: pages with their generated parts, and the files they link."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from docs.generate.parts import PARTS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
BUILD = ROOT / "build" / "docs"

# What pages link outside docs/; it becomes part of the site, at the same place below its root.
OUTSIDE = ("CHANGELOG.md", "BENCHMARKS.md", "LICENSE", "examples", "constraints.txt")
ASSETS = (".css", ".svg", ".png")
_PLACEHOLDER = re.compile(r"^<!-- generate: ([\w-]+) -->$", re.MULTILINE)
_LINK = re.compile(r"(\]\()((?:\.\./)+)([^)#\s]+)")


def pages() -> dict[Path, str]:
    """Every page by its path below docs/, with its generated parts."""
    return {
        path.relative_to(DOCS): filled(path.read_text(encoding="utf-8"))
        for path in sorted(DOCS.rglob("*.md"))
    }


def filled(text: str) -> str:
    """A page with its placeholders replaced.

    Raises:
        KeyError: there is no generated part of that name.
    """
    return _PLACEHOLDER.sub(lambda found: PARTS[found[1]]().rstrip("\n"), text)


def assemble(target: Path) -> list[Path]:
    """Write the tree into `target`, which is replaced; returns the paths of the pages in it."""
    shutil.rmtree(target, ignore_errors=True)
    texts = {path: _inside(path, text) for path, text in pages().items()}
    for name in OUTSIDE:
        for source in _files(ROOT / name):
            path = source.relative_to(ROOT)
            if path.suffix == ".md":
                text = _inside(path, source.read_text(encoding="utf-8"))
                texts[_in_tree(path)] = text.replace("README.md)", "index.md)")
            else:
                _copy(source, target / path)
    for source in _files(DOCS):
        if source.suffix in ASSETS:
            _copy(source, target / source.relative_to(DOCS))
    for path, text in texts.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text(text, encoding="utf-8")
    return list(texts)


def _inside(path: Path, text: str) -> str:
    """The page with its links as they are in the tree.

    docs/ is the root of the tree, so a link that leaves docs/ loses one `../`, and a link from
    beside docs/ into it loses its `docs/`.
    """
    depth = len(path.parent.parts)

    def moved(found: re.Match[str]) -> str:
        ups = found[2].count("../")
        if ups == depth + 1 and found[3].startswith(OUTSIDE):
            return f"{found[1]}{'../' * depth}{found[3]}"
        return found[0]

    if path.parts[0] in OUTSIDE:
        return re.sub(r"(\]\((?:\.\./)*)docs/", r"\1", text)
    return _LINK.sub(moved, text)


def _in_tree(path: Path) -> Path:
    """The page of a folder is index.md in the site."""
    return path.with_name("index.md") if path.name == "README.md" else path


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
        return
    for path in sorted(place.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
