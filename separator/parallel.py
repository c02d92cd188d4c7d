"""Independent networks side by side on the cores of a CPU.

One network at a time on all cores makes them wait for each other after every layer, hundreds of
times a segment, and the slowest core, or one that the DAW needs, holds up all. A network for each
core needs no waiting inside.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


def each(networks: Sequence[Callable[[Tensor], Tensor]], x: Tensor) -> list[Tensor]:
    """What every network makes of `x`, in their order; the same numbers each time."""
    cores = torch.get_num_threads()
    if x.device.type != "cpu" or cores == 1 or len(networks) == 1:
        return [network(x) for network in networks]
    inference = torch.is_inference_mode_enabled()

    def run(network: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.inference_mode(inference):
            return network(x)

    return list(_pool(min(cores, len(networks)), cores).map(run, networks))


@cache
def _pool(workers: int, cores: int) -> ThreadPoolExecutor:
    """Threads that share the cores evenly; kept, as starting their helpers takes time."""
    share = max(1, cores // workers)
    pool = ThreadPoolExecutor(
        workers, thread_name_prefix="network", initializer=torch.set_num_threads, initargs=(share,)
    )
    # The number is each thread's own, but also what later threads of the program begin with: so
    # all of them start now, and then it is put back.
    together = threading.Barrier(workers)
    list(pool.map(lambda _: together.wait(), range(workers)))
    torch.set_num_threads(cores)
    return pool
