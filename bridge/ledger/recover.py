"""What a service does with the ledger before it begins: nobody works on this folder now."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.ledger.states import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bridge.ledger.store import Ledger


@dataclass(frozen=True, slots=True)
class Report:
    """requeued: jobs that a service had left running. withdrawn: jobs whose bounce is gone."""

    requeued: int
    withdrawn: int
    folder_missing: bool


def recover(
    ledger: Ledger, folder: Path, *, exists: Callable[[Path], bool] = os.path.lexists
) -> Report:
    """Puts the jobs of a watched folder right; the caller must own the folder (one service each).

    Running jobs are pending again, their service died. Pending jobs without a bounce are withdrawn,
    except when the whole folder is missing: an unplugged drive is not a deleted bounce.
    """
    requeued = withdrawn = 0
    for job in ledger.jobs(folder, states=(State.RUNNING,)):
        if ledger.requeue(job).state is State.PENDING:
            requeued += 1
        else:
            withdrawn += 1
    if not exists(folder):
        return Report(requeued, withdrawn, folder_missing=True)
    for job in ledger.jobs(folder, states=(State.PENDING,)):
        if not exists(job.path):
            ledger.withdraw(job, f"{job.path} is no longer there; render it again")
            withdrawn += 1
    return Report(requeued, withdrawn, folder_missing=False)
