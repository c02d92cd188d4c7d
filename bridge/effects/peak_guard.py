"""A gain that keeps the curve between the frames under a ceiling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bridge.dsp.true_peak import REACH_FRAMES, TruePeak

if TYPE_CHECKING:
    from bridge.dsp.processor import Audio, ProcessSpec

# Half the time over which the gain moves: slow enough to add no audible side bands, short enough
# to be over before the ear takes it for a change of level.
_GLIDE_S = 0.002
# Where it acts it goes this much below the ceiling: a gain that moves bends the curve a little, and
# no two resamplers draw it quite alike. On clipped noise up to half the rate 0.15 dB were left over
# the ceiling without it (measured with 8x oversampling by others), more than the 0.1 dB allowed.
_MARGIN = 10 ** (-0.1 / 20)


class PeakGuard:
    """Lowers the gain, for all channels alike, around every place where the curve is too high.

    ceiling: linear. Gives the audio latency_frames later than it came; what stays under the ceiling
    comes out bit for bit.
    """

    def __init__(self, ceiling: float, spec: ProcessSpec) -> None:
        self._ceiling = ceiling
        self._glide_frames = max(1, round(_GLIDE_S * spec.rate_hz))
        self.latency_frames = 2 * self._glide_frames + REACH_FRAMES
        self._true_peak = TruePeak(spec.rate_hz)
        self._kept: Audio = np.zeros((spec.channels, 2 * self.latency_frames), np.float32)
        weights = np.hanning(2 * self._glide_frames + 3)[1:-1]
        self._weights = weights / weights.sum()

    def process(self, block: Audio) -> Audio:
        """As many frames as came, latency_frames later."""
        around = np.concatenate([self._kept, block], axis=1)
        self._kept = around[:, -2 * self.latency_frames :]
        end = around.shape[1] - self.latency_frames
        out: Audio = around[:, self.latency_frames : end]
        after = self._true_peak.between(around, self._ceiling)
        high = np.flatnonzero(after > self._ceiling)
        if not high.size:
            return out
        out = out.copy()
        # The gain moves no further from there than it looks back and glides.
        far = 2 * self._glide_frames
        for first, last in clusters(high, 2 * far + 1):
            begun, ended = max(first - far, self.latency_frames), min(last + far + 2, end)
            if begun < ended:
                gain = self._smooth(self._allowed(after[begun - far - 1 : ended + far]))
                out[:, begun - self.latency_frames : ended - self.latency_frames] *= gain
        return out

    def _allowed(self, after: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """The highest gain that each frame but the first bears, 1 at most.

        after: the curve's highest from each frame up to the next.
        """
        reached = np.maximum(after[1:], after[:-1]).astype(np.float64)
        held = _MARGIN * self._ceiling / np.maximum(reached, self._ceiling)
        allowed: npt.NDArray[np.float64] = np.where(reached > self._ceiling, held, 1.0)
        return allowed

    def _smooth(self, allowed: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """A gain that glides and is nowhere above what is allowed; without the ends that it needs.

        A weighted mean of the lowest values around: each of those reaches back to the frame itself.
        """
        lowest = _lowest(allowed, 2 * self._glide_frames + 1)
        gain: npt.NDArray[np.float64] = np.convolve(lowest, self._weights, mode="valid")
        return gain.astype(np.float32)


def clusters(frames: npt.NDArray[np.intp], apart: int) -> list[tuple[int, int]]:
    """(first, last) of groups of rising frame numbers that lie more than `apart` apart. Pure."""
    cuts = np.flatnonzero(np.diff(frames) > apart) + 1
    return [(int(group[0]), int(group[-1])) for group in np.split(frames, cuts)]


def _lowest(values: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """The minimum of every `width` neighbours, width - 1 fewer than there are values.

    By doubling: the minimum of 2 n neighbours is that of two of n.
    """
    have = 1
    while 2 * have <= width:
        values = np.minimum(values[:-have], values[have:])
        have *= 2
    shift = width - have
    return np.minimum(values[: len(values) - shift], values[shift:]) if shift else values
