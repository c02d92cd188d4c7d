"""Tracks with known stems, for the evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

STEMS = ("vocals", "drums", "bass", "other")


def write_track(folder: Path, seed: int, seconds: float = 2.5) -> None:
    """A folder with a file of noise for each stem."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for name in STEMS:
        audio = 0.1 * random.standard_normal(round(44_100 * seconds))
        soundfile.write(folder / f"{name}.wav", audio, 44_100, subtype="FLOAT")
