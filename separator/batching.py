"""Where segments are computed: side by side on the cores of a CPU, in batches on a GPU.

A GPU that has too little memory for a batch gets half of it, and so on; one that cannot hold a
single segment hands over to the CPU, slower but done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch

from separator.parallel import ordered_map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

# Of segments on a GPU to begin with. HTDemucs takes about half a gigabyte for each.
FIRST_BATCH = 8


class Task(Protocol):
    """A segment to compute."""

    @property
    def kind(self) -> object:
        """Tasks of equal kinds fit into one batch."""


class MovableModel(Protocol):
    """A model that moves to a device, as `torch.nn.Module` does."""

    def to(self, device: torch.device) -> object:
        """Move all weights there."""


AnyTask = TypeVar("AnyTask", bound=Task)
Result = TypeVar("Result")


@dataclass
class Placement:
    """A model's device, while it runs.

    concurrent_segments: how many share a CPU side by side.
    workers: how many of them really run at once; None for all, which changes no bit.
    batch: how many in one run of the network; halved when the GPU's memory is too small.
    notes: what the user should know of that, a line each.
    """

    model: MovableModel
    device: torch.device
    concurrent_segments: int = 1
    batch: int = 1
    notes: list[str] = field(default_factory=list)
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.device.type != "cpu":
            self.batch = FIRST_BATCH

    def run(
        self, compute: Callable[[Sequence[AnyTask]], Sequence[Result]], tasks: Iterable[AnyTask]
    ) -> Iterator[Result]:
        """compute(batch of tasks of one kind) -> one result each; results in the tasks' order."""
        coming = iter(tasks)
        if self.device.type != "cpu" or self.batch > 1:
            for batch in self._batches(coming):
                yield from self._fitted(compute, batch)
        # All, or what is left once a GPU has given up.
        yield from ordered_map(
            lambda task: compute([task])[0], coming, self.concurrent_segments, self.workers
        )

    def _batches(self, tasks: Iterator[AnyTask]) -> Iterator[list[AnyTask]]:
        """Tasks of one kind, up to `batch` of them; ends early when the GPU has given up."""
        batch: list[AnyTask] = []
        for task in tasks:
            if batch and (len(batch) >= self.batch or batch[0].kind != task.kind):
                yield batch
                batch = []
            batch.append(task)
            if self.notes:
                break
        if batch:
            yield batch

    def _fitted(
        self, compute: Callable[[Sequence[AnyTask]], Sequence[Result]], tasks: Sequence[AnyTask]
    ) -> Iterator[Result]:
        """The tasks in batches as large as fit."""
        first = 0
        while first < len(tasks):
            some = tasks[first : first + self.batch]
            try:
                made = compute(some)
            except RuntimeError as error:
                if self.device.type == "cpu" or not _is_out_of_memory(error):
                    raise
                self._shrink(len(some))
                continue
            yield from made
            first += len(some)

    def _shrink(self, tried: int) -> None:
        """Half a batch; from a single segment to the CPU."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if tried > 1:
            self.batch = tried // 2
            return
        self.batch = 1
        self.notes.append(
            f"{self.device} has too little memory for a segment of this model: went on with the CPU"
        )
        self.device = torch.device("cpu")
        self.model.to(self.device)


def _is_out_of_memory(error: RuntimeError) -> bool:
    """CUDA has a class for it, Metal says it in words."""
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)
