"""Packing of audio arrays into interleaved bytes of any depth and byte order (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Order = Literal["<", ">"]
"""Least significant byte first, or last; as numpy and struct have it."""


def integers(block: NDArray[np.generic], bits: int, order: Order = "<") -> bytes:
    """Pack (channels, frames) signed integers in the range of `bits` (16, 24 or 32)."""
    if bits != 24:
        return interleaved(block, f"{order}i{bits // 8}")
    channels, frames = block.shape
    packed = np.empty((frames, channels, 3), np.uint8)
    columns = (0, 1, 2) if order == "<" else (2, 1, 0)
    for channel in range(channels):
        wide = np.ascontiguousarray(block[channel], "<i4").view(np.uint8).reshape(frames, 4)
        # Column by column: seven times as fast as wide[:, :3].
        for byte, column in enumerate(columns):
            packed[:, channel, column] = wide[:, byte]
    return packed.tobytes()


def interleaved(block: NDArray[np.generic], dtype: str) -> bytes:
    """Pack (channels, frames) numbers as frames of `dtype`, which must hold them."""
    return frames_first(block, dtype).tobytes()


def frames_first(block: NDArray[np.generic], dtype: str) -> NDArray[Any]:
    """Transpose (channels, frames) to contiguous (frames, channels).

    Channel by channel: five times as fast as `numpy.ascontiguousarray(block.T)`.
    """
    packed = np.empty(block.shape[::-1], dtype)
    for channel, values in enumerate(block):
        packed[:, channel] = values
    return packed
