"""Batches on a GPU that has too little memory. The GPU here is one in name only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from separator.batching import FIRST_BATCH, Placement
from tests.toy import toy

CUDA = torch.device("cuda")


@dataclass(frozen=True)
class Task:
    number: int
    kind: str = "a"


class Model:
    """Remembers where it was sent."""

    def __init__(self) -> None:
        self.devices: list[torch.device] = []

    def to(self, device: torch.device) -> Model:
        self.devices.append(device)
        return self


class Gpu:
    """Computes a task as its number, up to `room` at once while the placement is on the GPU."""

    def __init__(self, room: int, error: type[RuntimeError] = torch.OutOfMemoryError) -> None:
        self.place = Placement(Model(), CUDA, concurrent_segments=2)  # type: ignore[arg-type]
        self.room = room
        self.error = error
        self.batches: list[tuple[str, tuple[int, ...]]] = []

    def compute(self, tasks: Sequence[Task]) -> list[int]:
        assert len({task.kind for task in tasks}) == 1
        if self.place.device == CUDA and len(tasks) > self.room:
            raise self.error("MPS backend out of memory (allocated 9 GB)")
        self.batches.append((self.place.device.type, tuple(task.number for task in tasks)))
        return [task.number for task in tasks]

    def run(self, tasks: Sequence[Task]) -> list[int]:
        return list(self.place.run(self.compute, tasks))


@given(
    st.integers(0, 40),
    st.integers(0, 12),
    st.lists(st.sampled_from("ab"), min_size=40, max_size=40),
)
def test_every_task_is_done_once_in_order_whatever_fits(
    count: int, room: int, kinds: list[str]
) -> None:
    gpu = Gpu(room)
    assert gpu.run([Task(number, kinds[number]) for number in range(count)]) == [*range(count)]


def test_a_batch_is_halved_until_it_fits_and_stays_so() -> None:
    gpu = Gpu(room=3)
    gpu.run([Task(number) for number in range(20)])
    assert {len(numbers) for _, numbers in gpu.batches} == {FIRST_BATCH // 4}
    assert not gpu.place.notes
    gpu.batches.clear()
    gpu.run([Task(number) for number in range(4)])
    assert [numbers for _, numbers in gpu.batches] == [(0, 1), (2, 3)]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_without_room_for_one_the_cpu_goes_on_and_says_so(error: type[RuntimeError]) -> None:
    gpu = Gpu(room=0, error=error)
    assert gpu.run([Task(number) for number in range(20)]) == [*range(20)]
    assert {device for device, _ in gpu.batches} == {"cpu"}
    assert gpu.place.model.devices == [torch.device("cpu")]  # type: ignore[attr-defined]
    (note,) = gpu.place.notes
    assert "cuda" in note
    assert "CPU" in note
    assert gpu.run([Task(1)]) == [1]  # no second try
    assert len(gpu.place.notes) == 1


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    place = Placement(Model(), CUDA)  # type: ignore[arg-type]

    def compute(tasks: Sequence[Task]) -> list[int]:
        raise RuntimeError("expected 4 channels")

    with pytest.raises(RuntimeError, match="4 channels"):
        list(place.run(compute, [Task(1)]))
    assert not place.notes


def test_batches_give_what_single_segments_give() -> None:
    mixture = np.random.default_rng(1).standard_normal((2, 50_000)).astype(np.float32)
    one, many = toy(), toy()
    placement = many._engine.strategy.placement
    placement.batch = 4
    expected, found = one.separate(mixture, 44_100), many.separate(mixture, 44_100)
    for name in expected:
        assert np.array_equal(found[name], expected[name])
