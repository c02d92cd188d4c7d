"""Timing and progress of the stages of a job."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class Stopwatch:
    """Seconds per stage; reports progress to `listener(stage, share)`, share from 0 to 1."""

    listener: Callable[[str, float], None]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[float], None]]:
        """Time a stage; yields the function that reports the share done."""
        self.listener(name, 0.0)
        started = time.perf_counter()
        yield lambda share: self.listener(name, min(share, 1.0))
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
