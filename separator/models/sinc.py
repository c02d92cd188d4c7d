"""Resampling by 2 and 1/2 around Demucs' network, by windowed sinc interpolation.

J. O. Smith, "Digital Audio Resampling", https://ccrma.stanford.edu/~jos/resample: an output frame
at time t is the sum over input frames i of x[i] h(t - i), where h is a sinc with its cutoff a
little below the lower of both Nyquist frequencies, under a squared cosine that ends at the sinc's
24th zero. These are the constants that the official models were trained with.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn

ZEROS = 24  # zero crossings of the sinc on each side
ROLLOFF = 0.945  # cutoff, as a part of the lower Nyquist frequency


def _kernels(ratio: Fraction) -> Tensor:
    """One filter for each phase of an output at `ratio` times the rate: (phases, 1, taps)."""
    step = ratio.denominator  # input frames per group of `phases` output frames
    cutoff = ROLLOFF * min(1.0, float(ratio))
    reach = math.ceil(ZEROS / cutoff)
    frames = np.arange(-reach, reach + step, dtype=np.float64)
    phases = np.arange(ratio.numerator, dtype=np.float64)[:, None] / float(ratio)
    t = np.clip((frames - phases) * cutoff, -ZEROS, ZEROS)
    taps = np.sinc(t) * np.cos(np.pi * t / (2 * ZEROS)) ** 2
    taps /= taps.sum(axis=1, keepdims=True)  # a constant stays what it is
    return torch.from_numpy(taps.astype(np.float32))[:, None]


class TwiceTheRate(nn.Module):
    """Up- and downsampling by two, with the first and last frame repeated as padding."""

    def __init__(self) -> None:
        super().__init__()
        self.up_kernels: Tensor
        self.down_kernels: Tensor
        self.register_buffer("up_kernels", _kernels(Fraction(2)), persistent=False)
        self.register_buffer("down_kernels", _kernels(Fraction(1, 2)), persistent=False)

    def up(self, x: Tensor) -> Tensor:
        """(batch, channels, frames) -> (batch, channels, 2 * frames)."""
        return _resample(x, self.up_kernels, step=1)[..., : 2 * x.shape[-1]]

    def down(self, x: Tensor) -> Tensor:
        """(batch, channels, frames) -> (batch, channels, frames // 2)."""
        return _resample(x, self.down_kernels, step=2)[..., : x.shape[-1] // 2]


def _resample(x: Tensor, kernels: Tensor, step: int) -> Tensor:
    """(batch, channels, frames) -> the same at phases / step times the rate, and a bit more."""
    batch, channels, frames = x.shape
    reach = (kernels.shape[-1] - step) // 2
    rows = x.reshape(batch * channels, 1, frames)
    padded = nn.functional.pad(rows, (reach, reach + step), mode="replicate")
    phases = nn.functional.conv1d(padded, kernels, stride=step)
    return phases.transpose(1, 2).reshape(batch, channels, -1)
