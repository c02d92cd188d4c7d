"""Conversion between decibels and linear factors."""

from __future__ import annotations

import math


def db_to_linear(gain_db: float) -> float:
    """Linear factor of a gain in dB; 0 dB is exactly 1, -inf dB is 0, above 6000 dB overflows."""
    return float(10.0 ** (gain_db / 20.0))


def linear_to_dbfs(peak: float) -> float:
    """Level of a peak (0 or more, full scale is 1) in dBFS; -inf for 0."""
    return 20.0 * math.log10(peak) if peak > 0.0 else -math.inf
