"""Segments side by side: in order, no more at once than asked, and every core has work."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from separator.parallel import ordered

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST_NORMAL = 2.0**-126


@pytest.fixture(autouse=True)
def _four_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def threads_of_each(items: int, side_by_side: int, workers: int | None = None) -> list[int]:
    return list(ordered(lambda _: torch.get_num_threads(), range(items), side_by_side, workers))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 12), st.integers(1, 5), st.none() | st.integers(1, 5))
def test_results_come_in_the_order_of_the_items(
    items: int, side_by_side: int, workers: int | None
) -> None:
    made = ordered(lambda n: n * n, range(items), side_by_side, workers)
    assert list(made) == [n * n for n in range(items)]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 12), st.integers(1, 5), st.integers(1, 5))
def test_with_how_many_threads_an_item_is_computed_is_not_a_matter_of_the_workers(
    items: int, side_by_side: int, workers: int
) -> None:
    assert threads_of_each(items, side_by_side, workers) == threads_of_each(items, side_by_side)


def test_no_more_run_at_once_than_there_are_workers() -> None:
    lock, running, most = threading.Lock(), 0, 0

    def work(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.002)
        with lock:
            running -= 1

    list(ordered(work, range(30), 2))
    assert most == 2


def test_workers_share_the_cores_and_a_last_one_alone_gets_all() -> None:
    assert threads_of_each(4, 2) == [2, 2, 2, 2]
    assert threads_of_each(5, 2) == [2, 2, 2, 2, 4]
    assert threads_of_each(1, 2) == [4]
    assert threads_of_each(6, 2) == [2] * 6  # afterwards all have their share again
    assert threads_of_each(4, 4) == [1] * 4
    assert threads_of_each(3, 1) == [4] * 3
    assert torch.get_num_threads() == 4


def test_subnormal_numbers_are_zero_there_and_what_they_are_elsewhere() -> None:
    def halved(_: int) -> float:
        return float(torch.full((1,), LEAST_NORMAL).mul(0.5))

    if not torch.set_flush_denormal(False):
        pytest.skip("this processor cannot leave them out")
    assert list(ordered(halved, range(5), 2)) == [0.0] * 5
    assert halved(0) == LEAST_NORMAL / 2


def test_few_items_are_taken_ahead() -> None:
    items = itertools.count()
    results = ordered(lambda n: n, items, 2)
    assert [next(results) for _ in range(10)] == list(range(10))
    assert next(items) <= 10 + 2 + 2  # in work, waiting, and one to see whether there is another
    results.close()


@pytest.mark.parametrize("broken", [0, 3, 4])
def test_an_error_comes_where_its_result_would(broken: int) -> None:
    def work(n: int) -> int:
        if n == broken:
            raise RuntimeError("segment")
        return n

    results = ordered(work, range(5), 2)
    assert [next(results) for _ in range(broken)] == list(range(broken))
    with pytest.raises(RuntimeError, match="segment"):
        next(results)
    assert threads_of_each(2, 2) == [2, 2]
