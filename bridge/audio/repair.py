"""Inaudible replacement of NaN and Inf.

A failing plugin leaves either single values or, once its filters have stored the NaN, nothing else
until the render ends. A short run is bridged by a straight line between its neighbours: zeros would
click at any level. A long run becomes silence: a held or interpolated line would be an offset that
the model takes for bass. Inf is treated like NaN: it marks an overflow, not full scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    Audio = NDArray[np.float32]

BRIDGED_S = 0.002
"""Gaps in noise are heard from 2 to 3 ms on (Plomp, J. Acoust. Soc. Am. 36, 1964)."""


class Repair:
    """One pass over a bounce; `values` counts the replaced values so far.

    longest_frames: longest run that is bridged. The result is independent of the block size.
    """

    def __init__(self, channels: int, longest_frames: int) -> None:
        self.values = 0
        self._longest_frames = longest_frames
        self._held: Audio = np.zeros((channels, 0), np.float32)
        self._before = np.zeros(channels, np.float32)  # the last values given out
        self._in_long_run = np.zeros(channels, np.bool_)

    def blocks(self, blocks: Iterable[Audio]) -> Iterator[Audio]:
        """Yield (channels, frames) float32 blocks of finite values, of the same total length.

        A run at the end of a block is held back until its length is known. Audio before the first
        and behind the last frame counts as silence.
        """
        for block in blocks:
            yield from self._give(self._taken_in(block))
        yield from self._give(self._rest())

    def _taken_in(self, block: Audio) -> Audio:
        missing = ~np.isfinite(block)
        if not missing.any() and not self._held.shape[1]:
            self._in_long_run[:] = False
            self._before = block[:, -1]
            return block
        self.values += int(np.count_nonzero(missing))
        buffer = np.concatenate([self._held, block], axis=1)
        open_ended = np.zeros(buffer.shape[0], np.bool_)
        whole = np.isfinite(buffer).all(axis=1)
        self._in_long_run[whole] = False
        for channel in np.flatnonzero(~whole):
            open_ended[channel] = self._mend(buffer, int(channel))
        # Closed runs are mended; an open one may still turn out to be short, and lies in here.
        keep_frames = min(self._longest_frames, buffer.shape[1]) if open_ended.any() else 0
        ready_frames = buffer.shape[1] - keep_frames
        self._held = buffer[:, ready_frames:]
        return buffer[:, :ready_frames]

    def _mend(self, buffer: Audio, channel: int) -> bool:
        """Repair the runs of one channel in place; True if a short one at the end stays open."""
        row = buffer[channel]
        missing = ~np.isfinite(row)
        edges = np.flatnonzero(np.diff(missing, prepend=False, append=False))
        starts, ends = edges[::2], edges[1::2]
        long = ends - starts > self._longest_frames
        held_frames = self._held.shape[1]
        if self._in_long_run[channel] and starts[0] == held_frames:
            long[0] = True
        at_end = bool(ends[-1] == len(row))
        self._in_long_run[channel] = at_end and bool(long[-1])
        open_ended = at_end and not long[-1]
        places = np.flatnonzero(~missing)
        known_at = np.concatenate([[-1], places])
        known = np.concatenate([[self._before[channel]], row[places]])
        bridged = missing.copy()
        if open_ended:
            bridged[starts[-1] :] = False
        at = np.flatnonzero(bridged)
        row[at] = np.interp(at, known_at, known)
        for start, end in zip(starts[long], ends[long], strict=True):
            row[start:end] = 0.0
        return open_ended

    def _rest(self) -> Audio:
        """Frames held back, repaired as if silence followed."""
        if not self._held.shape[1]:
            return self._held
        silence = np.zeros((self._held.shape[0], 1), np.float32)
        buffer = np.concatenate([self._held, silence], axis=1)
        for channel in np.flatnonzero(~np.isfinite(buffer).all(axis=1)):
            self._mend(buffer, int(channel))
        return buffer[:, :-1]

    def _give(self, block: Audio) -> Iterator[Audio]:
        if block.shape[1]:
            self._before = block[:, -1]
            yield block
