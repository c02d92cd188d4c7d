"""Memory that the worker's malloc keeps between jobs, and releases when idle."""

from __future__ import annotations

import os
import platform
import queue
import subprocess
import sys
import threading

import pytest

from bridge.worker import serve
from bridge.worker.child import environment
from bridge.worker.protocol import Loaded, Message

ORDER = Loaded([], 0.0)  # any message


@pytest.fixture
def given_back(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    done = threading.Event()
    monkeypatch.setattr(serve, "IDLE_S", 0.01)
    monkeypatch.setattr(serve, "release_memory", done.set)
    return done


def test_an_order_that_waits_is_taken_at_once(given_back: threading.Event) -> None:
    orders: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
    orders.put(ORDER)
    assert serve.next_request(orders) is ORDER
    assert not given_back.is_set()


def test_memory_goes_back_while_no_order_comes(given_back: threading.Event) -> None:
    orders: queue.SimpleQueue[Message | None] = queue.SimpleQueue()

    def order() -> None:
        assert given_back.wait(10)
        orders.put(ORDER)

    later = threading.Thread(target=order)
    later.start()
    assert serve.next_request(orders) is ORDER
    later.join()


# Arrays of a megabyte, half a gigabyte of them: held, let go, given back. Prints the size of the
# process in between.
PROGRAM = """
import sys; sys.path[:] = {path!a}
import numpy as np, psutil
from bridge.worker.serve import release_memory
def size(): return psutil.Process().memory_info().rss >> 20
sizes = [size()]
arrays = [np.ones(1 << 17) for _ in range(400)]
sizes.append(size())
del arrays
sizes.append(size())
release_memory()
sizes.append(size())
print(*sizes)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc of glibc")
def test_free_memory_is_kept_and_then_really_goes() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(path=sys.path)],
        env=environment(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    before, held, kept, after = map(int, run.stdout.split())
    assert held - before >= 390
    assert kept - before >= 350
    assert after - before <= 50
