"""The streaming engine: blocks of a mixture in, blocks of every stem out.

    mixture ─► rate of the model ─► segments ─► model ─► overlap-add ─► rate of the mixture ─► stems
       └──────────────────────────── waits for its stems ───────────────────────────┴─► residual

`stream` is the one primitive; memory does not depend on the length of the audio.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch

from separator.chunking import OverlapAdd, Queue, Segmenter, regroup
from separator.errors import InputError
from separator.layout import StereoPairs
from separator.resampling import Resampler

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from separator.models.base import SegmentModel

    FloatArray = NDArray[np.float32]

Residual: TypeAlias = Literal["stem", "add-to-last", "off"]
RESIDUALS: tuple[Residual, ...] = ("stem", "add-to-last", "off")
RESIDUAL_NAME = "residual"

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8_000, 192_000  # telephone to the highest studio rate
LEAST_BLOCK_FRAMES = 4096  # smaller blocks are gathered: each costs a call into the resampler
ARRAY_BLOCK_FRAMES = 1 << 16  # `separate` streams an array in blocks of this many frames


@dataclass(frozen=True)
class Separator:
    """A model, ready for mixtures of any rate from 8 to 192 kHz and any number of channels.

    Stems come back at the rate, with the channels and the frames of the mixture. Mono is
    separated as two equal channels and averaged; more than two channels are separated in pairs,
    in file order (an odd last one as mono), because the models are stereo.

    What no stem holds (above the model's band or rate; what its masks leave out) is the residual,
    mixture minus stems: an output of its own ("stem", named "residual"), added to the last stem
    ("add-to-last"), or left out ("off": the official program's result). With the first two, all
    outputs of a frame add up to the mixture, to float32 rounding.
    """

    model: SegmentModel
    name: str
    device: torch.device
    residual: Residual = "stem"

    @property
    def sources(self) -> tuple[str, ...]:
        """The model's stems, in its order."""
        return self.model.sources

    @property
    def outputs(self) -> tuple[str, ...]:
        """The keys of every block: the sources, and "residual" where it is a stem."""
        extra = (RESIDUAL_NAME,) if self.residual == "stem" else ()
        return (*self.sources, *extra)

    @property
    def rate_hz(self) -> int:
        """The rate that the model works at; other rates are converted there and back."""
        return self.model.rate_hz

    def separate(self, mixture: FloatArray, rate_hz: int) -> dict[str, FloatArray]:
        """Stems of a whole mixture.

        Args:
            mixture: (channels, frames), floating point, full scale at 1.0, finite.
            rate_hz: of the mixture, 8,000 to 192,000.

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
        """Stems of a mixture that arrives in blocks; bounded memory.

        Args:
            blocks: (channels, frames) each, of any sizes, floating point, full scale at 1.0. A
                model with whole-recording statistics (the Wiener filter) reads them twice: give
                it something that can be iterated again, such as a list or a file reader.
            rate_hz: of the mixture, 8,000 to 192,000.

        Yields:
            output name -> (channels, n) float32, n alike for all names of one block. The n of
            all blocks add up to the frames that went in.

        Raises:
            InputError: as in `separate`; or a one-time iterator where two passes are needed.
        """
        _check_rate(rate_hz)
        statistics: Any = None
        if self.model.needs_statistics:
            if iter(blocks) is iter(blocks):
                raise InputError(
                    "this model reads the mixture twice: give it blocks that can be iterated "
                    "again (a list, a file reader), not a generator"
                )
            statistics = self._observe(blocks, rate_hz)
        yield from self._stems(blocks, rate_hz, statistics)

    def _observe(self, blocks: Iterable[FloatArray], rate_hz: int) -> Any:
        """First pass: the model's statistics of the whole recording."""
        front: _Front | None = None
        statistics: Any = None
        for block in _gathered(blocks):
            front = front or _Front(self.model, rate_hz, len(block))
            statistics = statistics or self.model.new_statistics(front.pairs.pairs)
            for segment in front.push(block):
                self._observe_segment(segment, statistics)
        if front is not None:
            for segment in front.finish():
                self._observe_segment(segment, statistics)
        return statistics

    @torch.inference_mode()
    def _observe_segment(self, segment: FloatArray, statistics: Any) -> None:
        self.model.observe(torch.from_numpy(segment).to(self.device), statistics)

    @torch.inference_mode()
    def _model_segment(self, segment: FloatArray, statistics: Any) -> FloatArray:
        stems = self.model.segment(torch.from_numpy(segment).to(self.device), statistics)
        return stems.cpu().numpy()

    def _stems(
        self, blocks: Iterable[FloatArray], rate_hz: int, statistics: Any
    ) -> Iterator[dict[str, FloatArray]]:
        front: _Front | None = None
        back: _Back | None = None
        for block in _gathered(blocks):
            front = front or _Front(self.model, rate_hz, len(block))
            back = back or _Back(self, rate_hz, front.pairs)
            back.expect(block)
            for segment in front.push(block):
                yield from back.push(self._model_segment(segment, statistics))
        if front is not None and back is not None:
            for segment in front.finish():
                yield from back.push(self._model_segment(segment, statistics))
            yield from back.finish()


class _Front:
    """From blocks of the mixture to the model's segments (pairs, 2, length_frames)."""

    def __init__(self, model: SegmentModel, rate_hz: int, channels: int) -> None:
        self.pairs = StereoPairs(channels)
        self._resampler = Resampler(rate_hz, model.rate_hz, channels)
        self._segmenter = Segmenter(model.plan)

    def push(self, block: FloatArray) -> Iterator[FloatArray]:
        if len(block) != self.pairs.channels:
            raise InputError(
                f"a block has {len(block)} channels, the ones before had {self.pairs.channels}"
            )
        yield from self._segmenter.push(self.pairs.split(self._resampler.push(block)))

    def finish(self) -> Iterator[FloatArray]:
        yield from self._segmenter.push(self.pairs.split(self._resampler.finish()))
        yield from self._segmenter.finish()


class _Back:
    """From the model's segments to blocks of stems beside their mixture."""

    def __init__(self, separator: Separator, rate_hz: int, pairs: StereoPairs) -> None:
        self._separator = separator
        self._pairs = pairs
        self._stems = len(separator.sources)
        self._overlap_add = OverlapAdd(separator.model.plan)
        self._resampler = Resampler(separator.model.rate_hz, rate_hz, self._stems * pairs.channels)
        self._mixture = Queue()

    def expect(self, mixture: FloatArray) -> None:
        """Keeps a block (channels, frames) of the mixture until its stems are there."""
        self._mixture.push(mixture)

    def push(self, segment: FloatArray) -> Iterator[dict[str, FloatArray]]:
        """Adds one segment (pairs, stems, 2, length_frames)."""
        yield from self._emit(self._at_rate(self._overlap_add.push(segment)))

    def finish(self) -> Iterator[dict[str, FloatArray]]:
        """The rest, to the last frame of the mixture."""
        tail = self._overlap_add.finish()
        if tail is not None:
            yield from self._emit(self._at_rate(tail))
        yield from self._emit(self._resampler.finish())
        missing = self._mixture.held_frames
        if missing:  # two roundings of the rate conversion, or less than a frame at its rate
            rows = self._stems * self._pairs.channels
            yield from self._emit(np.zeros((rows, missing), np.float32))

    def _at_rate(self, stems: FloatArray) -> FloatArray:
        """(pairs, stems, 2, frames) at the model's rate -> (stems * channels, n)."""
        rows = self._stems * self._pairs.channels
        return self._resampler.push(self._pairs.join(stems).reshape(rows, -1))

    def _emit(self, rows: FloatArray) -> Iterator[dict[str, FloatArray]]:
        frames = min(rows.shape[1], self._mixture.held_frames)  # silence after the end is cut
        if not frames:
            return
        mixture = self._mixture.take(frames)
        stems = rows[:, :frames].reshape(self._stems, self._pairs.channels, frames)
        yield _with_residual(self._separator, mixture, stems)


def _with_residual(
    separator: Separator, mixture: FloatArray, stems: FloatArray
) -> dict[str, FloatArray]:
    """Names the stems (stems, channels, frames) and puts the residual where it belongs.

    In float64, so that the outputs add up to the mixture within one rounding of the last.
    """
    named = dict(zip(separator.sources, np.ascontiguousarray(stems), strict=True))
    if separator.residual == "stem":
        named[RESIDUAL_NAME] = (mixture - stems.sum(axis=0, dtype=np.float64)).astype(np.float32)
    elif separator.residual == "add-to-last":
        others = stems[:-1].sum(axis=0, dtype=np.float64)
        named[separator.sources[-1]] = (mixture - others).astype(np.float32)
    return named


def _gathered(blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
    checked = (_checked(block) for block in blocks)
    return regroup((block for block in checked if block.shape[1]), LEAST_BLOCK_FRAMES)


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


def check_residual(residual: str) -> Residual:
    """The option itself, or InputError with the choices."""
    for choice in RESIDUALS:
        if residual == choice:
            return choice
    raise InputError(f"residual is one of {', '.join(RESIDUALS)}, not {residual!r}")
