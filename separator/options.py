"""How to separate: the options of the field's programs, checked once."""

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
GOLDEN_RATIO = (math.sqrt(5) - 1) / 2  # whose multiples never meet, modulo 1


@dataclass(frozen=True)
class Options:
    """What to compute, and how finely. The defaults give the official result.

    residual: where that goes which no stem holds: an output of its own ("stem", named
        "residual"), into the stem for everything else ("add-to-last": `other` where there is one,
        or the last), or nowhere ("off").
    stems: only these outputs; None for all. What they do not need is not computed.
    two_stems: this stem and one of everything else, named "no_<stem>".
    other_method: everything else is the mixture minus the stem ("minus": they add up to the
        mixture, and one stem is all that is computed) or the sum of the other stems ("add").
    segment_s: length of the segments in seconds; None for the model's own.
    overlap: of neighbouring segments, 0 to 0.99 of their length; None for a quarter.
    transition_power: of the cross-fade between them; 1 is linear.
    shifts: average over this many runs, each shifted in time by another part of half a second;
        0 for a single run without a shift. Costs as many times the time.
    seed: moves the shifts together; the same seed gives the same stems.

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
            raise InputError("stems: name one at least")
        if self.stems is not None and self.two_stems is not None:
            raise InputError("stems and two_stems say different things: give one of them")

    def shift_frames(self, rate_hz: int) -> tuple[int, ...]:
        """Silence before the mixture in each run: equally spaced over half a second.

        (0,) without shifts. The seed moves all of them by the same part of their distance.
        """
        if not self.shifts:
            return (0,)
        distance = MAX_SHIFT_S * rate_hz / self.shifts
        offset = (self.seed * GOLDEN_RATIO) % 1.0  # any two seeds differ, 0 is the plain grid
        return tuple(int((k + offset) * distance) for k in range(self.shifts))


def from_keywords(given: Mapping[str, Any]) -> Options:
    """Options by name, or InputError with the choices."""
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
