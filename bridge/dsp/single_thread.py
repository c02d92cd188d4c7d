"""Torch operations on the calling thread alone.

Files are metered in parallel, one thread each; torch's own worker threads would cost more than they
save.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    Array = npt.NDArray[np.float32]


def matmul(left: Array, right: Array, plus: Array | None = None) -> Array:
    """Matrix product of float32 arrays.

    Args:
        left: (n, k).
        right: (k, m).
        plus: (n, m), added to the product; optional.

    Returns:
        (n, m) float32.
    """
    import torch

    from separator.parallel import single_threaded

    one, other = _tensor(left), _tensor(right)
    with single_threaded():
        made = one @ other if plus is None else torch.addmm(_tensor(plus), one, other)
    result: Array = made.numpy()
    return result


def row_max(values: Array) -> Array:
    """Maximum of each row, (rows,) float32; numpy is slow with many short rows."""
    from separator.parallel import single_threaded

    with single_threaded():
        result: Array = _tensor(values).amax(dim=1).numpy()
    return result


def _tensor(values: Array) -> torch.Tensor:
    """Tensor that shares memory; read-only arrays are copied, as torch warns about them."""
    import torch

    return torch.from_numpy(values if values.flags.writeable else values.copy())
