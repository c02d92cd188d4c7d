"""Gain staging: the gain of each output from its levels and the preset. Pure functions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bridge.dsp.decibel import db_to_linear
from bridge.errors import PromiseBroken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.dsp.meter import Levels
    from bridge.presets.output import Headroom, Normalise

# Where rounding lifts the loudest frame over the ceiling, the gain is lowered by this much, doubled
# until it fits. One rounding step of float32 is about 5e-7 dB.
_NUDGE_DB = 1e-7


def common_gain_db(
    peaks: Mapping[str, float], headroom: Headroom, *, can_clip: bool = True
) -> float:
    """Common gain in dB, 0 or below, that keeps every output at or under the ceiling.

    The result is exact: the peak times db_to_linear(gain), multiplied in float32 or in float64 and
    rounded to float32, is not above the ceiling.

    Args:
        peaks: output name -> highest absolute value, 0 or more, full scale is 1.
        headroom: mode and ceiling.
        can_clip: whether the files are fixed-point.

    Returns:
        0.0 if no output exceeds the ceiling, with mode `none`, and with mode `fit` where no file
        can clip.

    Raises:
        PromiseBroken: a peak is NaN or infinite.
    """
    for name, peak in peaks.items():
        _check_finite(name, peak)
    highest = max(peaks.values(), default=0.0)
    return _limited_db(highest, 0.0, headroom, can_clip=can_clip)


def gains_db(
    levels: Mapping[str, Levels],
    headroom: Headroom,
    normalise: Normalise | None,
    *,
    can_clip: bool,
) -> dict[str, float]:
    """Gain of every output in dB: that of normalisation, lowered by headroom.

    Headroom attenuates each output on its own with mode `per_stem`, and with `fit` where outputs
    are normalised one by one; otherwise all outputs alike.

    Args:
        levels: levels of the outputs before any gain.
        headroom: mode and ceiling.
        normalise: target level, or None.
        can_clip: whether the files are fixed-point.

    Raises:
        PromiseBroken: a peak is NaN or infinite.
    """
    for name, level in levels.items():
        _check_finite(name, level.relative_peak)
    target_gain_db = _normalised_db(levels, normalise)
    limited_db = {
        name: _limited_db(level.relative_peak, target_gain_db[name], headroom, can_clip=can_clip)
        for name, level in levels.items()
    }
    own = normalise is not None and not normalise.linked
    if not levels or headroom.mode == "per_stem" or (headroom.mode == "fit" and own):
        return limited_db
    if not own:
        return dict.fromkeys(levels, min(limited_db.values()))
    reduction_db = min(limited_db[name] - target_gain_db[name] for name in levels)
    # Limited again, because a sum of decibels may round up.
    return {
        name: _limited_db(
            levels[name].relative_peak,
            target_gain_db[name] + reduction_db,
            headroom,
            can_clip=can_clip,
        )
        for name in levels
    }


def _normalised_db(levels: Mapping[str, Levels], normalise: Normalise | None) -> dict[str, float]:
    """Gain to the target level; linked outputs share the smallest one."""
    if normalise is None:
        return dict.fromkeys(levels, 0.0)
    wanted = {name: normalise.target - normalise.level(level) for name, level in levels.items()}
    # Silence has no finite gain.
    audible = {name: gain_db for name, gain_db in wanted.items() if math.isfinite(gain_db)}
    if normalise.linked:
        return dict.fromkeys(levels, min(audible.values(), default=0.0))
    return {name: audible.get(name, 0.0) for name in levels}


def _limited_db(peak: float, gain_db: float, headroom: Headroom, *, can_clip: bool) -> float:
    """The gain, or the highest one below it that keeps the peak at or under the ceiling."""
    ceiling = db_to_linear(headroom.ceiling_dbfs)
    unlimited = headroom.mode == "none" or (headroom.mode == "fit" and not can_clip)
    if unlimited or _fits(peak, db_to_linear(gain_db), ceiling):
        return gain_db
    gain_db = 20.0 * math.log10(ceiling / peak)
    nudge_db = _NUDGE_DB
    while not _fits(peak, db_to_linear(gain_db), ceiling):
        gain_db -= nudge_db
        nudge_db *= 2.0
    return gain_db


def _check_finite(name: str, peak: float) -> None:
    if not math.isfinite(peak):
        raise PromiseBroken(
            f"output '{name}' holds NaN or Inf; report this with the bounce and the preset"
        )


def _fits(peak: float, gain: float, ceiling: float) -> bool:
    """Whether the peak stays at or under the ceiling, multiplied in float32 or in float64.

    Rounding is monotonic, so every softer frame fits too.
    """
    in_float32 = float(np.float32(peak) * np.float32(gain))
    rounded = float(np.float32(peak * gain))
    return max(in_float32, rounded) <= ceiling
