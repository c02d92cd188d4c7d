"""The walk-through of the architecture names every module once, and none that is not there."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from docs.generate import rooms
from docs.generate.markdown import rows
from tests.docs import pages
from tests.support import ROOT

PAGE = "contributing/architecture.md"
MODULE = re.compile(r"`([\w/]+\.py)`")
_BRIDGE, _SEPARATOR = pages.sources()[PAGE].split("\n## An array through separator\n")
PARTS = {"bridge": _BRIDGE, "separator": _SEPARATOR}
# It begins and ends the work of the worker.
TWICE = {"convert.py"}


def modules(package: str) -> set[str]:
    """Every module below a package; of the packages, those that hold more than imports."""
    root = ROOT / package
    return {path.relative_to(root).as_posix() for path in root.rglob("*.py")}


@pytest.mark.parametrize("package", PARTS)
def test_every_named_module_exists(package: str) -> None:
    assert set(MODULE.findall(PARTS[package])) <= modules(package)


@pytest.mark.parametrize("package", PARTS)
def test_every_module_is_named_once(package: str) -> None:
    named = Counter(MODULE.findall(PARTS[package]))
    code = {path for path in modules(package) if not path.endswith("__init__.py")}
    assert code <= set(named)
    assert {path for path, count in named.items() if count > 1} <= TWICE


@pytest.mark.parametrize("package", PARTS)
def test_every_package_is_named(package: str) -> None:
    packages = {path.rpartition("/")[0] for path in modules(package)} - {""}
    assert packages <= {path.rpartition("/")[0] for path in MODULE.findall(PARTS[package])}


def test_the_rooms_are_those_of_the_contract() -> None:
    found = [
        room.strip("`/").removesuffix(".py") for _, room, _ in rows(pages.pages()[PAGE], "layer")
    ]
    assert found == [room for layer in rooms.layers() for room in layer]
    top = {path.split("/")[0].removesuffix(".py") for path in modules("bridge")}
    assert {*found} == top - {"__init__", "__main__"}
    assert all(about for _, _, about in rows(pages.pages()[PAGE], "layer"))
