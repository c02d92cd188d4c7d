"""Recovery of jobs that a dead service has left running."""

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
    """Result of `recover`.

    Attributes:
        requeued: number of jobs that a dead service had left running.
        withdrawn: number of jobs whose bounce is gone.
        folder_missing: whether the watched folder does not exist.
    """

    requeued: int
    withdrawn: int
    folder_missing: bool


def recover(
    ledger: Ledger, folder: Path, *, exists: Callable[[Path], bool] = os.path.lexists
) -> RecoveryReport:
    """Requeue the running jobs of dead services and withdraw pending jobs without a bounce.

    Nothing is withdrawn while the whole folder is missing: an unplugged drive is not a deleted
    bounce.

    Args:
        ledger: ledger with the jobs.
        folder: the watched folder.
        exists: whether a path exists; for tests.

    Returns:
        the numbers of jobs changed.
    """
    requeued, withdrawn = 0, 0
    for job in reclaim(ledger, folder):
        requeued += job.state is State.PENDING
        withdrawn += job.state is State.WITHDRAWN
    if not exists(folder):
        return RecoveryReport(requeued, withdrawn, folder_missing=True)
    for job in ledger.jobs(folder, states=(State.PENDING,)):
        if not exists(job.path):
            with contextlib.suppress(LeaseLost):  # another service has claimed it
                ledger.withdraw(job, f"{job.path} is no longer there; render it again")
                withdrawn += 1
    return RecoveryReport(requeued, withdrawn, folder_missing=False)


def reclaim(ledger: Ledger, folder: Path, monitor: LeaseMonitor | None = None) -> list[Job]:
    """Requeue the running jobs of a folder whose service is dead; the cut attempt does not count.

    A service is dead when it is not registered, when its process on this computer has ended, or
    when its lease has expired.

    Args:
        ledger: ledger with the jobs.
        folder: the watched folder.
        monitor: detects expired leases; None to check registration and process only.

    Returns:
        the jobs after the change, oldest first.
    """
    running = ledger.jobs(folder, states=(State.RUNNING,))
    expired = set()
    if monitor is not None:
        expired = monitor.expired({(job.id, job.owner): job.lease_until_s for job in running})
    reclaimed = []
    for job in reversed(running):
        service = ledger.services.get(job.owner)
        if service is None or service.process.is_gone or (job.id, job.owner) in expired:
            with contextlib.suppress(LeaseLost):  # another service has reclaimed it
                reclaimed.append(ledger.requeue(job))
    return reclaimed
