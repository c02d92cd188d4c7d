"""Submission of single files as jobs, from outside the watched folder as well."""

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
    """Submit a file as a job of the service, and return the job as it is in the ledger.

    A file whose stems exist is not converted again: its job is DONE.

    Args:
        ledger: ledger of the service.
        resolver: finds the preset of the file.
        folder: the watched folder.
        path: the file, absolute or relative to `folder`.
        preset: name of an installed preset; None to let `resolver` choose.

    Raises:
        NotAudio: the path is not a regular file.
        PresetError: the preset is invalid.
        LedgerError: the ledger is unavailable; no job was recorded.
    """
    named = Path(os.path.abspath(folder / path))  # noqa: PTH100 links must stay
    status = _regular(named)
    place = _inside(folder, named)
    resolver.converter_for(place, preset)  # an invalid preset raises now
    recipe = resolver.recipe_for(place, preset)
    job = ledger.submit(
        folder, place, status.st_size, status.st_mtime_ns, recipe=recipe, asked=preset
    )
    return ledger.restart(job) if _needs_restart(job) else job


def _needs_restart(job: Job) -> bool:
    """Whether a finished job has to run again: it failed, or its stems are gone."""
    if job.state is State.DONE:
        return job.manifest_path is None or not job.manifest_path.exists()
    return job.state is State.FAILED


def _inside(folder: Path, path: Path) -> Path:
    """The path as the intake spells it, if links lead from it into the watched folder."""
    if folder in path.parents:
        return path
    real, home = path.parent.resolve() / path.name, folder.resolve()
    return folder / real.relative_to(home) if home in real.parents else path


def _regular(path: Path) -> os.stat_result:
    try:
        status = path.lstat()
    except (OSError, ValueError) as error:  # ValueError: an impossible file name
        reason = getattr(error, "strerror", None) or str(error)
        raise NotAudio(f"{path}: {reason}; name an existing file") from None
    if not stat.S_ISREG(status.st_mode):
        raise NotAudio(f"{path} is not a regular file; name the audio file itself")
    return status
