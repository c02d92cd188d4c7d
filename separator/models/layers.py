"""torch's layers without random initialisation: all weights come from a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

Layer = TypeVar("Layer", bound=nn.Module)


def unfilled(layer: Callable[..., Layer], *arguments: Any, **keywords: Any) -> Layer:
    """`layer(*arguments, **keywords)`, its parameters allocated but not set.

    For layers that hold parameters only: a buffer would not be set either.
    """
    return layer(*arguments, **keywords, device="meta").to_empty(device="cpu")
