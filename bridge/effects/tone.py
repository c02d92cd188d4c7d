"""Filters: DC removal, passes, shelves and bell."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from bridge.effects.base import Effect, frequency_problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.dsp.processor import Node, ProcessSpec

Slope = Literal[6, 12, 18, 24]
# A first-order filter falls by 20 log10(2) dB with every octave.
_DB_PER_ORDER = 6


def order_cutoff_hz(cutoff_hz: float, rate_hz: float, *, order: int, highpass: bool) -> float:
    """Cutoff of each of `order` equal first-order filters that are 3 dB down at `cutoff_hz`.

    Each has |H|^2 = 1 / (1 + w^2) with w = f / fc (or fc / f): to the power of the order, that is
    one half at w^2 = 2^(1/order) - 1. The filters are bilinear, so f stands for tan(pi f / rate).

    Args:
        cutoff_hz: cutoff of the cascade.
        rate_hz: sample rate.
        order: number of filters.
        highpass: high-pass, else low-pass.
    """
    shift = math.sqrt(2.0 ** (1.0 / order) - 1.0)
    warped = math.tan(math.pi * cutoff_hz / rate_hz) * (shift if highpass else 1.0 / shift)
    return math.atan(warped) * rate_hz / math.pi


class DcRemoval(Effect):
    """Subtracts each channel's mean over the whole file, without phase shift.

    `chain.render` subtracts; the mean needs a pass over the whole file. An optional high-pass
    removes offsets that wander.
    """

    effect_name = "dc_removal"
    description = (
        "removes each channel's constant offset, measured over the whole file; no phase shift"
    )
    highpass_hz: float | None = Field(
        default=None,
        ge=1,
        le=60,
        description="cutoff of an additional high-pass, for an offset that wanders",
    )

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """The optional high-pass."""
        return () if self.highpass_hz is None else Highpass(cutoff_hz=self.highpass_hz).nodes(spec)


class Highpass(Effect):
    """Cascaded first-order high-passes, one for each 6 dB per octave; no ringing."""

    effect_name = "highpass"
    description = "removes low frequencies; does not ring"
    cutoff_hz: float = Field(
        default=80.0, ge=1, le=20_000, description="cutoff frequency, 3 dB down"
    )
    slope_db_per_octave: Slope = Field(default=6, description="slope")

    def problem(self, spec: ProcessSpec) -> str | None:
        """The cutoff is at or above half the rate."""
        if self.cutoff_hz < spec.rate_hz / 2:
            return None
        return frequency_problem("highpass", self.cutoff_hz, spec)

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """One filter per order, see `order_cutoff_hz`."""
        import pedalboard

        order = self.slope_db_per_octave // _DB_PER_ORDER
        cutoff_hz = order_cutoff_hz(self.cutoff_hz, spec.rate_hz, order=order, highpass=True)
        return [pedalboard.HighpassFilter(cutoff_hz) for _ in range(order)]


class Lowpass(Effect):
    """Cascaded first-order low-passes, one for each 6 dB per octave; no ringing."""

    effect_name = "lowpass"
    description = "removes high frequencies; does not ring"
    cutoff_hz: float = Field(
        default=16_000.0, ge=10, le=20_000, description="cutoff frequency, 3 dB down"
    )
    slope_db_per_octave: Slope = Field(default=6, description="slope")

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """One filter per order; none at or above half the rate, where it would fold back."""
        import pedalboard

        if self.cutoff_hz >= spec.rate_hz / 2:
            return ()
        order = self.slope_db_per_octave // _DB_PER_ORDER
        cutoff_hz = order_cutoff_hz(self.cutoff_hz, spec.rate_hz, order=order, highpass=False)
        return [pedalboard.LowpassFilter(cutoff_hz) for _ in range(order)]


_GAIN = Field(default=0.0, ge=-24, le=24, description="gain")
_Q = Field(default=0.7071, ge=0.1, le=20, description="quality factor; 0.7071 does not overshoot")


class _GainFilter(Effect):
    """Base of the second-order filters with a gain: peak and shelves."""

    frequency_hz: float = Field(
        default=1000.0, ge=20, le=20_000, description="centre or corner frequency"
    )
    gain_db: float = _GAIN
    q: float = _Q

    def problem(self, spec: ProcessSpec) -> str | None:
        """The frequency is at or above half the rate."""
        if self.frequency_hz < spec.rate_hz / 2:
            return None
        return frequency_problem(self.effect_name, self.frequency_hz, spec, "frequency_hz")


class Peak(_GainFilter):
    """A parametric bell."""

    effect_name = "peak"
    description = "bell filter: boosts or cuts around a frequency"
    frequency_hz: float = Field(default=1000.0, ge=20, le=20_000, description="centre frequency")
    q: float = Field(default=1.0, ge=0.1, le=20, description="quality factor; higher is narrower")

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """The pedalboard plugin."""
        import pedalboard

        return [pedalboard.PeakFilter(self.frequency_hz, self.gain_db, self.q)]


class LowShelf(_GainFilter):
    """A shelf below a frequency."""

    effect_name = "low_shelf"
    description = "boosts or cuts everything below a frequency"
    frequency_hz: float = Field(
        default=120.0, ge=20, le=20_000, description="frequency of half the gain"
    )

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """The pedalboard plugin."""
        import pedalboard

        return [pedalboard.LowShelfFilter(self.frequency_hz, self.gain_db, self.q)]


class HighShelf(_GainFilter):
    """A shelf above a frequency."""

    effect_name = "high_shelf"
    description = "boosts or cuts everything above a frequency"
    frequency_hz: float = Field(
        default=8000.0, ge=20, le=20_000, description="frequency of half the gain"
    )

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """The pedalboard plugin."""
        import pedalboard

        return [pedalboard.HighShelfFilter(self.frequency_hz, self.gain_db, self.q)]
