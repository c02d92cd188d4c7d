"""A model without weights: fixed shares of the mixture, faded over overlapping segments."""

from __future__ import annotations

import torch
from torch import Tensor

from separator.chunking import SegmentPlan
from separator.models.base import SegmentModel
from separator.options import Options, Residual
from separator.separator import Separator

SHARES = {"vocals": 0.25, "drums": 0.5}  # a quarter is left for the residual


class Toy(SegmentModel):
    """Stem = share x mixture; triangular windows at half overlap, which add up to one."""

    def __init__(self, half: int = 3000, rate_hz: int = 44_100) -> None:
        super().__init__()
        self.sources = tuple(SHARES)
        self.rate_hz = rate_hz
        self.channels = 2
        self.plan = SegmentPlan(length_frames=2 * half, hop_frames=half, lead_frames=half)
        rise = (torch.arange(half) + 0.5) / half
        self.fade = torch.cat([rise, rise.flip(0)])

    def segment(self, mixture: Tensor, statistics: object = None) -> Tensor:
        shares = torch.tensor(list(SHARES.values()))[None, :, None, None]
        return mixture[:, None] * shares * self.fade


def toy(residual: Residual = "stem", rate_hz: int = 44_100) -> Separator:
    """A ready separator around the toy model."""
    return Separator(Toy(rate_hz=rate_hz), "toy", torch.device("cpu"), Options(residual=residual))
