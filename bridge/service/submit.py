"""A job that somebody asks for, instead of one that a bounce in the folder brings about."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.errors import NotAudio
from bridge.ledger.states import State

if TYPE_CHECKING:
    from bridge.ledger.states import Job
    from bridge.ledger.store import Ledger
    from bridge.service.preset_resolver import PresetResolver


def submit_job(
    ledger: Ledger, resolver: PresetResolver, folder: Path, path: Path, preset: str | None
) -> Job:
    """The job for a file, wherever it lies; it is in the ledger when this returns.

    What was done already, with stems that are still there, is not done again: the job is DONE then.

    Args:
        ledger: of the service.
        beside: knows the presets of the folder.
        folder: the watched one.
        path: the file; a relative one lies in `folder`.
        preset: the name of an installed one; None where the folder or the service decides.

    Raises:
        NotAudio: there is no regular file. PresetError: the preset is wrong.
        LedgerError: the ledger cannot be used; nothing is noted then.
    """
    named = Path(os.path.abspath(folder / path))  # noqa: PTH100 links must stay
    status = _regular(named)
    place = _inside(folder, named)
    resolver.converter_for(place, preset)  # who asks is told at once what is wrong with the preset
    recipe = resolver.recipe_for(place, preset)
    job = ledger.submit(
        folder, place, status.st_size, status.st_mtime_ns, recipe=recipe, asked=preset
    )
    return ledger.restart(job) if _wants_work(job) else job


def _wants_work(job: Job) -> bool:
    """Whether a job that ended has to be done anew for somebody who asks."""
    if job.state is State.DONE:
        return job.manifest_path is None or not job.manifest_path.exists()
    return job.state is State.FAILED


def _inside(folder: Path, path: Path) -> Path:
    """The path as the intake spells it, where it leads into the watched folder by another way."""
    if folder in path.parents:
        return path
    real, home = path.parent.resolve() / path.name, folder.resolve()
    return folder / real.relative_to(home) if home in real.parents else path


def _regular(path: Path) -> os.stat_result:
    try:
        status = path.lstat()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or str(error)
        raise NotAudio(f"{path}: {reason}; name a file that is there") from None
    if not stat.S_ISREG(status.st_mode):
        raise NotAudio(f"{path} is not a regular file; name the audio file itself")
    return status
