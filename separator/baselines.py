"""Separation without weights: harmonic/percussive, centre/sides, and ideal ratio masks.

    FitzGerald, "Harmonic/percussive separation using median filtering", DAFx 2010.
    Avendano, Jot, "A frequency-domain approach to multichannel upmix", JAES 52(7/8), 2004: what
        is alike in both channels is the centre.
    Stöter, Liutkus, Ito, "The 2018 signal separation evaluation campaign", LVA/ICA 2018: ideal
        ratio masks.

All three weight the bins of the mixture's spectrogram by masks that add up to one, so that the
stems add up to the mixture.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from separator.chunking import SegmentPlan
from separator.errors import InputError
from separator.models.base import SegmentModel
from separator.stft import hann, istft_sum, stft

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

WINDOW_SCALE = 2.0 / 3.0  # squared Hann windows at three-quarter overlap add up to 3/2
EPSILON = 1e-10  # keeps the masks defined, and equal, in silence


@dataclass(frozen=True)
class SpectrogramGrid:
    """Parameters of a spectrogram that is computed and inverted segment by segment.

    A segment yields `steps` columns and has `context` more on either side, so the result does not
    depend on the segmentation. Window and hop are those of FitzGerald.
    """

    window_frames: int = 4096
    hop_frames: int = 1024
    steps: int = 128
    context: int = 0

    @property
    def plan(self) -> SegmentPlan:
        """Segmentation in which each column belongs to exactly one segment."""
        columns = self.steps + 2 * self.context
        return SegmentPlan(
            length_frames=(columns - 1) * self.hop_frames + self.window_frames,
            hop_frames=self.steps * self.hop_frames,
            lead_frames=self.context * self.hop_frames + self.window_frames,
        )

    def own(self, columns: Tensor) -> Tensor:
        """Columns (..., columns, bins) with the context set to zero."""
        if not self.context:
            return columns
        kept = columns[..., self.context : -self.context, :]
        return nn.functional.pad(kept, (0, 0, self.context, self.context))


class MaskModel(SegmentModel):
    """A separator by masks for stereo at 44.1 kHz, without weights.

    (batch, 2, frames) -> (batch, 2 stems, 2, frames).
    """

    rate_hz = 44_100
    channels = 2

    def __init__(self, grid: SpectrogramGrid) -> None:
        super().__init__()
        self.grid = grid
        self.plan = grid.plan
        self.window: Tensor
        self.register_buffer("window", hann(grid.window_frames), persistent=False)

    @abstractmethod
    def mask(self, spectrum: Tensor) -> Tensor:
        """The first stem's mask from (batch, 2, columns, bins) complex64.

        (batch, 2 or 1, columns, bins) float32 in 0..1; the second stem gets what it leaves.
        """

    def segment(self, mixture: Tensor, statistics: Any = None) -> Tensor:
        """(batch, 2, plan.length_frames) -> (batch, 2 stems, 2, length), float32."""
        spectrum = stft(mixture, self.window, self.grid.hop_frames)
        first = spectrum * self.mask(spectrum)
        stems = self.grid.own(torch.stack([first, spectrum - first], dim=1))
        return istft_sum(stems, WINDOW_SCALE * self.window, self.grid.hop_frames)


class HarmonicPercussive(MaskModel):
    """FitzGerald 2010: a tone is a line along time, a hit is a line along frequency.

    The median over neighbours in time keeps the lines of tones, the median over neighbours in
    frequency those of hits; soft masks weigh one against the other. Channels are masked alone.

    width: neighbours that each median sees, itself included, in columns and in bins; odd. The
        paper's 17 are 0.4 s and 180 Hz.
    exponent: of the masks; 2 makes them Wiener filters.
    """

    sources = ("harmonic", "percussive")

    def __init__(self, width: int = 17, exponent: float = 2.0) -> None:
        if width < 3 or width % 2 == 0:
            raise InputError(f"a median filter is 3, 5, 7 ... wide, not {width}")
        super().__init__(SpectrogramGrid(context=width // 2))
        self.width = width
        self.exponent = exponent

    def mask(self, spectrum: Tensor) -> Tensor:
        """The harmonic share; see `MaskModel.mask`. Columns of the context are not exact."""
        magnitudes = spectrum.abs()
        harmonic = running_median(magnitudes, self.width, dim=-2) ** self.exponent
        percussive = running_median(magnitudes, self.width, dim=-1) ** self.exponent
        return (harmonic + EPSILON / 2) / (harmonic + percussive + EPSILON)


class CentreSides(MaskModel):
    """The content common to both channels, and the rest.

    Each bin is modelled as a centre C, equal in both channels, and uncorrelated sides of equal
    power: L = C + A, R = C + B. Then the powers of the half sum M and of the half
    difference S are |C|² + |A|²/2 and |A|²/2, and the Wiener filter that finds C in M is
    1 - |S|²/|M|². It is one where the channels are equal and zero for what is in one of them
    alone (|S| = |M|) or out of phase. Avendano and Jot's similarity index is
    (|M|² - |S|²) / (|M|² + |S|²), the same powers weighed to be symmetric.
    """

    sources = ("centre", "sides")

    def __init__(self) -> None:
        super().__init__(SpectrogramGrid())

    def mask(self, spectrum: Tensor) -> Tensor:
        """The Wiener gain of the centre; see `MaskModel.mask`."""
        left, right = spectrum.unbind(1)
        middle = ((left + right) / 2).abs().square()
        side = ((left - right) / 2).abs().square()
        gain = (middle - side + EPSILON / 2) / (middle + EPSILON)
        return gain.clamp(0.0, 1.0)[:, None]

    def segment(self, mixture: Tensor, statistics: Any = None) -> Tensor:
        """The centre is the half sum, masked; the sides are what is left of each channel."""
        spectrum = stft(mixture, self.window, self.grid.hop_frames)
        middle = spectrum.mean(dim=1, keepdim=True) * self.mask(spectrum)
        centre = middle.expand_as(spectrum)
        stems = self.grid.own(torch.stack([centre, spectrum - centre], dim=1))
        return istft_sum(stems, WINDOW_SCALE * self.window, self.grid.hop_frames)


def running_median(x: Tensor, width: int, dim: int) -> Tensor:
    """The median of `width` (odd) neighbours along `dim`, same shape; edges count mirrored.

    By forgetful selection: of half the neighbours and two more, the least and the greatest cannot
    be the median and are dropped; each further neighbour drops another two. Minima and maxima of
    whole arrays: three times as fast as sorting each neighbourhood, in a tenth of the memory.
    """
    x = x.movedim(dim, 0)
    half = width // 2
    count = len(x)
    index = torch.arange(-half, count + half, device=x.device).abs()
    index = torch.where(index < count, index, 2 * (count - 1) - index).clamp(min=0)
    shifted: Tensor = x[index].unfold(0, count, 1).movedim(-1, 1)  # (width, count, ...), a view
    held = list(shifted[: half + 2])
    for newest in (*shifted[half + 2 :], None):
        held = _without_extremes(held)
        if newest is not None:
            held.append(newest)
    median: Tensor = held[0].movedim(0, dim)
    return median


def _without_extremes(values: list[Tensor]) -> list[Tensor]:
    """Place by place: all but the least and the greatest, in any order."""
    values = list(values)
    last = len(values) - 1
    for i in range(last):
        low, high = values[i], values[i + 1]
        values[i], values[i + 1] = torch.minimum(low, high), torch.maximum(low, high)
    for i in range(last - 1, 0, -1):
        low, high = values[i - 1], values[i]
        values[i - 1], values[i] = torch.minimum(low, high), torch.maximum(low, high)
    return values[1:-1]


def ideal_ratio_masks(
    references: FloatArray, mixture: FloatArray, grid: SpectrogramGrid | None = None
) -> FloatArray:
    """Separate by ideal ratio masks from the true stems: an upper bound for masking methods.

    The mask of a stem is its share of the power of all stems, per bin and channel (the campaign's
    mask with exponent 2).

    Args:
        references: the true stems, (stems, channels, frames) float32.
        mixture: the signal to mask, (channels, frames) float32.
        grid: the spectrogram; windows of 4096 frames by default.

    Returns:
        Estimates with the references' shape; their sum is the mixture.
    """
    grid = grid or SpectrogramGrid()
    plan = grid.plan
    window = hann(grid.window_frames)
    frames = references.shape[-1]
    estimates = np.zeros_like(references)
    for index in range(plan.count(frames)):
        start = plan.start(index)
        end = min(start + plan.length_frames, frames)
        first = max(start, 0)
        both = np.concatenate([references[..., first:end], mixture[None, :, first:end]])
        silence = (first - start, start + plan.length_frames - end)
        segment = np.pad(both, ((0, 0), (0, 0), silence))
        masked = _masked_by_truth(segment, grid, window)
        estimates[..., first:end] += masked[..., first - start : end - start]
    return estimates


@torch.inference_mode()
def _masked_by_truth(segment: FloatArray, grid: SpectrogramGrid, window: Tensor) -> FloatArray:
    """One segment (stems and the mixture, channels, length) -> (stems, channels, length)."""
    spectra = stft(torch.from_numpy(segment), window, grid.hop_frames)
    true, mixture = spectra[:-1], spectra[-1]
    power = true.abs().square()
    share = (power + EPSILON / len(power)) / (power.sum(dim=0) + EPSILON)
    stems: FloatArray = istft_sum(share * mixture, WINDOW_SCALE * window, grid.hop_frames).numpy()
    return stems
