"""Paths for soundfile, which refuses text that the system's encoding cannot represent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def sound_path(path: Path) -> str | bytes:
    """Convert a path for soundfile: to bytes, except on Windows."""
    return str(path) if os.name == "nt" else os.fsencode(path)
