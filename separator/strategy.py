"""Segmentation, normalisation and weighting of a model for the streaming engine.

A lane is one network over one segmentation of the stream. Most models have one lane; a bag has
one per member, and shifts multiply them. The stems are the weighted mean over the lanes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from separator.batching import Placement
from separator.chunking import Segmenter, TransitionPlan
from separator.errors import InputError
from separator.models.bag import Bag, BagMember
from separator.models.base import SegmentModel, WaveformModel
from separator.normalisation import NormalisationMeter
from separator.options import DEFAULT_OVERLAP

ROUNDING = 1e-6  # segments such as 1/3 s have no exact float; int() must not lose a frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, TypeAlias

    from numpy.typing import NDArray
    from torch import Tensor

    from separator.chunking import SegmentPlan
    from separator.options import Options

    FloatArray = NDArray[np.float32]
    Model: TypeAlias = SegmentModel | WaveformModel | Bag

    class FirstPass(Protocol):
        """First of two passes over a recording, which gathers its statistics."""

        def push(self, mixture: FloatArray) -> None:
            """Add (pairs, 2, frames) at the model's rate."""

        def result(self) -> Any:
            """Statistics of the whole recording, for the second pass."""

    class Strategy(Protocol):
        """How one model runs over a stream; made by `make_strategy`."""

        @property
        def lanes(self) -> tuple[Lane, ...]:
            """Networks and their segmentations; at least one."""

        @property
        def two_passes(self) -> bool:
            """Whether the recording is read twice."""

        @property
        def placement(self) -> Placement:
            """Device and batch size of the networks."""

        def first_pass(self, pairs: int) -> FirstPass:
            """A first pass over a recording of `pairs` stereo pairs."""

        def prepare(self, mixture: FloatArray, statistics: Any) -> FloatArray:
            """The mixture (pairs, 2, frames), normalised for the networks."""

        def restore(self, stems: FloatArray, statistics: Any) -> FloatArray:
            """Network outputs (pairs, stems, 2, frames), scaled back to the mixture's level."""


@dataclass(frozen=True)
class Lane:
    """A network, its segmentation, and its weight in the mean.

    run: (input (batch, 2, n) float32, statistics, frames) -> (batch, stems, 2, frames), the valid
        part of the output. A batch holds the pairs of one or several segments.
    share: weights (stems, 1, 1) float32, or None for a single lane.
    """

    plan: SegmentPlan
    run: Callable[[FloatArray, Any, int], FloatArray]
    share: FloatArray | None = None


def make_strategy(
    model: Model, options: Options, needed: tuple[int, ...], device: torch.device
) -> Strategy:
    """The strategy for a model.

    Args:
        model: the network or bag, in evaluation mode on `device`.
        options: the user's separation options.
        needed: indices of the stems to compute, among the model's sources and in their order.
        device: where the model runs first.

    Raises:
        InputError: the model does not support an option, or lacks a member for a needed stem.
    """
    if isinstance(model, SegmentModel):
        return _FixedSegments(model, options, needed, device)
    return _CrossFadedSegments(model, options, needed, device)


class _FixedSegments:
    """A model with its own, fixed segmentation."""

    def __init__(
        self,
        model: SegmentModel,
        options: Options,
        needed: tuple[int, ...],
        device: torch.device,
    ) -> None:
        given = {"segment_s": options.segment_s, "overlap": options.overlap}
        given |= {"shifts": options.shifts or None}
        for name, value in given.items():
            if value is not None:
                raise InputError(f"{name} is not for this model: its segments are fixed")
        self._model = model
        place = Placement(model, device, model.concurrent_segments)
        if model.needs_statistics:
            place.batch = 1  # the statistics hold the pairs of a single segment
        self.placement = place

        def run(mixture: FloatArray, statistics: Any, frames: int) -> FloatArray:
            del frames  # the whole output is valid
            with torch.inference_mode():
                stems = model.segment(torch.from_numpy(mixture).to(place.device), statistics)
                return _selected_stems(stems, needed)

        self.lanes = (Lane(model.plan, run),)
        self.two_passes = model.needs_statistics

    def first_pass(self, pairs: int) -> FirstPass:
        return _SegmentFirstPass(self._model, pairs, self.placement.device)

    def prepare(self, mixture: FloatArray, statistics: Any) -> FloatArray:
        del statistics  # used inside the model
        return mixture

    def restore(self, stems: FloatArray, statistics: Any) -> FloatArray:
        del statistics
        return stems


