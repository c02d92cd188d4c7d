"""Check the built site: python -m docs.generate.check SITE.

Every link leads to a page and an anchor that are there, every page can be reached from the
navigation, and no page loads anything from another host.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urldefrag

from docs.generate.assemble import BUILD, ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator

# Attributes with which a page loads something, as opposed to linking it.
_LOADING = {
    ("script", "src"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
    ("link", "href"),
}
_NOT_LOADED = {"canonical", "alternate", "next", "prev", "license"}
_CSS_URL = re.compile(r"""(?:url\(|@import )\s*['"]?((?:https?:)?//[^'")]+)""")


@dataclass
class Page(HTMLParser):
    """The links, anchors and loaded files of a page."""

    links: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    loaded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag links, names or loads."""
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.anchors.add(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        for name, value in given.items():
            if (tag, name) in _LOADING and given.get("rel") not in _NOT_LOADED:
                self.loaded.append(value)


def problems(site: Path) -> Iterator[str]:
    """Everything that is wrong with the site, a line each."""
    pages = {path: read(path) for path in sorted(site.rglob("*.html"))}
    yield from _unreachable(site, pages)
    for path, page in pages.items():
        name = path.relative_to(site)
        if name.name == "404.html":
            continue  # its links begin at the root of a host
        for link in page.links:
            trouble = _dead(path, link, pages)
            if trouble:
                yield f"{name}: {link}: {trouble}"
        for address in page.loaded:
            if re.match(r"(?:https?:)?//", address):
                yield f"{name}: loads {address}"
    for sheet in sorted(site.rglob("*.css")):
        for address in _CSS_URL.findall(sheet.read_text(encoding="utf-8")):
            yield f"{sheet.relative_to(site)}: loads {address}"


def read(path: Path) -> Page:
    """A page of the site."""
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _unreachable(site: Path, pages: dict[Path, Page]) -> Iterator[str]:
    """Pages that the navigation, which stands on every page, does not link."""
    home = site / "index.html"
    linked = {_target(home, link) for link in pages[home].links} if home in pages else {*pages}
    for path in pages:
        if path not in linked and path.name != "404.html":
            yield f"{path.relative_to(site)}: not in the navigation of the site"


def _target(path: Path, link: str) -> Path:
    """The file that a link within the site names."""
    address = unquote(urldefrag(link)[0])
    target = (path.parent / address).resolve() if address else path
    return target / "index.html" if target.is_dir() else target


def _dead(path: Path, link: str, pages: dict[Path, Page]) -> str | None:
    """Why a link leads nowhere; None if it leads somewhere, or to another host."""
    if re.match(r"[a-z]+:", link) or link.startswith("//"):
        return None
    anchor = urldefrag(link)[1]
    target = _target(path, link)
    if not target.exists():
        return "no such page"
    known = pages.get(target)
    if anchor and known is not None and unquote(anchor) not in known.anchors:
        return "no such anchor"
    return None


def orphans(tree: Path = BUILD) -> Iterator[str]:
    """Pages without an entry in the navigation, and entries without a page."""
    with (ROOT / "zensical.toml").open("rb") as file:
        listed = set(_entries(tomllib.load(file)["project"]["nav"]))
    there = {path.relative_to(tree).as_posix() for path in tree.rglob("*.md")}
    yield from (f"{name}: not in the navigation" for name in sorted(there - listed))
    yield from (f"{name}: in the navigation, but no page" for name in sorted(listed - there))


def _entries(nav: object) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        for each in nav.values():
            yield from _entries(each)
    elif isinstance(nav, list):
        for each in nav:
            yield from _entries(each)


def main(site: Path) -> int:
    """Print the problems; 1 if there are any."""
    found = [*orphans(), *problems(site.resolve())]
    for line in found:
        print(line, file=sys.stderr)
    print(f"{len([*site.rglob('*.html')])} pages, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
