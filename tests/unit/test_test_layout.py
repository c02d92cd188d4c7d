"""How the tests are laid out: what several modules need lies in helper modules."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = ROOT / "tests"


def imported_from_tests(source: str) -> Iterator[str]:
    """Dotted names that a module imports from the package `tests`, also late and in conditions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "tests")


def imported_by_children(source: str) -> list[str]:
    """The same, of the programs that a module holds as text, for processes of their own."""
    return re.findall(r"^\s*(?:from|import) (tests\.[\w.]+)", source, re.MULTILINE)


def is_test_module(name: str) -> bool:
    """Whether a dotted name leads to a module that pytest collects, or to a conftest."""
    modules = [part for part in name.split(".")[1:] if part.startswith("test_")]
    found = (TESTS.rglob(f"{part}.py") for part in modules)
    return "conftest" in name.split(".") or any([*files] for files in found)


def test_nothing_is_imported_from_a_test_module_or_a_conftest() -> None:
    """A test module that is renamed or split breaks nobody, and none is imported twice."""
    broken = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in TESTS.rglob("*.py")
        for source in [path.read_text(encoding="utf-8")]
        for name in (*imported_from_tests(source), *imported_by_children(source))
        if is_test_module(name)
    }
    assert not broken


def test_an_import_from_a_test_module_is_found() -> None:
    late = "def f():\n    from tests.unit.test_test_layout import TESTS\n"
    whole = "from tests.unit import test_test_layout\nimport tests.conftest\n"
    assert all(is_test_module(name) for name in imported_from_tests(late + whole))
    assert len([*imported_from_tests(late + whole)]) == 3
    assert not is_test_module("tests.support.require")
    child = 'CODE = """\n' + late.replace("    ", "") + '"""'
    assert [*map(is_test_module, imported_by_children(child))] == [True]
