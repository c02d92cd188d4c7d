"""Computation of segments: in parallel on the cores of a CPU, in batches on a GPU.

When a GPU runs out of memory, the batch is halved repeatedly; if a single segment does not fit, the
CPU takes over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch

from separator.parallel import ordered_map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

# First batch size on a GPU, in segments. HTDemucs needs about half a gigabyte for each.
FIRST_BATCH = 8


class Task(Protocol):
    """A segment to compute."""

    @property
    def kind(self) -> object:
        """Key of the tasks that can share a batch."""


class MovableModel(Protocol):
    """A model that moves to a device, as `torch.nn.Module` does."""

    def to(self, device: torch.device) -> object:
        """Move all weights to the device."""


AnyTask = TypeVar("AnyTask", bound=Task)
Result = TypeVar("Result")


@dataclass
class Placement:
    """Device and batch size of a running model.

    model: the model, moved to the CPU when a GPU is too small.
    device: its current device.
    concurrent_segments: segments that share a CPU's threads.
    batch: segments per run of the network; halved when the GPU's memory is too small.
    notes: notices for the user, one line each.
    workers: segments that run at the same time; None for all. Does not affect the result.
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
        """Results of all tasks, in their order.

        compute: maps a batch of tasks with equal `kind` to one result per task.
        """
        coming = iter(tasks)
        if self.device.type != "cpu" or self.batch > 1:
            for batch in self._batches(coming):
                yield from self._fitted(compute, batch)
        # All tasks, or the rest after a GPU ran out of memory.
        yield from ordered_map(
            lambda task: compute([task])[0], coming, self.concurrent_segments, self.workers
        )

    def _batches(self, tasks: Iterator[AnyTask]) -> Iterator[list[AnyTask]]:
        """Up to `batch` consecutive tasks of one kind; ends after a switch to the CPU."""
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
        """Results of the tasks, in batches that fit into memory."""
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
        """Halve the batch; after a single segment, switch to the CPU."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if tried > 1:
            self.batch = tried // 2
            return
        self.batch = 1
        self.notes.append(
            f"{self.device} has too little memory for a segment of this model: continued on the CPU"
        )
        self.device = torch.device("cpu")
        self.model.to(self.device)


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error means too little memory: CUDA has a class, Metal only a message."""
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)
