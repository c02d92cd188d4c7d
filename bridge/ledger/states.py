"""States of a job and the transitions between them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from bridge import errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


class State(str, Enum):
    """State of a job."""

    PENDING = "pending"  # queued, or waiting for the next attempt
    RUNNING = "running"  # a service owns it and works on it
    DONE = "done"  # its stems are published, or its preset skips the bounce
    FAILED = "failed"  # has a reason; runs again only on request
    WITHDRAWN = "withdrawn"  # its bounce is gone or was replaced by a newer render


#: Legal transitions. DONE and FAILED return to PENDING only on request; RUNNING does by a shutdown,
#: a pause, a retryable failure, or when its service has died.
TRANSITIONS: dict[State, frozenset[State]] = {
    State.PENDING: frozenset({State.RUNNING, State.WITHDRAWN}),
    State.RUNNING: frozenset({State.DONE, State.FAILED, State.PENDING, State.WITHDRAWN}),
    State.DONE: frozenset({State.PENDING}),
    State.FAILED: frozenset({State.PENDING}),
    State.WITHDRAWN: frozenset(),
}

#: Attempts of a job that fails with retryable errors.
MAX_ATTEMPTS = 3

# Long enough for a file that is being replaced (5 s), then for a drive that comes back (30 s).
_BACK_OFF_S = (5.0, 30.0)

#: Finished jobs kept of one bounce that is rendered again and again.
REMEMBERED = 20

#: A next attempt further ahead than this was set before the clock was put back.
LONGEST_BACK_OFF_S = max(_BACK_OFF_S)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Preset, model and output folder of a job."""

    preset_name: str
    preset_hash: str
    model: str
    model_version: str
    out_dir: Path

    def same_result(self, other: Recipe) -> bool:
        """Whether both make the same files; the preset's content counts, not its name."""
        return (self.preset_hash, self.model, self.model_version, self.out_dir) == (
            other.preset_hash,
            other.model,
            other.model_version,
            other.out_dir,
        )


@dataclass(frozen=True, slots=True)
class Job:
    """One render of a bounce and its state. Times are wall clock seconds, except `mtime_ns`.

    Attributes:
        id: number of the job.
        folder: the watched folder.
        source_path: the bounce, relative to `folder`, or absolute for a submitted file elsewhere.
        size: size in bytes.
        mtime_ns: modification time in ns.
        recipe: preset, model and output folder.
        state: state.
        attempts: attempts so far, the running one included.
        next_attempt_s: earliest time of the next attempt.
        settled_s: when the bounce was seen to be finished.
        created_s: when the job was created.
        sha256: hash of the content in hex, once it is known.
        output_path: folder of the stem set, relative to `recipe.out_dir`.
        code: error code of the last failure, pause, withdrawal or skip.
        reason: text of the same.
        manifest_path: manifest of the published set.
        started_s: start of the last attempt.
        finished_s: end of the job.
        owner: token of the service that runs it or ran it last; None while pending.
        lease_until_s: end of the owner's lease.
        asked: preset requested by name; None if folder or service decide.
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
        """Path of the bounce."""
        return self.folder / self.source_path

    @property
    def has_no_stems(self) -> bool:
        """Whether it is done without stems, for the reason in `code` and `reason`."""
        return self.state is State.DONE and self.manifest_path is None

    def is_for(self, size: int, mtime_ns: int, recipe: Recipe) -> bool:
        """Whether this job covers the file in this state, so that it needs no other job.

        A preset requested by name stays in force until the bounce is rendered again.
        """
        same_file = (self.size, self.mtime_ns) == (size, mtime_ns)
        return same_file and (self.asked is not None or self.recipe.same_result(recipe))

    def covers_request(self, size: int, mtime_ns: int, recipe: Recipe, asked: str | None) -> bool:
        """Whether this job covers a request for the file, with this recipe and preset name."""
        same_file = (self.size, self.mtime_ns) == (size, mtime_ns)
        return same_file and self.asked == asked and self.recipe.same_result(recipe)


def check_transition(old: State, new: State) -> State:
    """Return `new` if the transition from `old` is legal. Raises errors.LedgerError if not."""
    if new not in TRANSITIONS[old]:
        raise errors.LedgerError(
            f"a job cannot go from {old.value} to {new.value}; this is a defect, please report it"
        )
    return new


def after_failure(attempts: int, *, retryable: bool) -> tuple[State, float]:
    """State after a failed attempt, and the seconds until the next one (0 for FAILED).

    attempts: attempts so far, the failed one included (1 or more).
    """
    if not retryable or attempts >= MAX_ATTEMPTS:
        return State.FAILED, 0.0
    return State.PENDING, _BACK_OFF_S[min(attempts, len(_BACK_OFF_S)) - 1]


def prunable(jobs: Sequence[Job]) -> list[int]:
    """Numbers of the old jobs of one bounce, given newest first, that can be deleted.

    Kept are the `REMEMBERED` newest and, for each output directory, the newest that was not
    withdrawn, the last that was done, and one for each folder of stems.
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
    """Number of the first job of each key."""
    found: dict[tuple[object, ...], int] = {}
    for key, job in keyed:
        found.setdefault(key, job.id)
    return list(found.values())
