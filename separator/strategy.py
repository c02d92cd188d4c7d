"""From a model and its options to what the streaming engine has to do.

A lane is one network over one way of cutting the stream into segments. Most models have one;
a bag has one for each member, and shifts multiply them. The stems are the weighted mean over the
lanes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from separator.batching import Placement
from separator.chunking import Segmenter, TransitionPlan
from separator.errors import InputError
from separator.models.bag import Bag, Member
from separator.models.base import SegmentModel, WaveformModel
from separator.normalisation import LevelMeter
from separator.options import DEFAULT_OVERLAP

ROUNDING = 1e-6  # a third of a second has no exact float, a frame more or less matters

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, TypeAlias

    from numpy.typing import NDArray
    from torch import Tensor

    from separator.chunking import SegmentPlan
    from separator.options import Options

    FloatArray = NDArray[np.float32]
    Model: TypeAlias = SegmentModel | WaveformModel | Bag

    class Survey(Protocol):
        """The first of two passes over a recording."""

        def push(self, mixture: FloatArray) -> None:
            """Takes in (pairs, 2, frames) at the model's rate."""

        def result(self) -> Any:
            """What the second pass needs to know of the whole."""

    class Routine(Protocol):
        """What the engine asks for; made by `routine`."""

        @property
        def lanes(self) -> tuple[Lane, ...]:
            """At least one."""

        @property
        def two_passes(self) -> bool:
            """Whether the recording is read twice."""

        @property
        def placement(self) -> Placement:
            """Where the networks run."""

        def survey(self, pairs: int) -> Survey:
            """The first pass over a recording of that many stereo pairs."""

        def before(self, mixture: FloatArray, statistics: Any) -> FloatArray:
            """(pairs, 2, frames) of the mixture as the networks want it."""

        def after(self, stems: FloatArray, statistics: Any) -> FloatArray:
            """(pairs, stems, 2, frames), as the networks gave them, at the mixture's level."""


@dataclass(frozen=True)
class Lane:
    """A network, its segments, and its share in the mean.

    run: (input (batch, 2, n) float32, statistics, frames) -> (batch, stems, 2, frames): the part
        of the output that counts. A batch is the pairs of one segment or of several.
    share: (stems, 1, 1) float32, or None where this lane is all there is.
    """

    plan: SegmentPlan
    run: Callable[[FloatArray, Any, int], FloatArray]
    share: FloatArray | None = None


def routine(
    model: Model, options: Options, needed: tuple[int, ...], device: torch.device
) -> Routine:
    """needed: places of the stems to compute among the model's sources, in its order.

    Raises:
        InputError: an option that this model does not have.
    """
    if isinstance(model, SegmentModel):
        return _Segments(model, options, needed, device)
    return _Transitions(model, options, needed, device)


class _Segments:
    """A model that says itself which segments it works on."""

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
            place.batch = 1  # they are those of the pairs of one segment
        self.placement = place

        def run(mixture: FloatArray, statistics: Any, frames: int) -> FloatArray:
            del frames  # all of it counts
            with torch.inference_mode():
                stems = model.segment(torch.from_numpy(mixture).to(place.device), statistics)
                return _chosen(stems, needed)

        self.lanes = (Lane(model.plan, run),)
        self.two_passes = model.needs_statistics

    def survey(self, pairs: int) -> Survey:
        return _SegmentSurvey(self._model, pairs, self.placement.device)

    def before(self, mixture: FloatArray, statistics: Any) -> FloatArray:
        del statistics  # the model itself asks for them
        return mixture

    def after(self, stems: FloatArray, statistics: Any) -> FloatArray:
        del statistics
        return stems


class _SegmentSurvey:
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


class _Transitions:
    """Networks on overlapping segments of the normalised mixture, cross-faded."""

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
            members = (Member(model, (1.0,) * len(model.sources)),)
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

    def survey(self, pairs: int) -> Survey:
        return LevelMeter(pairs)

    def before(self, mixture: FloatArray, statistics: Any) -> FloatArray:
        normalised: FloatArray = statistics.normalised(mixture)
        return normalised

    def after(self, stems: FloatArray, statistics: Any) -> FloatArray:
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
        del statistics  # the mixture is normalised by them already
        with torch.inference_mode():
            stems = model(torch.from_numpy(mixture).to(place.device))
            # The middle: some networks put out less than they take in.
            first = (stems.shape[-1] - frames) // 2
            return _chosen(stems[..., first : first + frames], needed)

    return run


def _chosen(stems: Tensor, needed: tuple[int, ...]) -> FloatArray:
    if len(needed) < stems.shape[1]:
        stems = stems[:, list(needed)]
    return stems.cpu().numpy()
