"""The separator: `separate` a whole array, or `stream` blocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from separator.engine import Engine
from separator.errors import InputError
from separator.options import Options
from separator.outputs import Outputs
from separator.strategy import make_strategy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import torch
    from numpy.typing import NDArray

    from separator.strategy import Model

    FloatArray = NDArray[np.float32]

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8_000, 192_000  # telephone to the highest studio rate
ARRAY_BLOCK_FRAMES = 1 << 16  # `separate` streams an array in blocks of this many frames


@dataclass(frozen=True)
class Separator:
    """A loaded model, for mixtures from 8 to 192 kHz with any number of channels.

    Stems have the rate, channels and frames of the mixture. The models are stereo: mono is
    separated as two equal channels and averaged; more than two channels are separated in pairs,
    in file order, an odd last one as mono.

    The residual is the mixture minus all stems: content above the model's band or rate, or left
    out by its masks. It is an output of its own ("stem", named "residual"), added to `other` or
    else to the last stem ("add-to-last"), or dropped ("off", the official programs' result). With
    the first two, all outputs of a frame add up to the mixture, to float32 rounding.

    Attributes:
        model: the network or bag.
        name: the catalog's name, or the checkpoint's path.
        device: where the model was placed; see `notes` for a fallback.
        options: the separation options.
        precision: number format of the multiplications, "float32" or "bfloat16"; audio is always
            float32.

    Raises:
        InputError: the model does not support an option. Raised by the constructor.
    """

    model: Model
    name: str
    device: torch.device
    options: Options = field(default_factory=Options)
    precision: str = "float32"

    def __post_init__(self) -> None:
        _ = self._engine

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the model's stems, in its order."""
        return self.model.sources

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs: by default the sources, and "residual" if it is a stem."""
        return self._outputs.names

    @property
    def rate_hz(self) -> int:
        """Sample rate of the model; other rates are converted to it and back."""
        return self.model.rate_hz

    @property
    def hop_s(self) -> float:
        """Seconds from one segment's start to the next's; for a bag, of its first member."""
        return self._engine.strategy.lanes[0].plan.hop_frames / self.rate_hz

    @property
    def two_passes(self) -> bool:
        """Whether `stream` reads its blocks twice: first for statistics of the whole recording."""
        return self._engine.strategy.two_passes

    @property
    def notes(self) -> tuple[str, ...]:
        """Notices about the run so far, one line each, such as a GPU with too little memory."""
        return tuple(self._engine.strategy.placement.notes)

    @cached_property
    def _outputs(self) -> Outputs:
        return Outputs(self.sources, self.options)

    @cached_property
    def _engine(self) -> Engine:
        needed = self._outputs.needed
        strategy = make_strategy(self.model, self.options, needed, self.device)
        return Engine(strategy, self.rate_hz, len(needed))

    def separate(self, mixture: FloatArray, rate_hz: int) -> dict[str, FloatArray]:
        """Stems of a whole mixture.

        Args:
            mixture: (channels, frames), floating point, full scale at 1.0, finite.
            rate_hz: sample rate of the mixture, 8,000 to 192,000.

        Returns:
            output name -> (channels, frames) float32.

        Raises:
            InputError: not two axes, no channel, not finite, or a rate out of range.
        """
        mixture = _checked(mixture)
        frames = mixture.shape[1]
        if not frames:
            _check_rate(rate_hz)
            return {name: np.zeros_like(mixture) for name in self.outputs}
        starts = range(0, frames, ARRAY_BLOCK_FRAMES)
        blocks = [mixture[:, start : start + ARRAY_BLOCK_FRAMES] for start in starts]
        done = list(self.stream(blocks, rate_hz))
        return {name: np.concatenate([b[name] for b in done], axis=1) for name in self.outputs}

    def stream(self, blocks: Iterable[FloatArray], rate_hz: int) -> Iterator[dict[str, FloatArray]]:
        """Stems of a mixture that arrives in blocks, in bounded memory.

        Args:
            blocks: (channels, frames) each, of any sizes, floating point, full scale at 1.0. With
                `two_passes` they are iterated twice, so pass a list or a file reader, not a
                generator.
            rate_hz: sample rate of the mixture, 8,000 to 192,000.

        Yields:
            output name -> (channels, n) float32, n alike for all names of one block. The n of
            all blocks add up to the frames that went in.

        Raises:
            InputError: as in `separate`; or a one-time iterator where two passes are needed.
        """
        _check_rate(rate_hz)
        statistics: Any = None
        if self.two_passes:
            if iter(blocks) is iter(blocks):
                raise InputError(
                    "this model reads the mixture twice: give it blocks that can be iterated "
                    "again (a list, a file reader), not a generator"
                )
            statistics = self._engine.measure(_audio(blocks), rate_hz)
        for mixture, stems in self._engine.stream(_audio(blocks), rate_hz, statistics):
            yield self._outputs.named(mixture, stems)


def _audio(blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
    """Validated blocks, without empty ones."""
    checked = (_checked(block) for block in blocks)
    return (block for block in checked if block.shape[1])


def _checked(block: FloatArray) -> FloatArray:
    block = np.asarray(block)
    if block.ndim != 2 or not block.shape[0]:
        raise InputError(f"audio is an array (channels, frames), not of shape {block.shape}")
    if block.dtype.kind not in "f":
        raise InputError(f"audio is floating point with full scale at 1.0, not {block.dtype}")
    block = np.asarray(block, np.float32)
    if not np.isfinite(block).all():
        raise InputError("audio holds NaN or infinite values: repair it first")
    return block


def _check_rate(rate_hz: int) -> None:
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise InputError(
            f"{rate_hz} Hz is outside {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz: convert it first"
        )
