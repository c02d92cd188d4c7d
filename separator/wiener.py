"""Multichannel Wiener filter: one step of expectation maximisation over a whole recording.

Duong, Vincent, Gribonval, "Under-determined reverberant audio source separation using a full-rank
spatial covariance model", IEEE TASLP 18(7), 2010, in the simplified form of Nugraha, Liutkus,
Vincent, "Multichannel audio source separation with deep neural networks", IEEE/ACM TASLP 24(9),
2016 (section III): each source has a power spectral density per time and bin and one spatial
covariance matrix per bin, averaged over the recording. Constants are those of the norbert
package, which the official Spleeter uses.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

EPSILON = torch.finfo(torch.float32).eps  # norbert's default for single precision


@dataclass
class SpatialStatistics:
    """Sums over the recording, for the spatial covariances.

    covariance: (batch, sources, bins, channels, channels) complex128, sum of y y^H over time.
    power: (batch, sources, bins) float64, sum of the mean power of the channels over time.
    peak: (batch,) float64, greatest magnitude in the mixture's spectrum.
    """

    covariance: Tensor
    power: Tensor
    peak: Tensor

    @classmethod
    def zeros(cls, batch: int, sources: int, bins: int, channels: int) -> SpatialStatistics:
        """Empty statistics."""
        return cls(
            torch.zeros((batch, sources, bins, channels, channels), dtype=torch.complex128),
            torch.zeros((batch, sources, bins), dtype=torch.float64),
            torch.zeros(batch, dtype=torch.float64),
        )

    def add(self, magnitudes: Tensor, mixture: Tensor) -> None:
        """Add one segment; shapes as in `soft_mask`."""
        estimate = soft_mask(magnitudes, mixture).to("cpu", torch.complex128)
        self.covariance += torch.einsum("bsctf,bsdtf->bsfcd", estimate, estimate.conj())
        self.power += estimate.abs().square().mean(dim=2).sum(dim=2)
        self.peak = torch.maximum(self.peak, mixture.abs().amax(dim=(1, 2, 3)).cpu().double())


def soft_mask(magnitudes: Tensor, mixture: Tensor) -> Tensor:
    """The ratio mask applied to the mixture.

    magnitudes: (batch, sources, channels, steps, bins) float32, not negative.
    mixture: (batch, channels, steps, bins) complex64. Returns magnitudes' shape, complex64.
    """
    total = magnitudes.sum(dim=1, keepdim=True)
    return magnitudes / (EPSILON + total) * mixture[:, None]


def wiener_filter(magnitudes: Tensor, mixture: Tensor, statistics: SpatialStatistics) -> Tensor:
    """The refined spectra of all sources; shapes as in `soft_mask`, two channels.

    The mixture is first scaled down to a peak of at most 10, so that the regularisation has the
    same effect on loud and quiet recordings.
    """
    scale = torch.clamp(statistics.peak / 10.0, min=1.0)[:, None, None, None, None]
    weight = EPSILON + statistics.power / scale[..., 0, 0].square()
    spatial = statistics.covariance / scale.square() / weight[..., None, None]
    spatial = spatial.to(mixture.device, torch.complex64)
    scale = scale.to(mixture.device, torch.float32)

    estimate = soft_mask(magnitudes, mixture) / scale
    power = estimate.abs().square().mean(dim=2)  # (batch, sources, steps, bins)
    channels = mixture.shape[1]
    model = torch.einsum("bstf,bsfcd->btfcd", power.to(torch.complex64), spatial)
    model += EPSILON**0.5 * torch.eye(channels, device=model.device)
    whitened = _solve_2x2(model, mixture)
    refined = torch.einsum("bsfcd,bdtf->bsctf", spatial, whitened)
    return refined * power[:, :, None]


def _solve_2x2(matrix: Tensor, vector: Tensor) -> Tensor:
    """matrix^-1 vector for (batch, steps, bins, 2, 2) and (batch, 2, steps, bins), by Cramer.

    For millions of 2x2 systems a general solver takes ten times as long.
    """
    (a, b), (c, d) = (row.unbind(-1) for row in matrix.unbind(-2))
    x, y = vector.unbind(1)
    return torch.stack([d * x - b * y, a * y - c * x], dim=1) / (a * d - b * c)[:, None]
