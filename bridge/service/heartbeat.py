"""What a service does every few seconds beside its work: says that it lives, looks who does not."""

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
    """The beat of one service; `run` is its thread's body.

    state: the recipe in force and what the service waits for. reload: called when the service was
    asked to read its settings again. taken: hears of a job whose service has died.
    """

    def __init__(
        self,
        ledger: Ledger,
        service: Service,
        *,
        state: Callable[[], tuple[Recipe, str | None]],
        reload: Callable[[], None],
        taken: Callable[[Job], None],
        vigil: LeaseMonitor | None = None,
    ) -> None:
        self._ledger, self._service = ledger, service
        self._state, self._reload, self._taken = state, reload, taken
        self._vigil = vigil or LeaseMonitor()
        self._asked = service.settings_asked

    def run(self, over: threading.Event) -> None:
        """Beats until `over` is set."""
        while not over.wait(HEARTBEAT_S):
            self.beat()

    def beat(self) -> None:
        """One beat. A ledger that cannot be used is left to the work, which waits for it."""
        try:
            asked = self._ledger.services.beat(self._service, *self._state())
            taken = reclaim(self._ledger, self._service.folder, self._vigil)
        except LedgerError:
            return
        if asked > self._asked:
            self._reload()
        self._asked = asked
        for job in taken:
            self._taken(job)
