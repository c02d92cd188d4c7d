"""The spectrogram of the hybrid models, whose columns are in step with the waveform branch.

Défossez, arXiv 2111.03600, section 3.1: n frames give ceil(n / hop) columns, as if the transform
were one more convolution with a stride. Column t sees frames t * hop - 3/8 window to t * hop + 5/8
window. The highest bin is left out, so that the number of bins is a power of two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from separator.stft import hann, istft_sum

if TYPE_CHECKING:
    from torch import Tensor

Alignment = Literal["hybrid", "hybrid-old", "centred"]


class Spectrogram(nn.Module):
    """Analysis and synthesis with a Hann window and a hop of a quarter of it.

    The transform is unitary: divided by the root of the window's length.

    alignment: "hybrid" as above. "hybrid-old" is that of some models of the MDX 2021 competition:
    the analysis sees silence, not a reflection, past the ends, and the synthesis is late by 3/8 of
    a window; they learnt to live with it. "centred" is for a model without waveform branch: column
    t in the middle of its window, one column more.
    """

    def __init__(self, window_frames: int, alignment: Alignment = "hybrid") -> None:
        super().__init__()
        self.hop_frames = window_frames // 4
        self.alignment = alignment
        # Of a window's frames, how many lie before the place that its column stands for.
        self.lead_frames = window_frames * (4 if alignment == "centred" else 3) // 8
        self.window: Tensor
        self.analysis_window: Tensor
        self.synthesis_window: Tensor
        window = hann(window_frames)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("analysis_window", window / window_frames**0.5, persistent=False)
        self.register_buffer("synthesis_window", window * window_frames**0.5, persistent=False)

    def analyse(self, wave: Tensor) -> Tensor:
        """(batch, channels, frames) float32 -> (batch, columns, channels, bins) complex64."""
        frames = wave.shape[-1]
        if self.alignment == "centred":
            after = self.lead_frames
        else:
            after = self.lead_frames + -frames % self.hop_frames  # up to the next full hop
        if self.alignment == "hybrid-old":
            padded = nn.functional.pad(wave, (self.lead_frames, after))
        else:
            padded = reflect(wave, self.lead_frames, after)
        windows = padded.unfold(-1, len(self.window), self.hop_frames).transpose(1, 2)
        spectrum: Tensor = torch.fft.rfft(windows * self.analysis_window)
        return spectrum[..., :-1]

    def synthesise(self, spectrum: Tensor, frames: int) -> Tensor:
        """(..., columns, bins) complex64 -> (..., frames) float32.

        Windowed and added, divided by the sum of the squared windows: the inverse of `analyse`.
        In the hybrid alignments the two columns before the first and after the last one count as
        silent, so that the ends fade; the networks have learnt to make up for it.
        """
        wave = istft_sum(spectrum, self.synthesis_window, self.hop_frames)
        silent = 0 if self.alignment == "centred" else 2
        envelope = self._envelope(spectrum.shape[-2] + 2 * silent)[silent * self.hop_frames :]
        first = 0 if self.alignment == "hybrid-old" else self.lead_frames
        part = slice(first, first + frames)
        return wave[..., part] / envelope[part]

    def _envelope(self, columns: int) -> Tensor:
        """The sum of the squared windows of so many columns."""
        hop = self.hop_frames
        quarters = self.window.square().view(4, hop)
        total = quarters.new_zeros(columns + 3, hop)
        for i in range(4):
            total[i : i + columns] += quarters[i]
        return total.flatten()


def turned(x: Tensor) -> Tensor:
    """(batch, n, m) -> (batch, m, n), copied; torch is five times as fast one matrix at a time."""
    batch, rows, columns = x.shape
    out = x.new_empty(batch, columns, rows)
    for i in range(batch):
        out[i].copy_(x[i].T)
    return out


def reflect(wave: Tensor, before: int, after: int) -> Tensor:
    """Pads (batch, channels, frames) with its mirror image on both sides.

    Too short a wave gets zeros first, as many as a mirror needs: at its end, then at its start.
    """
    lack = max(before, after) - wave.shape[-1] + 1
    if lack > 0:
        at_end = min(after, lack)
        wave = nn.functional.pad(wave, (lack - at_end, at_end))
        before, after = before - (lack - at_end), after - at_end
    return nn.functional.pad(wave, (before, after), mode="reflect")
