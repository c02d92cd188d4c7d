"""The common result of all checkpoint readers."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from separator.errors import BadCheckpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from separator.weights.diffq import PackedWeights

    Array = NDArray[Any]

MAX_ARGUMENTS = 10_000  # values in total; releases have a few dozen
MAX_DEPTH = 8
PLAIN = (str, bool, int, float, Fraction, type(None))


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file.

    architecture: one of `separator.architectures.NAMES`, or None if the file does not record it.
    arguments: keywords of the official constructor found in the file; only None, strings,
        numbers, fractions, lists and dicts.
    positional: positional arguments, in the official order.
    state: arrays by name, in file order; they may be views of the file, so its size bounds them.
        Floating-point arrays are finite.
    renamed: whether the names are those of our modules instead of the official ones.
    packed: quantised weights, which need the model's shapes for unpacking; `state` is then empty.
    """

    architecture: str | None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    positional: tuple[Any, ...] = ()
    state: Mapping[str, Array] = field(default_factory=dict)
    renamed: bool = False
    packed: PackedWeights | None = None


def plain_arguments(value: object) -> Any:
    """A deep copy of arguments from a file, checked to be plain values.

    Raises:
        BadCheckpoint: another type among them, too many values, or too deep a nesting.
    """
    left = [MAX_ARGUMENTS]

    def copy(item: object, depth: int) -> Any:
        left[0] -= 1
        if left[0] < 0 or depth > MAX_DEPTH:
            raise BadCheckpoint("it has too many or too deeply nested arguments")
        if isinstance(item, PLAIN):
            return item
        if isinstance(item, (list, tuple)):
            return [copy(inner, depth + 1) for inner in item]
        if isinstance(item, dict) and all(isinstance(key, str) for key in item):
            return {key: copy(inner, depth + 1) for key, inner in item.items()}
        raise BadCheckpoint(f"an argument is a {type(item).__name__}, not a plain value")

    return copy(value, 0)


def check_finite(state: Mapping[str, Array]) -> None:
    """Raise BadCheckpoint with the name of the first array that has NaN or infinity."""
    for name, array in state.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise BadCheckpoint(
                f"{name[:64]} holds values that are not finite; fetch the weights again"
            )
