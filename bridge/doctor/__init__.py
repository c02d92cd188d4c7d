"""Checks of `doctor`: whether the bridge can work on this machine.

machine.py   libraries, weights, memory
limits.py    limits of the system and of the process
folders.py   folders that are read and written
in_force.py  effective settings, presets and plugins
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
    """Run all checks, in the order in which a bounce depends on them.

    Args:
        settings: the effective settings.
        folder: a watched folder; without it, the current folder is checked for stems.
        environment: the process environment.

    Returns:
        One or more findings per check.
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