class _SegmentFirstPass:
    def __init__(self, model: SegmentModel, pairs: int, device: torch.device) -> None:
        self._model = model
        self._device = device
        self._segmenter = Segmenter(model.plan)
        self._statistics = model.new_statistics(pairs)

    def push(self, mixture: FloatArray) -> None:
        for _, segment in self._segmenter.push(mixture):
            self._observe(segment)

    def result(self) -> Any:
        for _, segment in self._segmenter.finish():
            self._observe(segment)
        return self._statistics

    @torch.inference_mode()
    def _observe(self, segment: FloatArray) -> None:
        self._model.observe(torch.from_numpy(segment).to(self._device), self._statistics)


class _CrossFadedSegments:
    """Networks on overlapping, cross-faded segments of the normalised mixture."""

    two_passes = True

    def __init__(
        self,
        model: WaveformModel | Bag,
        options: Options,
        needed: tuple[int, ...],
        device: torch.device,
    ) -> None:
        if isinstance(model, Bag):
            members = model.members
        else:
            members = (BagMember(model, (1.0,) * len(model.sources)),)
        weights = np.array([[m.weights[i] for i in needed] for m in members], np.float32)
        total = weights.sum(axis=0)
        if not total.all():
            missing = model.sources[needed[int(np.argmin(total))]]
            raise InputError(f"the members of this bag that make {missing!r} were not loaded")
        concurrent = min(member.model.concurrent_segments for member in members)
        self.placement = Placement(model, device, concurrent)
        shifts = options.shift_frames(model.rate_hz)
        self.lanes = tuple(
            Lane(
                _plan(member.model, options, shift),
                _runner(member.model, needed, self.placement),
                None if len(members) * len(shifts) == 1 else share[:, None, None],
            )
            for member, share in zip(members, weights / total / len(shifts), strict=True)
            if share.any()
            for shift in shifts
        )

    def first_pass(self, pairs: int) -> FirstPass:
        return NormalisationMeter(pairs)

    def prepare(self, mixture: FloatArray, statistics: Any) -> FloatArray:
        normalised: FloatArray = statistics.normalised(mixture)
        return normalised

    def restore(self, stems: FloatArray, statistics: Any) -> FloatArray:
        restored: FloatArray = statistics.restored(stems)
        return restored


def _plan(model: WaveformModel, options: Options, shift_frames: int) -> TransitionPlan:
    segment_s = options.segment_s or model.segment_s
    if model.fixed_segment and segment_s > model.segment_s:
        raise InputError(f"segment_s is at most {model.segment_s:g} for this model")
    length = int(segment_s * model.rate_hz + ROUNDING)
    overlap = DEFAULT_OVERLAP if options.overlap is None else options.overlap
    return TransitionPlan(
        length_frames=length,
        hop_frames=max(1, int((1 - overlap) * length)),
        lead_frames=shift_frames,
        power=options.transition_power,
        valid_frames=(lambda _: length) if model.fixed_segment else model.valid_frames,
    )


def _runner(
    model: WaveformModel, needed: tuple[int, ...], place: Placement
) -> Callable[[FloatArray, Any, int], FloatArray]:
    def run(mixture: FloatArray, statistics: Any, frames: int) -> FloatArray:
        del statistics  # the mixture is already normalised
        with torch.inference_mode():
            stems = model(torch.from_numpy(mixture).to(place.device))
            # The middle: some networks have shorter outputs than inputs.
            first = (stems.shape[-1] - frames) // 2
            return _selected_stems(stems[..., first : first + frames], needed)

    return run


def _selected_stems(stems: Tensor, needed: tuple[int, ...]) -> FloatArray:
    if len(needed) < stems.shape[1]:
        stems = stems[:, list(needed)]
    return stems.cpu().numpy()
