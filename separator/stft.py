"""Short-time Fourier transform without centring: frame `t` starts at frame `t * hop`.

torch.stft's own inverse divides by the window's envelope, which is not defined at the edges of an
uncentred transform; here the inverse only windows and adds, so that segments can be added up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def hann(length_frames: int) -> Tensor:
    """The periodic Hann window, (length_frames,) float32."""
    return torch.hann_window(length_frames, periodic=True)


def stft(wave: Tensor, window: Tensor, hop_frames: int) -> Tensor:
    """(..., frames) float32 -> (..., steps, bins) complex64, bins = len(window) / 2 + 1.

    steps = (frames - len(window)) / hop + 1: only full windows.
    """
    frames: Tensor = wave.unfold(-1, len(window), hop_frames) * window
    spectrum: Tensor = torch.fft.rfft(frames)
    return spectrum


def istft_sum(spectrum: Tensor, window: Tensor, hop_frames: int) -> Tensor:
    """(..., steps, bins) complex64 -> (..., frames) float32: windowed frames, added up.

    Missing bins at the top are zero. No division by the window's envelope: the caller scales.
    `len(window)` must be a multiple of the hop, so that the addition is a few shifted sums.
    """
    overlap, rest = divmod(len(window), hop_frames)
    if rest:
        raise ValueError(f"a window of {len(window)} is no multiple of the hop {hop_frames}")
    frames: Tensor = torch.fft.irfft(spectrum, n=len(window)).mul_(window)
    steps = frames.shape[-2]
    wave = frames.new_zeros((*frames.shape[:-2], steps + overlap - 1, hop_frames))
    for k in range(overlap):
        wave[..., k : k + steps, :] += frames[..., k * hop_frames : (k + 1) * hop_frames]
    return wave.flatten(-2)
