"""Streaming sample rate conversion: libsoxr at "very high quality", delay compensated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import soxr

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]


class Resampler:
    """Converts a stream of (channels, frames) blocks; equal rates pass through unchanged.

    The output has n * out_hz / in_hz frames, rounded, for any block sizes.
    """

    def __init__(self, in_hz: int, out_hz: int, channels: int) -> None:
        self._stream = (
            None
            if in_hz == out_hz
            else soxr.ResampleStream(in_hz, out_hz, channels, dtype="float32", quality="VHQ")
        )
        self._channels = channels

    def push(self, block: FloatArray) -> FloatArray:
        """Output frames (channels, n) available after `block` (channels, frames); n may be 0."""
        return block if self._stream is None else self._run(block.T, last=False)

    def finish(self) -> FloatArray:
        """Remaining output frames: (channels, n)."""
        nothing = np.zeros((0, self._channels), np.float32)
        return nothing.T if self._stream is None else self._run(nothing, last=True)

    def _run(self, frames_first: FloatArray, *, last: bool) -> FloatArray:
        assert self._stream is not None
        out = self._stream.resample_chunk(np.ascontiguousarray(frames_first), last=last)
        return np.asarray(out, np.float32).reshape(-1, self._channels).T
