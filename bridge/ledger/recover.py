"""What puts the ledger right: when a service starts, and when another one has died."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.errors import LeaseLost
from bridge.ledger.states import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bridge.ledger.leases import LeaseMonitor
    from bridge.ledger.states import Job
    from bridge.ledger.store import Ledger


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """requeued: jobs that a service had left running. withdrawn: jobs whose bounce is gone."""

    requeued: int
    withdrawn: int
    folder_missing: bool


def recover(
    ledger: Ledger, folder: Path, *, exists: Callable[[Path], bool] = os.path.lexists
) -> RecoveryReport:
    """Puts the jobs of a watched folder right when a service starts.

    Running jobs of services that are no more are pending again. Pending jobs without a bounce are
    withdrawn, except when the whole folder is missing: an unplugged drive is not a deleted bounce.
    """
    requeued, withdrawn = 0, 0
    for job in reclaim(ledger, folder):
        requeued += job.state is State.PENDING
        withdrawn += job.state is State.WITHDRAWN
    if not exists(folder):
        return RecoveryReport(requeued, withdrawn, folder_missing=True)
    for job in ledger.jobs(folder, states=(State.PENDING,)):
        if not exists(job.path):
            with contextlib.suppress(LeaseLost):  # another service was faster, and will see it
                ledger.withdraw(job, f"{job.path} is no longer there; render it again")
                withdrawn += 1
    return RecoveryReport(requeued, withdrawn, folder_missing=False)


def reclaim(ledger: Ledger, folder: Path, vigil: LeaseMonitor | None = None) -> list[Job]:
    """Running jobs of the folder whose service is no more wait again; returns those.

    A service is no more when it ended, when its process of this computer is gone, or when `vigil`
    has found it silent. The attempt that its end cut short does not count.
    """
    running = ledger.jobs(folder, states=(State.RUNNING,))
    silent = set()
    if vigil is not None:
        silent = vigil.expired({(job.id, job.owner): job.lease_until_s for job in running})
    taken = []
    for job in reversed(running):
        service = ledger.services.get(job.owner)
        if service is None or service.process.is_gone or (job.id, job.owner) in silent:
            with contextlib.suppress(LeaseLost):  # another service was faster
                taken.append(ledger.requeue(job))
    return taken
