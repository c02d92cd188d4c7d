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

from separator.parallel import ordered_map, set_threads, single_threaded
from tests.hypothesis_profiles import examples

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
    return list(ordered_map(lambda _: torch.get_num_threads(), range(items), side_by_side, workers))


@settings(max_examples=examples(40))
@given(st.integers(0, 12), st.integers(1, 5), st.none() | st.integers(1, 5))
def test_results_come_in_the_order_of_the_items(
    items: int, side_by_side: int, workers: int | None
) -> None:
    made = ordered_map(lambda n: n * n, range(items), side_by_side, workers)
    assert list(made) == [n * n for n in range(items)]


@settings(max_examples=examples(40))
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

    list(ordered_map(work, range(30), 2))
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
    assert list(ordered_map(halved, range(5), 2)) == [0.0] * 5
    assert halved(0) == LEAST_NORMAL / 2


def test_few_items_are_taken_ahead() -> None:
    items = itertools.count()
    results = ordered_map(lambda n: n, items, 2)
    assert [next(results) for _ in range(10)] == list(range(10))
    assert next(items) <= 10 + 2 + 2  # in work, waiting, and one to see whether there is another
    results.close()


@pytest.mark.parametrize("broken", [0, 3, 4])
def test_an_error_comes_where_its_result_would(broken: int) -> None:
    def work(n: int) -> int:
        if n == broken:
            raise RuntimeError("segment")
        return n

    results = ordered_map(work, range(5), 2)
    assert [next(results) for _ in range(broken)] == list(range(broken))
    with pytest.raises(RuntimeError, match="segment"):
        next(results)
    assert threads_of_each(2, 2) == [2, 2]


def of_a_new_thread() -> int:
    """The thread count that torch gives a thread which asks for the first time."""
    made: list[int] = []
    thread = threading.Thread(target=lambda: made.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return made[0]


def test_one_thread_is_of_the_calling_thread_and_for_a_while() -> None:
    with single_threaded():
        assert (torch.get_num_threads(), of_a_new_thread()) == (1, 4)
        with single_threaded():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert (torch.get_num_threads(), of_a_new_thread()) == (4, 4)


def test_overlapping_uses_leave_every_count_as_it_was() -> None:
    """The second enters while the first is inside, and leaves after it."""
    first_in, second_in, first_out = (threading.Event() for _ in range(3))
    after: dict[str, int] = {}

    def first() -> None:
        with single_threaded():
            first_in.set()
            assert second_in.wait(10)
        after["first"] = torch.get_num_threads()
        first_out.set()

    def second() -> None:
        assert first_in.wait(10)
        with single_threaded():
            second_in.set()
            assert first_out.wait(10)
        after["second"] = torch.get_num_threads()

    threads = [threading.Thread(target=body) for body in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert after == {"first": 4, "second": 4}
    assert (torch.get_num_threads(), of_a_new_thread()) == (4, 4)


def test_many_threads_side_by_side_leave_every_count_as_it_was() -> None:
    inside: list[int] = []

    def work() -> None:
        for _ in range(20):
            with single_threaded():
                inside.append(torch.get_num_threads())
            inside.append(torch.get_num_threads() - 3)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == [1] * 240
    assert of_a_new_thread() == 4


def test_a_thread_s_own_count_stays_its_own() -> None:
    assert set_threads(3) == 4
    try:
        assert (torch.get_num_threads(), of_a_new_thread()) == (3, 4)
        with single_threaded():
            assert of_a_new_thread() == 4
        assert torch.get_num_threads() == 3
    finally:
        assert set_threads(4) == 3


@pytest.mark.parametrize(("items", "side_by_side"), [(5, 2), (4, 4), (6, 3)])
def test_segments_side_by_side_leave_the_count_of_later_threads(
    items: int, side_by_side: int
) -> None:
    threads_of_each(items, side_by_side)
    assert of_a_new_thread() == 4
