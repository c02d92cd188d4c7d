"""Imports of the worker before its first request, and modules whose import it defers."""

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

# Kernels for meta tensors and tables of decompositions: a quarter of the import of torch. Only its
# compiler and exporter use them.
UNUSED = "torch._meta_registrations"
SLOW = ("torch", "bridge.render.pipeline")
# Needed by the first request, which reads the weights while torch is being imported.
FIRST = ("bridge.render.model_request", "separator.weights.store", "separator.loading")


def warm_up() -> None:
    """Import the slow modules. A missing module raises when a request needs it."""
    preload()
    defer_import(UNUSED)
    with without_source_lines():
        import_all(SLOW)


def import_all(names: Sequence[str]) -> None:
    """Import modules in order, up to the first that fails."""
    with contextlib.suppress(ImportError, OSError):
        for name in names:
            importlib.import_module(name)


def preload() -> None:
    """Load torch's shared libraries on Linux, without holding the GIL.

    That takes 0.14 s, during which a plain import would block all other threads.
    """
    with contextlib.suppress(ImportError, OSError, AttributeError, TypeError):
        found = importlib.util.find_spec("torch")
        for folder in (found.submodule_search_locations or ()) if found else ():
            library = Path(folder, "lib", "libtorch_python.so")
            if library.exists():
                load = ctypes.CDLL(None).dlopen  # `ctypes.CDLL(library)` holds the GIL
                load.argtypes, load.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
                load(os.fsencode(library), os.RTLD_LAZY)


@contextlib.contextmanager
def without_source_lines() -> Iterator[None]:
    """Context in which `inspect.getframeinfo` omits source lines.

    torch records where each of its operators is registered, and looking up the source lines in all
    modules takes 30 ms.
    """
    known = inspect.getframeinfo

    def place(frame: FrameType | TracebackType, context: int = 1) -> inspect.Traceback:
        del context
        return known(frame, context=0)

    inspect.getframeinfo = place
    try:
        yield
    finally:
        inspect.getframeinfo = known


def defer_import(name: str) -> None:
    """Defer the import of a module until an attribute of it is used.

    Side effects of the import are deferred as well. `importlib.util.LazyLoader` would import it at
    once, because the import of a submodule accesses its attributes.
    """
    if name not in sys.modules:
        sys.modules[name] = _DeferredModule(name)


class _DeferredModule(ModuleType):
    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # the import system probes these
            raise AttributeError(attribute)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), attribute)
