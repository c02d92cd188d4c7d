"""The states of a job and the moves between them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from bridge import errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


class State(str, Enum):
    """Where a job stands."""

    PENDING = "pending"  # waits for its turn, or for the next attempt
    RUNNING = "running"  # a service owns it and works on it
    DONE = "done"  # its stems are published, or its preset wants none of it
    FAILED = "failed"  # has a reason, and is left alone until someone asks for a retry
    WITHDRAWN = "withdrawn"  # its bounce is gone or was replaced by a newer render


#: What may follow what. DONE and FAILED go back to PENDING only when the user asks for it, RUNNING
#: by a shutdown, a pause, a failure that may pass, or when its service has died.
TRANSITIONS: dict[State, frozenset[State]] = {
    State.PENDING: frozenset({State.RUNNING, State.WITHDRAWN}),
    State.RUNNING: frozenset({State.DONE, State.FAILED, State.PENDING, State.WITHDRAWN}),
    State.DONE: frozenset({State.PENDING}),
    State.FAILED: frozenset({State.PENDING}),
    State.WITHDRAWN: frozenset(),
}

#: A failure that may pass is tried this often in all.
MAX_ATTEMPTS = 3

# Long enough for a file that is being replaced (5 s), then for a drive that comes back (30 s).
_BACK_OFF_S = (5.0, 30.0)

#: Of a bounce that is rendered again all day, this many finished jobs are remembered.
REMEMBERED = 20

#: A next attempt further ahead than this was set by a clock that has been put back since.
LONGEST_BACK_OFF_S = max(_BACK_OFF_S)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is to be done with a bounce and where the result goes."""

    preset_name: str
    preset_hash: str
    model: str
    model_version: str
    out_dir: Path

    def same_result(self, other: Recipe) -> bool:
        """Whether both lead to the same files: the preset's content counts, not its name."""
        return (self.preset_hash, self.model, self.model_version, self.out_dir) == (
            other.preset_hash,
            other.model,
            other.model_version,
            other.out_dir,
        )


@dataclass(frozen=True, slots=True)
class Job:
    """One bounce and what became of it.

    source_path is relative to the watched `folder`, or absolute for a file from elsewhere that
    somebody asked for; output_path is relative to `recipe.out_dir`. asked: the preset that was
    asked for by name, None where the folder or the service decides. size in bytes,
    mtime_ns as the file system gives it, all other times are wall clock seconds. code and reason
    are those of the last failure, pause, withdrawal or skip. owner is the service that works on it
    or did so last; None while it waits.
    """

    id: int
    folder: Path
    source_path: Path
    size: int
    mtime_ns: int
    recipe: Recipe
    state: State
    attempts: int
    next_attempt_s: float
    settled_s: float
    created_s: float
    sha256: str | None = None
    output_path: Path | None = None
    code: str | None = None
    reason: str | None = None
    manifest_path: Path | None = None
    started_s: float | None = None
    finished_s: float | None = None
    owner: str | None = None
    lease_until_s: float | None = None
    asked: str | None = None

    @property
    def path(self) -> Path:
        """The bounce."""
        return self.folder / self.source_path

    @property
    def has_no_stems(self) -> bool:
        """Whether it was done without making stems; `code` and `reason` say why."""
        return self.state is State.DONE and self.manifest_path is None

    def is_for(self, size: int, mtime_ns: int, recipe: Recipe) -> bool:
        """Whether this job is about a bounce in that state and leads to the same files.

        A preset that was asked for stays that of the bounce until it is rendered again.
        """
        same_file = (self.size, self.mtime_ns) == (size, mtime_ns)
        return same_file and (self.asked is not None or self.recipe.same_result(recipe))

    def answers(self, size: int, mtime_ns: int, recipe: Recipe, asked: str | None) -> bool:
        """Whether this job is what somebody asks for now."""
        same_file = (self.size, self.mtime_ns) == (size, mtime_ns)
        return same_file and self.asked == asked and self.recipe.same_result(recipe)


def check_transition(old: State, new: State) -> State:
    """`new`, if a job may go there from `old`. Raises errors.LedgerError if not."""
    if new not in TRANSITIONS[old]:
        raise errors.LedgerError(
            f"a job cannot go from {old.value} to {new.value}; this is a defect, please report it"
        )
    return new


def after_failure(attempts: int, *, retryable: bool) -> tuple[State, float]:
    """The state after a failed attempt, and for PENDING the seconds until the next one.

    attempts: made so far, the failed one included (1 or more).
    """
    if not retryable or attempts >= MAX_ATTEMPTS:
        return State.FAILED, 0.0
    return State.PENDING, _BACK_OFF_S[min(attempts, len(_BACK_OFF_S)) - 1]


def prunable(jobs: Sequence[Job]) -> list[int]:
    """The numbers of old jobs of one bounce, given newest first, that nobody needs any more.

    Kept besides the REMEMBERED newest: for each output directory the job that counts (the newest
    that was not withdrawn), the one whose stems lie there, and one for each folder of stems.
    """
    ended = (State.DONE, State.FAILED, State.WITHDRAWN)
    finished = [job for job in jobs if job.state in ended]
    done = (job for job in jobs if job.state is State.DONE)
    needed = {
        *_first(((job.recipe.out_dir,), job) for job in jobs if job.state is not State.WITHDRAWN),
        *_first(
            ((job.recipe.out_dir,), job)
            for job in sorted(done, key=lambda job: (job.finished_s or 0.0, job.id), reverse=True)
        ),
        *_first(((job.recipe.out_dir, job.output_path), job) for job in jobs if job.output_path),
    }
    return [job.id for job in finished[REMEMBERED:] if job.id not in needed]


def _first(keyed: Iterable[tuple[tuple[object, ...], Job]]) -> list[int]:
    """The number of the first job of each key."""
    found: dict[tuple[object, ...], int] = {}
    for key, job in keyed:
        found.setdefault(key, job.id)
    return list(found.values())
