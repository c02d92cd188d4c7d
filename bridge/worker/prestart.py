"""A worker that starts while the rest of the program is still being imported.

Its first second is the import of torch, and a second core is idle meanwhile. Commands that surely
separate begin with it, before their own options are read; a mistake in these ends it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.worker.child import Child

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = frozenset({"split", "preview"})
_HELP = frozenset({"-h", "--help"})

_started: list[Child] = []


def start(arguments: Sequence[str]) -> None:
    """Starts one if the command line (without the program's name) is going to need it."""
    if COMMANDS.intersection(arguments[:1]) and not _HELP.intersection(arguments):
        _started.append(Child())


def take() -> Child | None:
    """The process that was started and not taken yet; whoever takes it ends it."""
    return _started.pop() if _started else None
