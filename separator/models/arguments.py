"""Validation of constructor arguments from a checkpoint.

They come from files of any origin, so each value has a type and a range before anything is built
from it.
"""

from __future__ import annotations

import re
import reprlib
from typing import TYPE_CHECKING, Any

from separator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MOST_SOURCES = 32
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8_000, 192_000  # what the streaming engine takes
MOST_CHANNELS = 16  # audio channels; all published models have 2
LONGEST_INTEGER_BITS = 64  # of a value that an error shows: Python refuses to print huge ones
SOURCE_NAME = re.compile(r"\w[\w +.-]{0,63}")  # stems become keys and parts of file names


class Arguments:
    """The keywords of one official constructor, read one by one.

    Every method raises InputError in one line that names the architecture, the keyword, the value
    and what is possible.
    """

    def __init__(self, architecture: str, given: Mapping[str, Any], known: Collection[str]) -> None:
        self._architecture = architecture
        self._given = given
        for name in given:
            if name not in known:
                raise InputError(
                    f"{architecture} has no argument {_shown(name)}: it takes {', '.join(known)}"
                )

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def refuse(self, name: str, possible: str) -> InputError:
        """The error for argument `name`, ready to be raised."""
        value = _shown(self._given[name]) if name in self._given else "left out"
        return InputError(f"{self._architecture}: argument {name} is {possible}, not {value}")

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self._given.get(name, default)
        if type(value) is not int or not low <= value <= high:  # a bool is an int, but none here
            raise self.refuse(name, f"a whole number from {low} to {high}")
        return value

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """A number from `low` to `high`."""
        value = self._given.get(name, default)
        if type(value) not in {int, float} or not low <= value <= high:
            raise self.refuse(name, f"a number from {low:g} to {high:g}")
        return float(value)

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        value = self._given.get(name, default)
        if not isinstance(value, bool):
            raise self.refuse(name, "true or false")
        return value

    def choice(self, name: str, default: str, choices: Collection[str]) -> str:
        """One of `choices`."""
        value = self._given.get(name, default)
        if not isinstance(value, str) or value not in choices:
            raise self.refuse(name, " or ".join(map(repr, choices)))
        return value

    def only(self, name: str, value: Any) -> None:
        """An argument of which one value is built."""
        given = self._given.get(name, value)
        if type(given) is not type(value) or given != value:
            raise self.refuse(name, f"{value!r} (no other value is built)")

    def sources(self, name: str = "sources") -> tuple[str, ...]:
        """The names of the stems, each once."""
        value = self._given.get(name)
        if (
            not isinstance(value, (list, tuple))
            or not 0 < len(value) <= MOST_SOURCES
            or not all(isinstance(stem, str) and SOURCE_NAME.fullmatch(stem) for stem in value)
            or len(set(value)) != len(value)
        ):
            raise self.refuse(name, f"a list of 1 to {MOST_SOURCES} different names of stems")
        return tuple(value)

    def rate_hz(self, name: str = "samplerate", default: int = 44_100) -> int:
        """The rate that the model was trained at, in Hz."""
        return self.integer(name, default, LOWEST_RATE_HZ, HIGHEST_RATE_HZ)

    def audio_channels(self, default: int = 2) -> int:
        """Channels of the mixture and of each stem."""
        return self.integer("audio_channels", default, 1, MOST_CHANNELS)

    def segment_s(self, rate_hz: int, default_frames: int) -> float:
        """`segment_length`, given in frames at `rate_hz`, in seconds: 0.1 to 600."""
        frames = self.integer("segment_length", default_frames, rate_hz // 10, 600 * rate_hz)
        return frames / rate_hz


def _shown(value: object) -> str:
    """A value of any origin, short and on one line."""
    if isinstance(value, int) and value.bit_length() > LONGEST_INTEGER_BITS:
        return f"a number of {value.bit_length()} bits"
    return reprlib.repr(value)
