"""Decibels, and the one gain that all outputs share. Pure arithmetic."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bridge.errors import PromiseBroken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.chain.preset import Headroom

# Where rounding would lift the loudest frame over the ceiling, the gain goes down by this much,
# doubled until it fits. One rounding step of float32 is about 5e-7 dB.
_NUDGE_DB = 1e-7


def db_to_linear(gain_db: float) -> float:
    """The factor of a gain in dB: 0 dB is exactly 1, -inf dB is 0. Gains above 6000 dB overflow."""
    return float(10.0 ** (gain_db / 20.0))


def linear_to_dbfs(peak: float) -> float:
    """The level of a peak (0 or more, full scale is 1) in dBFS; -inf for 0."""
    return 20.0 * math.log10(peak) if peak > 0.0 else -math.inf


def common_gain_db(
    peaks: Mapping[str, float], headroom: Headroom, *, can_clip: bool = True
) -> float:
    """The one gain, 0 or below, that brings every output to the ceiling or under it.

    peaks: output name -> highest absolute value, 0 or more, full scale is 1. can_clip: whether the
    files are fixed-point. 0.0 if no output exceeds the ceiling, with mode `none`, and with mode
    `fit` where nothing can clip. Otherwise the result is exact: a
    frame at the peak times db_to_linear(gain), multiplied in float32 or in float64 and rounded to
    float32, is not above the ceiling.
    Raises PromiseBroken for a peak that is NaN or infinite.
    """
    for name, peak in peaks.items():
        if not math.isfinite(peak):
            raise PromiseBroken(
                f"output '{name}' holds NaN or Inf; report this with the bounce and the preset"
            )
    highest = max(peaks.values(), default=0.0)
    ceiling = db_to_linear(headroom.ceiling_dbfs)
    idle = headroom.mode == "none" or (headroom.mode == "fit" and not can_clip)
    if idle or highest <= ceiling:
        return 0.0
    gain_db = 20.0 * math.log10(ceiling / highest)
    nudge_db = _NUDGE_DB
    while not _fits(highest, db_to_linear(gain_db), ceiling):
        gain_db -= nudge_db
        nudge_db *= 2.0
    return gain_db


def _fits(peak: float, gain: float, ceiling: float) -> bool:
    """True if the peak stays at or under the ceiling in both ways to multiply.

    Rounding keeps order, so every softer frame then stays there too.
    """
    in_float32 = float(np.float32(peak) * np.float32(gain))
    rounded = float(np.float32(peak * gain))
    return max(in_float32, rounded) <= ceiling
