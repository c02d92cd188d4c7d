"""A bag of models (ensemble): every stem is a weighted mean over the members.

Défossez, "Hybrid spectrogram and waveform source separation", arXiv 2111.03600, section 4: the
bags of the MDX challenge mix models per source; a fine-tuned bag has one specialist for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from separator.errors import BadCheckpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from separator.models.base import WaveformModel


@dataclass(frozen=True)
class BagMember:
    """A model and its weight in the mean of each stem, in the order of its sources."""

    model: WaveformModel
    weights: tuple[float, ...]


class Bag(nn.Module):
    """Members with the same stems, rate and channels.

    Members without weight in the needed stems may be missing: the mean divides by the weights of
    the present members, and `forward` raises for a stem without any.
    """

    def __init__(self, members: Sequence[BagMember]) -> None:
        super().__init__()
        first = members[0].model
        self.sources = first.sources
        self.rate_hz = first.rate_hz
        self.channels = first.channels
        self.models = nn.ModuleList(member.model for member in members)
        self.weights = tuple(member.weights for member in members)
        for member in members:
            theirs = (member.model.sources, member.model.rate_hz, member.model.channels)
            if theirs != (self.sources, self.rate_hz, self.channels):
                raise BadCheckpoint("the members of a bag must have the same stems, rate, channels")
            if len(member.weights) != len(self.sources):
                raise BadCheckpoint("a member of a bag needs one weight for each stem")

    @property
    def members(self) -> tuple[BagMember, ...]:
        """Models and weights, in order."""
        pairs = zip(self.models, self.weights, strict=True)
        return tuple(BagMember(model, weights) for model, weights in pairs)  # type: ignore[arg-type]

    @property
    def takes_bfloat16(self) -> bool:
        """Whether all members do."""
        return all(member.model.takes_bfloat16 for member in self.members)

    def to_bfloat16(self) -> None:
        """See `WaveformModel.to_bfloat16`."""
        for member in self.members:
            member.model.to_bfloat16()

    def forward(self, mixture: Tensor) -> Tensor:
        """(batch, channels, frames) -> (batch, stems, channels, frames): all stems."""
        total = mixture.new_tensor(self.weights).sum(dim=0)
        if not total.all():
            raise BadCheckpoint("this bag was loaded without the members that all stems need")
        mean = mixture.new_zeros(())
        for member in self.members:
            share = mixture.new_tensor(member.weights) / total
            mean = mean + share[:, None, None] * member.model(mixture)
        return mean
