"""Parallel computation of segments on the cores of a CPU.

With one segment on all cores, the cores synchronise after every layer, hundreds of times per
segment, and the slowest one, or one used by the DAW, delays all. One segment per core needs no
synchronisation.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    Item = TypeVar("Item")
    Result = TypeVar("Result")

_counts = threading.Lock()


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    side_by_side: int,
    workers: int | None = None,
) -> Iterator[Result]:
    """Like `map`, computed by a thread pool.

    Args:
        function: called with each item.
        items: read lazily, at most `workers` + 1 ahead of the results.
        side_by_side: number of items that share torch's threads evenly; a last item without
            neighbours gets all threads. Rounding depends on the number of threads, so results
            depend on this value, but not on `workers`.
        workers: items computed at the same time; None for `side_by_side`.

    Yields:
        function(item) in the order of the items.
    """
    cores = torch.get_num_threads()
    side_by_side = min(side_by_side, cores)
    if side_by_side <= 1:
        yield from map(function, items)
        return
    workers = min(workers or side_by_side, cores)
    pool = _pool(workers, cores // side_by_side, cores)
    pending: deque[Future[Result]] = deque()
    try:
        for place, (item, last) in enumerate(_with_end(items)):
            if last and place % side_by_side == 0:
                yield from _results(pending)
                pending.append(pool.submit(_on_all, function, item, cores))
                break
            pending.append(pool.submit(function, item))
            if len(pending) > workers:
                yield pending.popleft().result()
        yield from _results(pending)
    finally:
        for future in pending:  # the consumer stopped early, or an item failed
            future.cancel()


@contextmanager
def single_threaded() -> Iterator[None]:
    """Restrict torch to the calling thread.

    OpenMP's helper threads persist; with more of them than cores, libgomp lets all threads sleep
    between operations, also those of `ordered_map`, which takes a fifth longer.
    """
    before = set_threads(1)
    try:
        yield
    finally:
        set_threads(before)


def _on_all(function: Callable[[Item], Result], item: Item, cores: int) -> Result:
    """function(item) on all cores, in a thread of the pool: torch keeps memory for every thread
    that it has run in, so another thread would need more."""
    share = set_threads(cores)
    try:
        return function(item)
    finally:
        set_threads(share)


def _begin(share: int) -> None:
    """Initialise a thread of the pool.

    Denormal numbers (below 1e-38) are flushed to 0: a softmax of distant logits is full of them,
    and they are slow. This saves an eighth of HTDemucs' attention.
    """
    torch.set_flush_denormal(True)
    set_threads(share)


def set_threads(count: int) -> int:
    """Set torch's thread count for operations of the calling thread; returns the count before.

    `torch.set_num_threads` also sets the count that every later thread begins with, and a thread
    takes that one when it first asks. So the calling thread asks first, and short-lived threads
    read the count of later threads and put it back (0.2 ms). Two callers at once would put back
    each other's count, so there is one at a time.
    """
    with _counts:
        before = torch.get_num_threads()
        if before != count:
            of_later_threads = _in_new_thread(torch.get_num_threads)
            torch.set_num_threads(count)
            if of_later_threads != count:
                _in_new_thread(lambda: torch.set_num_threads(of_later_threads))
    return before


def _in_new_thread(call: Callable[[], Result]) -> Result:
    """The result of `call` in a new thread, which still has torch's default count."""
    made: list[Result] = []
    thread = threading.Thread(target=lambda: made.append(call()), name="torch threads")
    thread.start()
    thread.join()
    return made[0]


def _results(pending: deque[Future[Result]]) -> Iterator[Result]:
    while pending:
        yield pending.popleft().result()


def _with_end(items: Iterable[Item]) -> Iterator[tuple[Item, bool]]:
    """Every item, and whether it is the last one."""
    held: deque[Item] = deque()
    for item in items:
        if held:
            yield held.popleft(), False
        held.append(item)
    if held:
        yield held.popleft(), True


@cache
def _pool(workers: int, share: int, cores: int) -> ThreadPoolExecutor:
    """Thread pool with a share of the cores per thread; cached, as its start takes time."""
    pool = ThreadPoolExecutor(
        workers, thread_name_prefix="segment", initializer=_begin, initargs=(share,)
    )
    # Start all threads now, before their first operation.
    together = threading.Barrier(workers)
    list(pool.map(lambda _: together.wait(), range(workers)))
    return pool
