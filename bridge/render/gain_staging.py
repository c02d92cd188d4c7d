"""Gain staging: the gain of each output, from its levels and what the preset asks. Pure."""

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

# Where rounding would lift the loudest frame over the ceiling, the gain goes down by this much,
# doubled until it fits. One rounding step of float32 is about 5e-7 dB.
_NUDGE_DB = 1e-7


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
        _finite(name, peak)
    highest = max(peaks.values(), default=0.0)
    return _held_db(highest, 0.0, headroom, can_clip=can_clip)


def gains_db(
    levels: Mapping[str, Levels],
    headroom: Headroom,
    normalise: Normalise | None,
    *,
    can_clip: bool,
) -> dict[str, float]:
    """The gain of every output: what normalisation asks for, and what headroom leaves of it.

    levels: of the outputs, before any gain. Headroom only takes away: from each output on its own
    with mode `per_stem`, and with `fit` where each is normalised on its own; otherwise from all
    alike. Raises PromiseBroken for a peak that is NaN or infinite.
    """
    for name, found in levels.items():
        _finite(name, found.reach)
    asked_db = _normalised_db(levels, normalise)
    held_db = {
        name: _held_db(found.reach, asked_db[name], headroom, can_clip=can_clip)
        for name, found in levels.items()
    }
    own = normalise is not None and not normalise.linked
    if not levels or headroom.mode == "per_stem" or (headroom.mode == "fit" and own):
        return held_db
    if not own:
        return dict.fromkeys(levels, min(held_db.values()))
    taken_db = min(held_db[name] - asked_db[name] for name in levels)
    # Once more, because a sum of decibels may round up.
    return {
        name: _held_db(levels[name].reach, asked_db[name] + taken_db, headroom, can_clip=can_clip)
        for name in levels
    }


def _normalised_db(levels: Mapping[str, Levels], normalise: Normalise | None) -> dict[str, float]:
    """The gain to the wanted level; linked, that of the output that needs it least, for all."""
    if normalise is None:
        return dict.fromkeys(levels, 0.0)
    wanted = {name: normalise.target - normalise.level(found) for name, found in levels.items()}
    # What is silent has no level to bring anywhere.
    heard = {name: gain_db for name, gain_db in wanted.items() if math.isfinite(gain_db)}
    if normalise.linked:
        return dict.fromkeys(levels, min(heard.values(), default=0.0))
    return {name: heard.get(name, 0.0) for name in levels}


def _held_db(peak: float, gain_db: float, headroom: Headroom, *, can_clip: bool) -> float:
    """The gain, or the highest below it that keeps the peak at the ceiling or under it."""
    ceiling = db_to_linear(headroom.ceiling_dbfs)
    idle = headroom.mode == "none" or (headroom.mode == "fit" and not can_clip)
    if idle or _fits(peak, db_to_linear(gain_db), ceiling):
        return gain_db
    gain_db = 20.0 * math.log10(ceiling / peak)
    nudge_db = _NUDGE_DB
    while not _fits(peak, db_to_linear(gain_db), ceiling):
        gain_db -= nudge_db
        nudge_db *= 2.0
    return gain_db


def _finite(name: str, peak: float) -> None:
    if not math.isfinite(peak):
        raise PromiseBroken(
            f"output '{name}' holds NaN or Inf; report this with the bounce and the preset"
        )


def _fits(peak: float, gain: float, ceiling: float) -> bool:
    """True if the peak stays at or under the ceiling in both ways to multiply.

    Rounding keeps order, so every softer frame then stays there too.
    """
    in_float32 = float(np.float32(peak) * np.float32(gain))
    rounded = float(np.float32(peak * gain))
    return max(in_float32, rounded) <= ceiling
