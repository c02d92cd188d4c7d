"""The error trees are as they are drawn, every code is its own, every lower error is mapped."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from typing import TYPE_CHECKING

import pytest

import separator
from bridge import errors as bridge_errors
from bridge.errors import ModelError, ModelUnavailable, StembridgeError, UsageError, from_separation
from separator import errors as separator_errors
from tests.support import subclasses

if TYPE_CHECKING:
    from types import ModuleType

TREES = [
    pytest.param(bridge_errors, StembridgeError, id="bridge"),
    pytest.param(separator_errors, separator_errors.SeparatorError, id="separator"),
]


def drawn(module: ModuleType) -> dict[str, str | None]:
    """The tree in the module's docstring: class name to the name of its parent."""
    parents: dict[str, str | None] = {}
    above: list[str] = []
    for line in (module.__doc__ or "").splitlines():
        found = re.match(r"^((?:│   |    )*)(?:├── |└── )(\w+)", line)
        root = re.match(r"^(\w+Error)$", line)
        if root:
            above = [root[1]]
            parents[root[1]] = None
        elif found:
            level = len(found[1]) // 4 + 1
            parents[found[2]] = above[level - 1]
            above = [*above[:level], found[2]]
    return parents


@pytest.mark.parametrize(("module", "root"), TREES)
def test_the_tree_is_as_drawn(module: ModuleType, root: type[Exception]) -> None:
    defined = {
        cls
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if cls.__module__ == module.__name__
    }
    assert defined == {cls for cls in subclasses(root) if cls.__module__ == module.__name__}
    real = {
        cls.__name__: next((b.__name__ for b in cls.__bases__ if issubclass(b, root)), None)
        for cls in defined
    }
    assert drawn(module) == real


def test_every_code_is_its_own_and_can_be_read_by_a_machine() -> None:
    codes = [cls.code for cls in subclasses(StembridgeError)]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)
    assert all("code" in vars(cls) for cls in subclasses(StembridgeError))


def test_codes_and_their_consequences_stay_as_they_are() -> None:
    """Scripts and the ledger of older versions rely on them."""
    assert {cls.code for cls in subclasses(StembridgeError) if cls.retryable} == {
        *("changed", "model-unavailable", "output", "output-blocked", "disk-full"),
        *("ledger-blocked", "worker", "plugin"),
    }
    assert {cls.code for cls in subclasses(StembridgeError) if cls.exit_code == 2} == {
        *("usage", "config", "preset"),
    }
    assert {cls.exit_code for cls in subclasses(StembridgeError)} == {1, 2}
    assert {cls.code for cls in subclasses(bridge_errors.BounceError)} == {
        *("bounce", "empty", "not-audio", "unsupported", "no-frames", "truncated", "too-short"),
        *("silent", "non-finite"),
    }


def separation_errors() -> list[type[separator_errors.SeparatorError]]:
    """All there are, those that a module keeps to itself included."""
    for module in pkgutil.walk_packages(separator.__path__, "separator."):
        importlib.import_module(module.name)
    return subclasses(separator_errors.SeparatorError)


@pytest.mark.parametrize("cls", separation_errors())
def test_every_error_of_the_separator_is_mapped(cls: type[separator_errors.SeparatorError]) -> None:
    expected: dict[str, type[StembridgeError]] = {
        "SeparatorError": ModelError,
        "InputError": UsageError,
        "WeightsError": ModelError,
        "UnknownModel": UsageError,
        "WeightsUnavailable": ModelUnavailable,
        "WrongChecksum": ModelError,
        "BadCheckpoint": ModelError,
        "UnsafePickle": ModelError,
    }
    drawn_name = next(base.__name__ for base in cls.__mro__ if base.__name__ in expected)
    assert cls.__module__ != separator_errors.__name__ or cls.__name__ == drawn_name
    mapped = from_separation(cls("what is wrong; what to do"))
    assert type(mapped) is expected[drawn_name]
    assert str(mapped) == "what is wrong; what to do"


@pytest.mark.parametrize("cls", subclasses(StembridgeError))
def test_a_message_is_one_line_whatever_it_quotes(cls: type[StembridgeError]) -> None:
    assert str(cls("cannot read a\nb \t c.wav: gone")) == "cannot read a b c.wav: gone"


def test_a_preset_error_keeps_its_problems_apart() -> None:
    error = bridge_errors.PresetError("x.yaml:1: a", "x.yaml:2: b")
    assert error.problems == ("x.yaml:1: a", "x.yaml:2: b")
    assert str(error) == "x.yaml:1: a; x.yaml:2: b"
