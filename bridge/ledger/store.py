"""The ledger: jobs for bounces, and their outcomes."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bridge import errors
from bridge.ledger import rows, states
from bridge.ledger.database import BUSY_TIMEOUT_S, Database
from bridge.ledger.leases import LEASE_S
from bridge.ledger.services import Services
from bridge.ledger.states import Job, Recipe, State

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import PurePath

SUPERSEDED = "superseded"
_SUPERSEDED_REASON = "the bounce was rendered again; the newer render has a job of its own"
#: Columns of a job that starts again with all its attempts.
_FRESH: Mapping[str, object] = {
    "attempts": 0,
    "next_attempt_s": 0.0,
    "finished_s": None,
    "code": None,
    "reason": None,
}


class Ledger:
    """Jobs in an SQLite file, usable from any thread and process.

    A watched `folder` must be spelled the same way each time; paths of bounces are absolute or
    relative to it.

    Args:
        path: the SQLite file, created if it does not exist.
        clock: wall clock in seconds.
        busy_timeout_s: seconds that a change waits for that of another process.

    Raises:
        LedgerBlocked: (every method) the file is temporarily unusable.
        LedgerError: (every method) the file is unusable, or a transition is illegal.
        LeaseLost: (changes of running jobs) another service owns the job.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        self._database = Database(path, busy_timeout_s)
        self._clock = clock
        self.services = Services(self._database, clock)

    def close(self) -> None:
        """Close the file; no other thread may be using the ledger."""
        self._database.close()

    def known(self, folder: Path, path: Path, size: int, mtime_ns: int, recipe: Recipe) -> bool:
        """Whether the newest job of a bounce covers this state of the file and this recipe.

        Only the newest one counts: if an older render is restored, the stems are not of that one.

        Args:
            folder: the watched folder.
            path: the bounce.
            size: its size in bytes.
            mtime_ns: its modification time in ns.
            recipe: the recipe in force for it.
        """
        with self._database.reading() as db:
            newest = rows.newest(db, folder, path, recipe.out_dir)
        return newest is not None and newest.is_for(size, mtime_ns, recipe)

    def offer(
        self,
        folder: Path,
        path: Path,
        size: int,
        mtime_ns: int,
        *,
        settled_s: float,
        recipe: Recipe,
    ) -> Job | None:
        """Create a pending job for a settled bounce; returns None when it is known.

        Pending jobs of the bounce are withdrawn, because their render is gone. Old ones are
        deleted, so that the ledger grows with the number of bounces, not of renders.

        Args:
            folder: the watched folder.
            path: the bounce.
            size: its size in bytes.
            mtime_ns: its modification time in ns.
            settled_s: wall clock time at which it settled.
            recipe: the recipe in force for it.
        """
        with self._database.writing() as db:
            newest = rows.newest(db, folder, path, recipe.out_dir)
            if newest is not None and newest.is_for(size, mtime_ns, recipe):
                return None
            facts = {"size": size, "mtime_ns": mtime_ns, "settled_s": settled_s}
            return self._create(db, folder, path, recipe, facts)

    def submit(
        self,
        folder: Path,
        path: Path,
        size: int,
        mtime_ns: int,
        *,
        recipe: Recipe,
        asked: str | None,
    ) -> Job:
        """Return the job for a submitted file: the newest if it covers the request, else a new one.

        Before a new one is created, pending jobs of the file are withdrawn.

        Args:
            folder: the watched folder of the service.
            path: the file, inside or outside `folder`.
            size: its size in bytes.
            mtime_ns: its modification time in ns.
            recipe: the recipe for it.
            asked: name of the requested preset, if any.
        """
        with self._database.writing() as db:
            newest = rows.newest(db, folder, path, recipe.out_dir)
            if newest is not None and newest.covers_request(size, mtime_ns, recipe, asked):
                return newest
            facts = {"size": size, "mtime_ns": mtime_ns, "settled_s": self._clock()}
            return self._create(db, folder, path, recipe, {**facts, "asked": asked})

    def restart(self, job: Job) -> Job:
        """Set a done or failed job to pending, with all its attempts; other jobs are unchanged."""
        with self._database.writing() as db:
            now = rows.get(db, job.id)
            if now.state not in {State.DONE, State.FAILED} or rows.is_superseded(db, now):
                return now
            return rows.update(db, now, State.PENDING, _FRESH)

    def claim_next(self, folder: Path, owner: str, recipe: Recipe | None = None) -> Job | None:
        """Claim the oldest pending job that is due, and set it to running; None without one.

        Exactly one caller gets a job. It owns the job until that is finished or requeued, or until
        the lease expires (see leases.py). A bounce with a running job is skipped, because both jobs
        would publish to the same folder.

        Args:
            folder: the watched folder.
            owner: token of the service.
            recipe: new recipe of the job, as settings may have changed since it was offered; None
                to set it later by `set_recipe`.
        """
        now_s = self._clock()
        with self._database.writing() as db:
            row = db.execute(
                "SELECT * FROM jobs AS job WHERE folder = ? AND state = ? "
                "AND NOT next_attempt_s BETWEEN ? AND ? "
                "AND NOT EXISTS (SELECT 1 FROM jobs AS other WHERE other.folder = job.folder "
                "AND other.source_path = job.source_path AND other.state = ?) ORDER BY id LIMIT 1",
                (
                    *(os.fsencode(folder), State.PENDING.value),
                    *(math.nextafter(now_s, math.inf), now_s + states.LONGEST_BACK_OFF_S),
                    State.RUNNING.value,
                ),
            ).fetchone()
            if row is None:
                return None
            job = rows.from_row(row)
            begun = rows.recipe_columns(recipe or job.recipe)
            begun |= {"attempts": job.attempts + 1, "started_s": now_s, "finished_s": None}
            begun |= {"owner": owner, "lease_until_s": now_s + LEASE_S}
            return rows.update(db, job, State.RUNNING, begun)

    def set_recipe(self, job: Job, recipe: Recipe) -> Job:
        """Replace the recipe of a running job."""
        if job.recipe == recipe:
            return job
        with self._database.writing() as db:
            return rows.set_recipe(db, rows.owned(db, job), recipe)

    def confirm(self, job: Job) -> None:
        """Renew the lease of a running job; to be called right before publishing.

        Raises errors.LeaseLost when another service owns the job.
        """
        with self._database.writing() as db:
            rows.owned(db, job)
            lease_until_s = self._clock() + LEASE_S
            db.execute("UPDATE jobs SET lease_until_s = ? WHERE id = ?", (lease_until_s, job.id))

    def identified(self, job: Job, sha256: str) -> Job | None:
        """Record the content hash of a running job; returns a done job with the same stems, if any.

        That is the newest done job of the bounce and output directory, if content and recipe are
        the same, as after the file was only touched.
        """
        with self._database.writing() as db:
            rows.owned(db, job)
            db.execute("UPDATE jobs SET sha256 = ? WHERE id = ?", (sha256, job.id))
            done = [
                other
                for other in rows.of_source(db, job.folder, job.source_path, State.DONE)
                if other.recipe.out_dir == job.recipe.out_dir
            ]
        if not done:
            return None
        latest = max(done, key=lambda other: (other.finished_s or 0.0, other.id))
        same = latest.sha256 == sha256 and latest.recipe.same_result(job.recipe)
        return latest if same else None

    def output_names(self, out_dir: Path, folder: Path) -> dict[str, str]:
        """Output folders in use in `out_dir` with their bounces, oldest first.

        This is the argument `taken` of `output_name`: a bounce is relative to `folder`, or absolute
        if it is not from there. Withdrawn jobs count, as their stems may exist.
        """
        with self._database.reading() as db:
            return rows.output_names(db, out_dir, folder)

    def choose_output(
        self, job: Job, choose: Callable[[PurePath, Mapping[str, str]], PurePath]
    ) -> Job:
        """Assign the output folder that `choose` picks for the bounce, in one transaction.

        choose: takes the bounce's `source_path` and `output_names`.
        """
        with self._database.writing() as db:
            rows.owned(db, job)
            taken = rows.output_names(db, job.recipe.out_dir, job.folder)
            return rows.assign_output(db, job, choose(job.source_path, taken))

    def assign_output(self, job: Job, output_path: PurePath) -> Job:
        """Record the output folder of a job, relative to its output directory.

        Raises errors.LedgerError when that folder belongs to another bounce.
        """
        with self._database.writing() as db:
            rows.owned(db, job)
            return rows.assign_output(db, job, output_path)

    def done(self, job: Job, manifest_path: Path) -> Job:
        """Set a running job to done; its stems are published."""
        return self._finish(job, manifest_path, job.output_path)

    def skip(self, job: Job, earlier: Job) -> Job:
        """Set a running job to done with the stems of `earlier`, which it would make again."""
        return self._finish(job, earlier.manifest_path, earlier.output_path)

    def done_without_stems(self, job: Job, code: str, reason: str) -> Job:
        """Set a running job to done without stems; its preset skips the bounce."""
        return self._finish(job, None, job.output_path, code, rows.text(reason))

    def failed(self, job: Job, code: str, reason: str, *, retryable: bool) -> Job:
        """Record a failed attempt: the job is pending again after a delay, or failed.

        If the bounce was rendered again meanwhile, the job is withdrawn instead of retried.

        Args:
            job: the running job.
            code: error code.
            reason: error message.
            retryable: whether another attempt may succeed.

        Returns:
            the job after the change.
        """
        with self._database.writing() as db:
            now = rows.owned(db, job)
            state, wait_s = states.after_failure(now.attempts, retryable=retryable)
            if state is State.PENDING and rows.is_superseded(db, now):
                return self._withdraw(db, now, SUPERSEDED, _SUPERSEDED_REASON)
            outcome = {
                "code": code,
                "reason": rows.text(reason),
                "next_attempt_s": self._clock() + wait_s,
                "finished_s": self._clock() if state is State.FAILED else None,
            }
            return rows.update(db, now, state, outcome)

    def withdraw(self, job: Job, reason: str) -> Job:
        """Withdraw a pending or running job, whose bounce is gone."""
        with self._database.writing() as db:
            return self._withdraw(db, rows.owned(db, job), "withdrawn", reason)

    def requeue(self, job: Job) -> Job:
        """Set a running job to pending; the attempt does not count.

        If the bounce was rendered again meanwhile, the job is withdrawn.
        """
        with self._database.writing() as db:
            return self._requeue(db, job, {})

    def hold(self, job: Job, code: str, reason: str) -> Job:
        """Requeue a running job and record the error that it waits out."""
        with self._database.writing() as db:
            return self._requeue(db, job, {"code": code, "reason": rows.text(reason)})

    def retry(self, folder: Path | None = None, paths: Iterable[Path] | None = None) -> int:
        """Set failed jobs to pending with all their attempts; returns their number.

        Jobs of superseded renders stay failed.

        folder: watched folder; None for all. paths: bounces, absolute or relative to their watched
        folder; None for all.
        """
        wanted = None if paths is None else {Path(path) for path in paths}
        with self._database.writing() as db:
            count = 0
            for job in rows.select(db, folder, (State.FAILED,)):
                named = wanted is None or job.path in wanted or job.source_path in wanted
                if named and not rows.is_superseded(db, job):
                    rows.update(db, job, State.PENDING, _FRESH)
                    count += 1
            return count

    def newest(self, folder: Path, out_dir: Path) -> dict[Path, Job]:
        """Newest job of each bounce that was not withdrawn, by `source_path`."""
        with self._database.reading() as db:
            return rows.all_newest(db, folder, out_dir)

    def jobs(
        self,
        folder: Path | None = None,
        states: Collection[State] | None = None,
        limit: int | None = None,
    ) -> list[Job]:
        """Select jobs, newest first.

        Args:
            folder: watched folder; None for all.
            states: states; None for all.
            limit: greatest number of jobs; None for all.
        """
        with self._database.reading() as db:
            return rows.select(db, folder, states, limit)

    def counts(self, folder: Path | None = None) -> dict[State, int]:
        """Number of jobs in each state, for every state."""
        where, values = ("", ()) if folder is None else ("WHERE folder = ?", (os.fsencode(folder),))
        with self._database.reading() as db:
            found = db.execute(
                f"SELECT state, count(*) FROM jobs {where} GROUP BY state", values
            ).fetchall()
        number = {row[0]: int(row[1]) for row in found}
        return {state: number.get(state.value, 0) for state in State}

    def due_in_s(self, folder: Path) -> float | None:
        """Seconds until a pending job may be claimed (0: now); None without pending jobs."""
        now_s = self._clock()
        with self._database.reading() as db:
            row = db.execute(
                "SELECT min(CASE WHEN next_attempt_s > ? THEN 0 ELSE next_attempt_s END) "
                "FROM jobs WHERE folder = ? AND state = ?",
                (now_s + states.LONGEST_BACK_OFF_S, os.fsencode(folder), State.PENDING.value),
            ).fetchone()
        return None if row[0] is None else max(0.0, float(row[0]) - now_s)

    def _create(
        self,
        db: sqlite3.Connection,
        folder: Path,
        path: Path,
        recipe: Recipe,
        facts: Mapping[str, object],
    ) -> Job:
        for older in rows.of_source(db, folder, path, State.PENDING):
            self._withdraw(db, older, SUPERSEDED, _SUPERSEDED_REASON)
        rows.prune(db, folder, path)
        return rows.insert(db, folder, path, recipe, {**facts, "created_s": self._clock()})

    def _finish(
        self,
        job: Job,
        manifest_path: Path | None,
        output_path: Path | None,
        code: str | None = None,
        reason: str | None = None,
    ) -> Job:
        with self._database.writing() as db:
            published = {
                "manifest_path": rows.optional_path(manifest_path),
                "output_path": rows.optional_path(output_path),
                "finished_s": self._clock(),
                "code": code,
                "reason": reason,
            }
            return rows.update(db, rows.owned(db, job), State.DONE, published)

    def _requeue(self, db: sqlite3.Connection, job: Job, why: Mapping[str, object]) -> Job:
        now = rows.owned(db, job)
        if now.state is not State.RUNNING:  # its owner has just finished it
            raise errors.LeaseLost(f"{job.path} is {now.state.value} already")
        if rows.is_superseded(db, now):
            return self._withdraw(db, now, SUPERSEDED, _SUPERSEDED_REASON)
        given_back = {"attempts": now.attempts - 1, "next_attempt_s": 0.0, "started_s": None}
        return rows.update(db, now, State.PENDING, {**given_back, **why})

    def _withdraw(self, db: sqlite3.Connection, job: Job, code: str, reason: str) -> Job:
        gone = {"code": code, "reason": rows.text(reason), "finished_s": self._clock()}
        return rows.update(db, job, State.WITHDRAWN, gone)
