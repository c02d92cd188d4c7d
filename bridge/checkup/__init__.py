"""What `doctor` looks at: facts of this machine that decide whether the bridge works on it.

machine.py looks at programs and weights, limits.py at what the system grants a process, folders.py
at the places that are written.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

from bridge import __version__
from bridge.checkup import folders, limits, machine
from bridge.checkup.findings import Finding
from bridge.places import OUTPUT_FOLDER

if TYPE_CHECKING:
    from bridge.config import Settings

__all__ = ["Finding", "examine"]


def examine(settings: Settings, folder: Path | None = None) -> tuple[Finding, ...]:
    """All checks, in the order of the way that a bounce takes.

    folder: one that is or will be watched; without it, stems are thought to go to where we are.
    """
    place = Path.cwd() if folder is None else folder.absolute()
    stems = place if folder is None else place / OUTPUT_FOLDER
    return (
        Finding("stembridge", f"{__version__} on Python {platform.python_version()}"),
        *(() if folder is None else folders.watched(place)),
        *limits.events(),
        *machine.programs(settings),
        *machine.memory(settings),
        *limits.of_process(),
        *folders.database(settings.state_dir),
        *folders.place("weights cache", settings.cache_dir),
        *folders.place("disk", stems),
        *folders.names(stems),
        limits.clock(settings.ledger_path),
    )
