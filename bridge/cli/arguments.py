"""Wildcard expansion of arguments on Windows, whose shells leave it to programs."""

from __future__ import annotations

import os
from glob import glob
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def expand_wildcards(arguments: Iterable[str], *, by_us: bool = os.name == "nt") -> list[str]:
    """Expand `*`, `?` and a leading `~` in arguments.

    Brackets and dollar signs are literal, unlike in click's own expansion: Windows allows them in
    names, and `split "[test].wav"` would match `t.wav`.

    Args:
        arguments: the command line as typed.
        by_us: whether the shell has not expanded them.
    """
    if not by_us:
        return list(arguments)
    return [found for argument in arguments for found in _expanded(argument)]


def _expanded(argument: str) -> Iterator[str]:
    argument = os.path.expanduser(argument)  # noqa: PTH111 text: it need not be a path
    found = sorted(glob(argument.replace("[", "[[]"))) if {*argument} & {*"*?"} else []  # noqa: PTH207
    yield from found or [argument]
