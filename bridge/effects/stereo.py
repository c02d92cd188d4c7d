"""Level and stereo image: gain, pan, width and polarity."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from bridge.effects.base import Effect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.dsp.processor import Audio, Node, ProcessSpec


class Matrix:
    """Mixes output channels as weighted sums of the input channels.

    weights: (channels, channels) float64. Sums are float64, rounded once, so that weights of 0 and
    1 change no bit.
    """

    latency_frames = 0

    def __init__(self, weights: npt.NDArray[np.float64]) -> None:
        self._weights = weights

    def process(self, block: Audio) -> Audio:
        """Process a block of any length; the output has the same shape."""
        return (self._weights @ block.astype(np.float64)).astype(np.float32)


def pan_weights(position_percent: float) -> npt.NDArray[np.float64]:
    """The (2, 2) float64 weights of `Pan`; the identity at 0."""
    angle = abs(position_percent) / 100.0 * math.pi / 2.0
    stays, moves = math.cos(angle), math.sin(angle)
    if position_percent < 0.0:
        return np.array([[1.0, moves], [0.0, stays]])
    return np.array([[stays, 0.0], [moves, 1.0]])


class Gain(Effect):
    """A constant gain."""

    effect_name = "gain"
    description = "constant gain"
    gain_db: float = Field(default=0.0, ge=-60, le=24, description="gain")

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """The pedalboard plugin."""
        import pedalboard

        return [pedalboard.Gain(self.gain_db)]


class Pan(Effect):
    """Equal-power panning of a stereo stem.

    The law is that of the Web Audio API 1.1, StereoPannerNode, for stereo input: the near side
    keeps its gain, and the far side is folded into it with cosine and sine gains.
    """

    effect_name = "pan"
    description = "pans a stereo stem with equal power; the far channel is folded into the near one"
    position_percent: float = Field(
        default=0.0, ge=-100, le=100, description="-100 is left, 100 is right"
    )

    def problem(self, spec: ProcessSpec) -> str | None:
        """Anything but stereo cannot be panned."""
        if spec.channels == 2 or self.position_percent == 0.0:
            return None
        return f"pan needs a stereo bounce, this one has {spec.channels} channel(s); remove it"

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """One node; none at 0."""
        if self.position_percent == 0.0:
            return ()
        return [Matrix(pan_weights(self.position_percent))]


class Width(Effect):
    """Level of the side signal (half the difference); the mid signal (half the sum) stays."""

    effect_name = "width"
    description = "stereo width (mid/side); mono stays mono"
    width_percent: float = Field(
        default=100.0,
        ge=0,
        le=200,
        description="level of the side signal: 0 is mono, 100 is unchanged",
    )

    def problem(self, spec: ProcessSpec) -> str | None:
        """More than two channels have no side signal."""
        if spec.channels <= 2:
            return None
        return f"width needs a mono or stereo bounce, this one has {spec.channels} channels"

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """One node; none for mono and at 100 percent."""
        side = self.width_percent / 100.0
        if spec.channels != 2 or side == 1.0:
            return ()
        own, other = (1.0 + side) / 2.0, (1.0 - side) / 2.0
        return [Matrix(np.array([[own, other], [other, own]]))]


class Invert(Effect):
    """Inverts the polarity."""

    effect_name = "invert"
    description = "inverts the polarity"
    channel: Literal["all", "left", "right"] = Field(default="all", description="channel to invert")

    def problem(self, spec: ProcessSpec) -> str | None:
        """A single side needs a stereo bounce."""
        if self.channel == "all" or spec.channels == 2:
            return None
        return (
            f"invert of the {self.channel} channel needs a stereo bounce, this one has "
            f"{spec.channels} channel(s); write `channel: all` or remove it"
        )

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """One node with weights of -1, which is exact."""
        signs = np.ones(spec.channels)
        signs[{"all": slice(None), "left": slice(0, 1), "right": slice(1, 2)}[self.channel]] = -1.0
        return [Matrix(np.diag(signs))]
