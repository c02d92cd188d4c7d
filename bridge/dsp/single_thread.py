"""Arithmetic of torch's on the calling thread alone.

Files are metered side by side, a thread for each: helpers of one operation would spin for longer
than they work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    Array = npt.NDArray[np.float32]


def product(left: Array, right: Array, plus: Array | None = None) -> Array:
    """left @ right, and plus; float32, two axes each."""
    import torch

    from separator.parallel import one_thread

    one, other = _tensor(left), _tensor(right)
    with one_thread():
        made = one @ other if plus is None else torch.addmm(_tensor(plus), one, other)
    result: Array = made.numpy()
    return result


def highest_of_rows(values: Array) -> Array:
    """The highest of each row, (rows,); float32. numpy is slow at many short rows."""
    from separator.parallel import one_thread

    with one_thread():
        result: Array = _tensor(values).amax(dim=1).numpy()
    return result


def _tensor(values: Array) -> torch.Tensor:
    """The same memory, where that may be written to: torch warns of any other."""
    import torch

    return torch.from_numpy(values if values.flags.writeable else values.copy())
