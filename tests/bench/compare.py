"""How alike the stems of two programs are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

BLOCK_FRAMES = 1 << 18


class NotAlike(Exception):
    """Two files differ in what must be the same: rate, channels, or length."""


def snr_db(ours: Path, theirs: Path) -> float:
    """Signal to noise ratio of a file against another, over all frames and channels, in dB.

    Nothing is shifted to fit: a frame too early is an error to be seen. Infinite where all values
    are equal.

    Raises:
        NotAlike: rate, channels or frames differ.
    """
    with soundfile.SoundFile(ours) as one, soundfile.SoundFile(theirs) as other:
        shapes = [(file.samplerate, file.channels, file.frames) for file in (one, other)]
        if shapes[0] != shapes[1]:
            raise NotAlike(f"{ours.name} is {shapes[0]}, {theirs.name} is {shapes[1]}")
        signal = noise = 0.0
        while len(reference := other.read(BLOCK_FRAMES, dtype="float64")):
            signal += energy(reference)
            noise += energy(one.read(BLOCK_FRAMES, dtype="float64") - reference)
    return ratio_db(signal, noise)


def energy(values: NDArray[Any]) -> float:
    return float(np.sum(values**2))


def ratio_db(signal: float, noise: float) -> float:
    """10 log10 of two energies; infinite without noise, minus infinite without a signal alone."""
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf
