"""True-peak limiting: a gain that keeps the interpolated curve under a ceiling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bridge.dsp.true_peak import REACH_FRAMES, TruePeak

if TYPE_CHECKING:
    from bridge.dsp.processor import Audio, ProcessSpec

# Half the duration of a gain change: long enough to add no audible side bands, short enough not to
# be heard as a change of level.
_GLIDE_S = 0.002
# Margin below the ceiling: a moving gain changes the curve a little, and resamplers differ. Without
# it, clipped noise up to half the rate exceeded the ceiling by 0.15 dB (measured with the 8x
# oversampling of other programs), more than the 0.1 dB allowed.
_MARGIN = 10 ** (-0.1 / 20)


class PeakGuard:
    """Lowers the gain of all channels around every true peak over a linear ceiling.

    Audio under the ceiling is unchanged, bit for bit. The output is latency_frames late.
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
        """Process a block; the output has the same length, latency_frames later."""
        around = np.concatenate([self._kept, block], axis=1)
        self._kept = around[:, -2 * self.latency_frames :]
        end = around.shape[1] - self.latency_frames
        out: Audio = around[:, self.latency_frames : end]
        after = self._true_peak.between(around, self._ceiling)
        high = np.flatnonzero(after > self._ceiling)
        if not high.size:
            return out
        out = out.copy()
        # The gain changes no further from a peak than look-ahead and glide.
        far = 2 * self._glide_frames
        for first, last in clusters(high, 2 * far + 1):
            begun, ended = max(first - far, self.latency_frames), min(last + far + 2, end)
            if begun < ended:
                gain = self._smooth(self._allowed(after[begun - far - 1 : ended + far]))
                out[:, begun - self.latency_frames : ended - self.latency_frames] *= gain
        return out

    def _allowed(self, after: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Highest permitted gain of each frame but the first, 1 at most.

        after: maximum of the curve from each frame up to the next.
        """
        reached = np.maximum(after[1:], after[:-1]).astype(np.float64)
        held = _MARGIN * self._ceiling / np.maximum(reached, self._ceiling)
        allowed: npt.NDArray[np.float64] = np.where(reached > self._ceiling, held, 1.0)
        return allowed

    def _smooth(self, allowed: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """A smooth gain that is nowhere above the permitted one, shorter by the window's ends.

        It is a weighted mean of sliding minima, each of which includes the frame itself.
        """
        lowest = _lowest(allowed, 2 * self._glide_frames + 1)
        gain: npt.NDArray[np.float64] = np.convolve(lowest, self._weights, mode="valid")
        return gain.astype(np.float32)


def clusters(frames: npt.NDArray[np.intp], apart: int) -> list[tuple[int, int]]:
    """(first, last) of each group of rising frame numbers, groups more than `apart` apart."""
    cuts = np.flatnonzero(np.diff(frames) > apart) + 1
    return [(int(group[0]), int(group[-1])) for group in np.split(frames, cuts)]


def _lowest(values: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """Sliding minimum over `width` values; the result is width - 1 values shorter.

    Computed by doubling: a minimum over 2 n values is that of two minima over n.
    """
    covered = 1
    while 2 * covered <= width:
        values = np.minimum(values[:-covered], values[covered:])
        covered *= 2
    shift = width - covered
    return np.minimum(values[: len(values) - shift], values[shift:]) if shift else values
