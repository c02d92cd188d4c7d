"""Loudness and true peak by ffmpeg's meter, and a tone of known level."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import numpy as np

from tests.support import require

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.dsp.processor import Audio
METER_LU = 0.1  # what a meter may be off (EBU Tech 3341 section 2.9), and ffmpeg's digits


def sine(level_dbfs: float, seconds: float, rate_hz: int, channels: int = 2) -> Audio:
    """A sine of 1 kHz, (channels, frames) float32."""
    frames = np.arange(round(seconds * rate_hz))
    wave = 10 ** (level_dbfs / 20) * np.sin(2 * np.pi * 1000.0 / rate_hz * frames)
    return np.tile(wave, (channels, 1)).astype(np.float32)


def ffmpeg_levels(path: Path) -> tuple[float, float]:
    """(LUFS integrated, true peak in dBTP) of a file."""
    log = ":print:file=-:key=lavfi.r128.I".replace(":print", "=print", 1)
    command = [
        require.program("ffmpeg", "ffmpeg"), "-hide_banner", "-nostats", "-i", str(path),
        "-af", f"ebur128=peak=true:metadata=1,ametadata{log}", "-f", "null", "-",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak = re.findall(r"Peak:\s+(\S+) dBFS", done.stderr)[-1]
    return float(re.findall(r"lavfi\.r128\.I=(\S+)", done.stdout)[-1]), float(peak)


def ffmpeg_programme(path: Path) -> dict[str, float]:
    """Highest momentary and short-term loudness, and the range at the end."""
    command = [
        require.program("ffmpeg", "ffmpeg"), "-hide_banner", "-nostats", "-i", str(path),
        "-af", "ebur128=metadata=1,ametadata=print:file=-", "-f", "null", "-",
    ]  # fmt: skip
    log = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def values(key: str) -> list[float]:
        return [float(value) for value in re.findall(rf"r128\.{key}=(\S+)", log)]

    return {"M": max(values("M")), "S": max(values("S")), "LRA": values("LRA")[-1]}
