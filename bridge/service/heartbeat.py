"""Heartbeat of a service: renews its leases and reclaims the jobs of dead services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.errors import LedgerError
from bridge.ledger.leases import HEARTBEAT_S, LeaseMonitor
from bridge.ledger.recover import reclaim

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from bridge.ledger.services import Service
    from bridge.ledger.states import Job, Recipe
    from bridge.ledger.store import Ledger


class Heartbeat:
    """Heartbeat of one service; `run` is the body of its thread.

    Args:
        ledger: ledger of the service.
        service: the service's entry in the ledger.
        state: returns the recipe in force and what the service waits for (None: nothing).
        reload: called when another process has asked the service to reload its settings.
        reclaimed: called with each job of a dead service that is pending again.
        monitor: detects expired leases.
    """

    def __init__(
        self,
        ledger: Ledger,
        service: Service,
        *,
        state: Callable[[], tuple[Recipe, str | None]],
        reload: Callable[[], None],
        reclaimed: Callable[[Job], None],
        monitor: LeaseMonitor | None = None,
    ) -> None:
        self._ledger, self._service = ledger, service
        self._state, self._reload, self._reclaimed = state, reload, reclaimed
        self._monitor = monitor or LeaseMonitor()
        self._reload_requests = service.settings_asked

    def run(self, over: threading.Event) -> None:
        """Beat every `HEARTBEAT_S` until `over` is set."""
        while not over.wait(HEARTBEAT_S):
            self.beat()

    def beat(self) -> None:
        """Beat once; ledger errors are ignored, because the job loop meets and reports them."""
        try:
            requests = self._ledger.services.beat(self._service, *self._state())
            reclaimed = reclaim(self._ledger, self._service.folder, self._monitor)
        except LedgerError:
            return
        if requests > self._reload_requests:
            self._reload()
        self._reload_requests = requests
        for job in reclaimed:
            self._reclaimed(job)
