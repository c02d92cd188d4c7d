"""Paths for soundfile, which refuses text that the system's encoding lacks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def sound_path(path: Path) -> str | bytes:
    """A path for soundfile: as bytes, wherever a path is bytes that need not be text."""
    return str(path) if os.name == "nt" else os.fsencode(path)
