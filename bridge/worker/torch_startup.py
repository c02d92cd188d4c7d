"""What the worker imports before its first order is there, and what it leaves out."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import inspect
import os
import sys
from pathlib import Path
from types import FrameType, ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# With its Python kernels for tensors without data, torch also imports its tables of decompositions:
# together a quarter of its import. They serve its compiler and its exporter; nothing here does.
UNUSED = "torch._meta_registrations"
SLOW = ("torch", "bridge.render.pipeline")
# What the first order needs besides; it reads the weights while torch is still being imported.
FIRST = ("bridge.render.model_request", "separator.weights.store", "separator.loading")


def warm_up() -> None:
    """Imports what takes long. What is missing is told by the order for which it is needed."""
    preload()
    defer_import(UNUSED)
    with without_source_lines():
        import_all(SLOW)


def import_all(names: Sequence[str]) -> None:
    """As far as they can be imported."""
    with contextlib.suppress(ImportError, OSError):
        for name in names:
            importlib.import_module(name)


def preload() -> None:
    """Has the system load torch's libraries, where they are as on Linux.

    That takes a seventh of a second, in which an import would keep all other threads from Python.
    """
    with contextlib.suppress(ImportError, OSError, AttributeError, TypeError):
        found = importlib.util.find_spec("torch")
        for folder in (found.submodule_search_locations or ()) if found else ():
            library = Path(folder, "lib", "libtorch_python.so")
            if library.exists():
                load = ctypes.CDLL(None).dlopen  # `ctypes.CDLL(library)` would keep them as well
                load.argtypes, load.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
                load(os.fsencode(library), os.RTLD_LAZY)


@contextlib.contextmanager
def without_source_lines() -> Iterator[None]:
    """What Python tells of a frame has its file and line number, and not the line itself.

    torch notes for each operator of its own where that is registered; for the line, all modules
    are searched: 30 ms.
    """
    known = inspect.getframeinfo

    def place(frame: FrameType | TracebackType, context: int = 1) -> inspect.Traceback:
        del context  # lines around it
        return known(frame, context=0)

    inspect.getframeinfo = place
    try:
        yield
    finally:
        inspect.getframeinfo = known


def defer_import(name: str) -> None:
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
