"""What every reader of a checkpoint returns, whatever the format."""

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

MAX_ARGUMENTS = 10_000  # values in all; releases have a few dozen
MAX_DEPTH = 8
PLAIN = (str, bool, int, float, Fraction, type(None))


@dataclass(frozen=True)
class Checkpoint:
    """A model as its file describes it.

    architecture: one of `separator.architectures.NAMES`, or None where the file does not say.
    arguments: keywords of the official constructor, as far as the file has them: None, texts,
        numbers, fractions, lists and dicts, nothing else.
    positional: arguments without a keyword, in the official order.
    state: arrays by name, in the order of the file; bounded by its size, as they may be views of
        it. Floating-point ones are finite.
    renamed: whether the names are those of our modules already, not the official ones.
    packed: weights in fewer bits, which need the model's shapes to be unpacked; then `state` is
        empty.
    """

    architecture: str | None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    positional: tuple[Any, ...] = ()
    state: Mapping[str, Array] = field(default_factory=dict)
    renamed: bool = False
    packed: PackedWeights | None = None


def plain_arguments(value: object) -> Any:
    """A copy of arguments from a file, if they are plain values all the way down.

    Raises:
        BadCheckpoint: something else among them, or too many, or too deep.
    """
    left = [MAX_ARGUMENTS]

    def copy(item: object, depth: int) -> Any:
        left[0] -= 1
        if left[0] < 0 or depth > MAX_DEPTH:
            raise BadCheckpoint("its arguments are too many or too deep")
        if isinstance(item, PLAIN):
            return item
        if isinstance(item, (list, tuple)):
            return [copy(inner, depth + 1) for inner in item]
        if isinstance(item, dict) and all(isinstance(key, str) for key in item):
            return {key: copy(inner, depth + 1) for key, inner in item.items()}
        raise BadCheckpoint(f"an argument is a {type(item).__name__}, not a plain value")

    return copy(value, 0)


def check_finite(state: Mapping[str, Array]) -> None:
    """Raises BadCheckpoint, naming the first, if any array holds NaN or infinity."""
    for name, array in state.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise BadCheckpoint(
                f"{name[:64]} holds values that are not finite; fetch the weights again"
            )
