"""Programme loudness: range (EBU Tech 3342), momentary and short-term maxima (EBU Tech 3341).

All values follow from the weighted powers of 100 ms each that `bridge.dsp.loudness` collects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bridge.dsp.loudness import integrated_lufs, lufs_to_power, power_to_lufs

_MOMENTARY_STEPS, _SHORT_TERM_STEPS = 4, 30  # Tech 3341 section 2.2: 400 ms and 3 s
# Tech 3342 section 3.1: gates of the short-term values, and the percentiles of the range.
_ABSOLUTE_GATE_LUFS, _RELATIVE_GATE_LU = -70.0, -20.0
_LOW_PERCENT, _HIGH_PERCENT = 10.0, 95.0


@dataclass(frozen=True)
class Programme:
    """Loudness values of one file; NaN or -inf where the audio is too short or too quiet."""

    integrated_lufs: float
    range_lu: float
    max_momentary_lufs: float
    max_short_term_lufs: float


def programme_loudness(step_powers: npt.NDArray[np.float64]) -> Programme:
    """Programme loudness of the weighted powers of 100 ms each."""
    momentary = _windows(step_powers, _MOMENTARY_STEPS)
    short_term = _windows(step_powers, _SHORT_TERM_STEPS)
    return Programme(
        integrated_lufs=integrated_lufs(step_powers),
        range_lu=_range_lu(short_term),
        max_momentary_lufs=_highest_lufs(momentary),
        max_short_term_lufs=_highest_lufs(short_term),
    )


def _windows(step_powers: npt.NDArray[np.float64], steps: int) -> npt.NDArray[np.float64]:
    """Mean powers of windows of `steps` steps that begin at every step."""
    if len(step_powers) < steps:
        return np.zeros(0)
    return np.convolve(step_powers, np.full(steps, 1 / steps), "valid")


def _highest_lufs(powers: npt.NDArray[np.float64]) -> float:
    highest = float(powers.max(initial=0.0))
    return power_to_lufs(highest) if highest > 0 else -math.inf


def _range_lu(powers: npt.NDArray[np.float64]) -> float:
    kept = powers[powers >= lufs_to_power(_ABSOLUTE_GATE_LUFS)]
    if not kept.size:
        return math.nan
    kept = kept[kept >= lufs_to_power(power_to_lufs(float(kept.mean())) + _RELATIVE_GATE_LU)]
    low, high = np.percentile(kept, [_LOW_PERCENT, _HIGH_PERCENT], method="nearest")
    return power_to_lufs(float(high)) - power_to_lufs(float(low))
