"""Separation options, named as in the official programs, and their ranges."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from separator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

Residual: TypeAlias = Literal["stem", "add-to-last", "off"]
RESIDUALS: tuple[Residual, ...] = ("stem", "add-to-last", "off")
RESIDUAL_NAME = "residual"
OtherMethod: TypeAlias = Literal["minus", "add"]
OTHER_METHODS: tuple[OtherMethod, ...] = ("minus", "add")

MAX_SHIFT_S = 0.5  # the official program draws its shifts from half a second (demucs/apply.py)
MAX_SHIFTS = 100
MAX_OVERLAP = 0.99
DEFAULT_OVERLAP = 0.25
GOLDEN_RATIO = (math.sqrt(5) - 1) / 2  # irrational: its multiples modulo 1 never coincide


@dataclass(frozen=True)
class Options:
    """Outputs and quality of a separation. The defaults give the official result.

    residual: destination of the residual (mixture minus all stems): an output of its own ("stem",
        named "residual"), added to `other` or else to the last stem ("add-to-last"), or dropped
        ("off").
    stems: names of the outputs; None for all. Only the sources that they need are computed.
    two_stems: a stem; the outputs are this stem and its complement, named "no_<stem>".
    other_method: the complement is the mixture minus the stem ("minus": the two add up to the
        mixture, and only one stem is computed) or the sum of the other stems ("add").
    segment_s: length of the segments in seconds; None for the model's own.
    overlap: overlap of neighbouring segments, 0 to 0.99 of their length; None for 0.25.
    transition_power: exponent of the cross-fade between segments; 1 is linear.
    shifts: number of runs to average, at different time shifts within half a second; 0 for a
        single run without a shift. The time grows in proportion.
    seed: moves all shifts together; the same seed gives the same stems.

    Raises:
        InputError: a value out of range.
    """

    residual: Residual = "stem"
    stems: tuple[str, ...] | None = None
    two_stems: str | None = None
    other_method: OtherMethod = "minus"
    segment_s: float | None = None
    overlap: float | None = None
    transition_power: float = 1.0
    shifts: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        _choice("residual", self.residual, RESIDUALS)
        _choice("other_method", self.other_method, OTHER_METHODS)
        _number("segment_s", self.segment_s, 0.1, 600.0)
        _number("overlap", self.overlap, 0.0, MAX_OVERLAP)
        _number("transition_power", self.transition_power, 1.0, 100.0)
        _number("shifts", self.shifts, 0, MAX_SHIFTS)
        if self.stems is not None and not self.stems:
            raise InputError("stems is empty: name at least one")
        if self.stems is not None and self.two_stems is not None:
            raise InputError("stems and two_stems exclude each other: give only one of them")

    def shift_frames(self, rate_hz: int) -> tuple[int, ...]:
        """Frames of silence before the mixture in each run, equally spaced over half a second.

        (0,) without shifts. The seed moves all shifts by the same fraction of their spacing.
        """
        if not self.shifts:
            return (0,)
        distance = MAX_SHIFT_S * rate_hz / self.shifts
        offset = (self.seed * GOLDEN_RATIO) % 1.0  # any two seeds differ, 0 is the plain grid
        return tuple(int((k + offset) * distance) for k in range(self.shifts))


def from_keywords(given: Mapping[str, Any]) -> Options:
    """Options from keyword arguments. Raises InputError for an unknown name."""
    names = [field.name for field in fields(Options)]
    for name in given:
        if name not in names:
            raise InputError(f"there is no option {name!r}: choose from {', '.join(names)}")
    return Options(**given)


def _choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name} is one of {', '.join(choices)}, not {value!r}")


def _number(name: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:  # NaN fails too
        raise InputError(f"{name} is a number from {least:g} to {most:g}, not {value}")
