"""Wildcards in arguments, on Windows, whose shells leave them to programs."""

from __future__ import annotations

import os
from glob import glob
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def expanded(arguments: Iterable[str], *, by_us: bool = os.name == "nt") -> list[str]:
    """The arguments, with `*`, `?` and a `~` at the start worked out.

    Brackets and dollar signs are left as they are, unlike in click's own expansion: Windows allows
    them in names, and `split "[test].wav"` would take `t.wav`.

    Args:
        arguments: as they were typed.
        by_us: whether no shell has expanded them.
    """
    if not by_us:
        return list(arguments)
    return [found for argument in arguments for found in _expanded(argument)]


def _expanded(argument: str) -> Iterator[str]:
    argument = os.path.expanduser(argument)  # noqa: PTH111 text: it need not be a path
    found = sorted(glob(argument.replace("[", "[[]"))) if {*argument} & {*"*?"} else []  # noqa: PTH207
    yield from found or [argument]
