"""What the worker imports before its first order is there, and what it leaves out."""

from __future__ import annotations

import contextlib
import importlib
import sys
from types import ModuleType
from typing import Any

# With its Python kernels for tensors without data, torch also imports its tables of decompositions:
# together a quarter of its import. They serve its compiler and its exporter; nothing here does.
UNUSED = "torch._meta_registrations"
NAMES = ("torch", "bridge.worker.pipeline")


def warm_up() -> None:
    """Imports what takes long. What is missing is told by the order for which it is needed."""
    postpone(UNUSED)
    with contextlib.suppress(ImportError, OSError):
        for name in NAMES:
            importlib.import_module(name)


def postpone(name: str) -> None:
    """Puts a module in the place of `name` that imports the real one when it is first looked into.

    For a module that is imported for its effects: these come then, too. `importlib.util.LazyLoader`
    would load it at once, because the import of a submodule looks into it.
    """
    if name not in sys.modules:
        sys.modules[name] = _Postponed(name)


class _Postponed(ModuleType):
    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # the import system asks, and can do without
            raise AttributeError(attribute)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), attribute)
