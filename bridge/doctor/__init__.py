"""What `doctor` looks at: facts of this machine that decide whether the bridge works on it.

machine.py looks at programs and weights, limits.py at what the system grants a process, folders.py
at the places that are written, in_force.py at settings, presets and plugins.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from bridge import __version__
from bridge.doctor import folders, in_force, limits, machine
from bridge.doctor.findings import Finding
from bridge.publish.locations import OUTPUT_FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.config import Settings

__all__ = ["Finding", "examine"]


def examine(
    settings: Settings, folder: Path | None = None, environment: Mapping[str, str] = os.environ
) -> tuple[Finding, ...]:
    """All checks, in the order of the way that a bounce takes.

    Args:
        settings: those in force.
        folder: one that is or will be watched; without it, stems go to the current folder.
        environment: the process environment.

    Returns:
        One finding for each check, some checks with several.
    """
    model = in_force.model_in_force(settings, in_force.preset_in_force(settings))
    place = Path.cwd() if folder is None else folder.absolute()
    stems = place if folder is None else place / OUTPUT_FOLDER
    return (
        Finding("stembridge", f"{__version__} on Python {platform.python_version()}"),
        *(() if folder is None else folders.watched_folder(place)),
        *limits.events(),
        *in_force.choices(settings, environment),
        *machine.programs(settings, model),
        *machine.memory(model),
        *limits.process_limits(),
        *folders.database(settings.state_dir),
        *folders.writable_folder("weights cache", settings.cache_dir),
        *folders.writable_folder("stems", stems),
        *folders.file_names(stems),
        limits.clock(settings.ledger_path),
    )
