"""Early start of the worker, in parallel with the imports of the command line.

The worker takes a second to import torch while another core is idle. Commands that always separate
start it before their options are parsed; an invalid option ends it again.
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
    """Start a worker if the command line (without the program's name) will need one."""
    if COMMANDS.intersection(arguments[:1]) and not _HELP.intersection(arguments):
        _started.append(Child())


def take() -> Child | None:
    """Return the process started early, if not taken yet; the caller must end it."""
    return _started.pop() if _started else None
