"""Target files read by ffmpeg."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from bridge.audio.targets.registry import TARGETS
from tests.support import require

LOSSY = [name for name, target in TARGETS.items() if target.lossy]
LOSSLESS = [name for name, target in TARGETS.items() if not target.lossy]


def ffmpeg(path: Path, channels: int) -> np.ndarray:
    command = [require.program("ffmpeg", "ffmpeg"), "-v", "error", "-i", str(path)]
    run = subprocess.run([*command, "-f", "f32le", "-"], capture_output=True, check=True)
    assert not run.stderr
    return np.frombuffer(run.stdout, "<f4").reshape(-1, channels).T


def ffprobe(path: Path) -> dict[str, Any]:
    shown = ("-show_format", "-show_streams", "-show_chapters")
    command = [require.ffprobe(), "-v", "error", "-of", "json", *shown, str(path)]
    found: dict[str, Any] = json.loads(subprocess.check_output(command))
    return found
