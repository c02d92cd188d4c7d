"""Markers by what a test needs, found from the code that it reaches.

A test, its fixtures and the helpers that they call are looked through for what starts processes
(`process`), kills them (`crash`) and runs programs from outside (`tool`). So no test lacks a marker
because its author forgot it. By hand is set what cannot be found like that: `timing`, and `process`
where only the code under test starts one.
"""

from __future__ import annotations

from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from bridge.worker.client import Worker
from tests.support import ROOT, Require

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

STARTERS = {"subprocess", "multiprocessing", "Popen", "fork", "posix_spawn"}
KILLERS = {"kill", "killpg", "SIGKILL", "send_signal"}
PROGRAMS = {"program", "ffprobe", "stempeg", "vst3"}  # methods of `require`
MOUNTS = {"tmpfs", "read_only"}  # ... that run `mount`
TESTS = ROOT / "tests"


def needs(item: pytest.Function) -> set[str]:
    """Markers of one collected test."""
    found: set[str] = set()
    if TESTS / "crash" in item.path.parents:
        found |= {"process", "crash"}
    code = [*_reached([_undecorated(item.function)])]
    if any(KILLERS & names for names, _ in code):
        found |= {"process", "crash"}
    fixtures = getattr(item, "_fixtureinfo").name2fixturedefs.values()  # noqa: B009
    code += _reached([each.func for definitions in fixtures for each in definitions])
    for names, values in code:
        used = names if any(isinstance(value, Require) for value in values) else set()
        if STARTERS & names or Worker in values or (PROGRAMS | MOUNTS) & used:
            found.add("process")
        if PROGRAMS & used:
            found.add("tool")
    return found


def _undecorated(function: Any) -> Any:
    """The test itself, below what hypothesis makes of it."""
    hypothesis = getattr(function, "hypothesis", None)
    return hypothesis.inner_test if hypothesis else function


def _reached(roots: list[Any]) -> Iterator[tuple[set[str], list[Any]]]:
    """Names that each function uses, and their global values: of the roots, and what they call."""
    waiting, seen = roots, set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, type):
            waiting += [_plain(member) for member in vars(value).values()]
        if not isinstance(value, FunctionType) or value in seen or not _is_of_the_tests(value):
            continue
        seen.add(value)
        names = {*_names(value.__code__)}
        values = [value.__globals__[name] for name in names if name in value.__globals__]
        modules = [vars(each) for each in values if isinstance(each, ModuleType) and _is_ours(each)]
        values += [module[name] for module in modules for name in names if name in module]
        waiting += [each for each in values if isinstance(each, FunctionType) or _is_ours(each)]
        yield names, values


def _plain(member: Any) -> Any:
    """The function in a property, class method or static method."""
    return getattr(member, "fget", None) or getattr(member, "__func__", member)


def _is_ours(value: Any) -> bool:
    """Whether it is a class or a module of the tests."""
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
    return isinstance(value, type | ModuleType) and name.startswith("tests.")


def _is_of_the_tests(function: FunctionType) -> bool:
    return TESTS in Path(function.__code__.co_filename).parents


def _names(code: CodeType) -> Iterator[str]:
    """Every global, attribute and module that a function names, its inner functions included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
