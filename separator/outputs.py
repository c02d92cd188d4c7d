"""Outputs selected by the options, the sources that they need, and their computation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from separator.errors import InputError
from separator.options import RESIDUAL_NAME

OTHER = "other"  # name of the remaining instruments in every model with four or more stems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from separator.options import Options

    FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Outputs:
    """Outputs of a model with these sources.

    Raises:
        InputError: the options name a stem that does not exist.
    """

    sources: tuple[str, ...]
    options: Options

    def __post_init__(self) -> None:
        stem = self.options.two_stems
        if stem is not None and stem not in self.sources:
            raise InputError(f"there is no stem {stem!r}: choose from {', '.join(self.sources)}")
        for name in self.options.stems or ():
            if name not in self._possible:
                choices = ", ".join(self._possible)
                raise InputError(f"there is no stem {name!r}: choose from {choices}")

    @cached_property
    def _possible(self) -> tuple[str, ...]:
        stem = self.options.two_stems
        names = self.sources if stem is None else (stem, f"no_{stem}")
        has_residual = self.options.residual == "stem" and not self._rest_is_difference
        return (*names, RESIDUAL_NAME) if has_residual else names

    @property
    def _rest_is_difference(self) -> bool:
        return self.options.two_stems is not None and self.options.other_method == "minus"

    @property
    def _rest(self) -> str:
        """The stem that the residual is added to with "add-to-last"."""
        return OTHER if OTHER in self.sources else self.sources[-1]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs in the model's order; the residual last."""
        wanted = self.options.stems
        return tuple(name for name in self._possible if wanted is None or name in wanted)

    @cached_property
    def needed(self) -> tuple[int, ...]:
        """Indices of the sources that must be computed."""
        if self._rest_is_difference:
            return (self.sources.index(str(self.options.two_stems)),)
        adds = self.options.residual == "add-to-last" and self._rest in self.names
        if self.options.two_stems or RESIDUAL_NAME in self.names or adds:
            return tuple(range(len(self.sources)))
        return tuple(self.sources.index(name) for name in self.names)

    def named(self, mixture: FloatArray, stems: FloatArray) -> dict[str, FloatArray]:
        """Compute the outputs of one block.

        Args:
            mixture: (channels, frames).
            stems: (needed sources, channels, frames).

        Returns:
            name -> (channels, frames) float32. Differences are computed in float64, so that the
            outputs add up to the mixture within one rounding of the last.
        """
        found = {self.sources[place]: stem for place, stem in zip(self.needed, stems, strict=True)}
        if self.options.two_stems is not None:
            found = self._two_stems(mixture, found)
        elif self.options.residual == "add-to-last" and self._rest in self.names:
            found[self._rest] = _without(mixture, [found[n] for n in found if n != self._rest])
        if RESIDUAL_NAME in self.names:
            found[RESIDUAL_NAME] = _without(mixture, list(found.values()))
        return {name: found[name] for name in self.names}

    def _two_stems(
        self, mixture: FloatArray, found: dict[str, FloatArray]
    ) -> dict[str, FloatArray]:
        stem = str(self.options.two_stems)
        if self._rest_is_difference or self.options.residual == "add-to-last":
            rest = _without(mixture, [found[stem]])
        else:
            others = (source for name, source in found.items() if name != stem)
            rest = sum(others, np.zeros_like(mixture))
        return {stem: found[stem], f"no_{stem}": rest}


def _without(mixture: FloatArray, stems: Sequence[FloatArray]) -> FloatArray:
    left = mixture.astype(np.float64)
    for stem in stems:
        left -= stem
    return left.astype(np.float32)
