"""A worker process that many tests share: torch is imported once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.worker.client import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.worker.child import Child


class LentWorker(Worker):
    """Stays when a converter is closed. A test that ends or loses its process gets a new one."""

    def stop(self) -> None:
        """Nothing: the session ends it."""

    def lend(
        self,
        fetching: Callable[[int, int | None, str], None] | None = None,
        announce: Callable[[str], None] | None = None,
        child: Child | None = None,
    ) -> LentWorker:
        """This worker, as if it had just been made with these ears."""
        assert child is None, "only a command of its own process starts one early"
        self._fetching, self._announce = fetching, announce
        return self
