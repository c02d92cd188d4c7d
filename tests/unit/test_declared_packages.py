"""Every package that our code imports is declared in pyproject.toml and pinned in constraints.txt.

One that comes along with another package is there by chance: it goes when that package no longer
needs it.
"""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OURS = {"bridge", "docs", "separator", "tests"}
OF_TYPE_CHECKERS = {"_typeshed"}  # there is no such module when a program runs
AT_RUN_TIME = ("bridge", "separator", "examples")
FOLDERS = (*AT_RUN_TIME, "tests", "docs")
# Programs that run in an environment of their own, beside the peer that they measure or that wrote
# the golden files.
ELSEWHERE = {"tests/bench/in_peer", "tests/golden"}
IMPORTS_BY_NAME = {"import_module", "importorskip", "__import__", "find_spec"}


def normalised(name: str) -> str:
    """Name of a distribution as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def required(requirements: list[str]) -> set[str]:
    """Normalised names of requirement strings, without extras, versions and markers."""
    return {normalised(re.split(r"[^\w.-]", each, maxsplit=1)[0]) for each in requirements}


@cache
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return found


def declared(*extras: str) -> set[str]:
    """Names in `dependencies` and in these extras."""
    optional = project()["project"]["optional-dependencies"]
    lists = [project()["project"]["dependencies"], *(optional[name] for name in extras)]
    return required([each for listed in lists for each in listed])


def imports(source: str) -> Iterator[str]:
    """Top-level names of the modules that a source imports, also late, in conditions or by name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            name = getattr(node.args[0], "value", None)
            if called in IMPORTS_BY_NAME and isinstance(name, str):
                yield name.partition(".")[0]


@cache
def installed() -> Mapping[str, list[str]]:
    """Distributions of each top-level module."""
    return importlib.metadata.packages_distributions()


def third_party(folder: str) -> dict[str, set[str]]:
    """Normalised distribution names, each with the files that import it."""
    distributions = installed()
    found: dict[str, set[str]] = {}
    for path in (ROOT / folder).rglob("*.py"):
        place = path.relative_to(ROOT)
        if any(parent.as_posix() in ELSEWHERE for parent in place.parents):
            continue
        for name in imports(path.read_text(encoding="utf-8")):
            if name not in sys.stdlib_module_names | OURS | OF_TYPE_CHECKERS:
                (distribution, *_) = distributions.get(name, [name])
                found.setdefault(normalised(distribution), set()).add(place.as_posix())
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_imported_is_declared(folder: str) -> None:
    extras = ("aaf",) if folder in AT_RUN_TIME else ("aaf", "dev", "fuzz")
    names = declared(*extras)
    undeclared = {name: files for name, files in third_party(folder).items() if name not in names}
    assert not undeclared


def test_what_is_declared_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = required([line for line in lines if line and not line.startswith("#")])
    build = required(project()["build-system"]["requires"])
    names = declared("aaf", "dev", "docs", "fuzz") | build
    assert not names - pinned - {"stembridge"}  # the extra `dev` takes `aaf` along


def test_late_imports_and_imports_by_name_are_seen() -> None:
    source = "def f():\n    import a.b\n    from c.d import e\n    importlib.import_module('g.h')\n"
    assert [*imports(source)] == ["a", "c", "g"]
    assert [*imports("from . import x\nfrom .y import z\nimport_module(name)\n")] == []


def test_the_folders_elsewhere_exist() -> None:
    assert all(Path(ROOT / folder).is_dir() for folder in ELSEWHERE)
