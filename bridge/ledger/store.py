"""The ledger: one row for each bounce that was settled, and what became of it."""

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
#: Columns of a job that begins anew.
_FRESH: Mapping[str, object] = {
    "attempts": 0,
    "next_attempt_s": 0.0,
    "finished_s": None,
    "code": None,
    "reason": None,
}


class Ledger:
    """Jobs in an SQLite file. Every method may be called from any thread and any process.

    `folder` is a watched folder and must be spelled the same way each time; paths of bounces are
    taken absolute or relative to it. clock: wall clock seconds. busy_timeout_s: how long a change
    waits for that of another process.

    Every method raises errors.LedgerBlocked when the file cannot be used now, errors.LedgerError
    when it never can, and when a job is asked to make a move that its state does not allow. What is
    done to a running job raises errors.LeaseLost when another service owns it by now.
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
        """Closes the file; no other thread may be using the ledger."""
        self._database.close()

    def known(self, folder: Path, path: Path, size: int, mtime_ns: int, recipe: Recipe) -> bool:
        """Whether the newest job for this bounce is about this very state and recipe.

        The newest one decides: when an older render comes back, the stems on disk are not its own.
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
        """A new pending job for a settled bounce, or None when it is known.

        Jobs of the same bounce that still wait are withdrawn: the file they speak of is gone. Old
        ones that nothing depends on are forgotten, so that the ledger grows with the number of
        bounces and not with that of renders.
        """
        with self._database.writing() as db:
            newest = rows.newest(db, folder, path, recipe.out_dir)
            if newest is not None and newest.is_for(size, mtime_ns, recipe):
                return None
            facts = {"size": size, "mtime_ns": mtime_ns, "settled_s": settled_s}
            return self._begin(db, folder, path, recipe, facts)

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
        """The job for a file that somebody asks for, wherever it lies: a new one, or the newest.

        The newest one is, in whatever state, when it is for this state of the file, this recipe and
        this preset asked for. Else jobs of it that still wait are withdrawn.
        """
        with self._database.writing() as db:
            newest = rows.newest(db, folder, path, recipe.out_dir)
            if newest is not None and newest.answers(size, mtime_ns, recipe, asked):
                return newest
            facts = {"size": size, "mtime_ns": mtime_ns, "settled_s": self._clock()}
            return self._begin(db, folder, path, recipe, {**facts, "asked": asked})

    def restart(self, job: Job) -> Job:
        """A job that ended is pending once more, with all its attempts; others stay as they are."""
        with self._database.writing() as db:
            now = rows.get(db, job.id)
            if now.state not in {State.DONE, State.FAILED} or rows.is_superseded(db, now):
                return now
            return rows.update(db, now, State.PENDING, _FRESH)

    def claim_next(self, folder: Path, owner: str, recipe: Recipe | None = None) -> Job | None:
        """The oldest pending job that is due, now running; None when there is none.

        One caller gets it, whatever threads and processes ask, and owns it until it is finished or
        given back, or until `owner` falls silent (see leases.py). A bounce with a job that runs
        already is passed over: both would publish to the same place.

        owner: the token of a service. recipe: what that service does with it, and what the job says
        from now on: a job that has waited may have been offered under other settings. None where
        that depends on the job; then `set_recipe` it.
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
        """What is done with a running job after all, and what it says from now on."""
        if job.recipe == recipe:
            return job
        with self._database.writing() as db:
            return rows.set_recipe(db, rows.owned(db, job), recipe)

    def confirm(self, job: Job) -> None:
        """Renews the lease of a running job. Raises errors.LeaseLost when another service has it.

        To be called right before its stems are published.
        """
        with self._database.writing() as db:
            rows.owned(db, job)
            lease_until_s = self._clock() + LEASE_S
            db.execute("UPDATE jobs SET lease_until_s = ? WHERE id = ?", (lease_until_s, job.id))

    def identified(self, job: Job, sha256: str) -> Job | None:
        """Notes the content; returns the done job whose published stems are already those of it.

        That is so when the file was only touched: the newest done job of the same bounce and output
        directory had the same content and recipe.
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
        """Every output folder in use in `out_dir`, and the bounce that owns it, oldest first.

        The bounce is given relative to `folder`, or absolute when it is not from there: the `taken`
        of names.output_name. Withdrawn jobs count too, their stems may still lie there.
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
        """Notes where the stems of `job` go, relative to its output directory.

        Raises errors.LedgerError when that folder is another bounce's.
        """
        with self._database.writing() as db:
            rows.owned(db, job)
            return rows.assign_output(db, job, output_path)

    def done(self, job: Job, manifest_path: Path) -> Job:
        """The stems of a running job are published."""
        return self._finish(job, manifest_path, job.output_path)

    def skip(self, job: Job, earlier: Job) -> Job:
        """A running job needs no work: the stems of `earlier` are what it would make."""
        return self._finish(job, earlier.manifest_path, earlier.output_path)

    def done_without_stems(self, job: Job, code: str, reason: str) -> Job:
        """A running job is done: its preset makes no stems of such a bounce."""
        return self._finish(job, None, job.output_path, code, rows.text(reason))

    def failed(self, job: Job, code: str, reason: str, *, retryable: bool) -> Job:
        """A running job failed: pending again after a pause if that can help, else failed.

        When the bounce was rendered again meanwhile, the job is withdrawn instead of tried again.
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
        """The bounce of a pending or running job is gone."""
        with self._database.writing() as db:
            return self._withdraw(db, rows.owned(db, job), "withdrawn", reason)

    def requeue(self, job: Job) -> Job:
        """A running job is given back unfinished; the attempt does not count.

        When the bounce was rendered again meanwhile, the job is withdrawn.
        """
        with self._database.writing() as db:
            return self._give_back(db, job, {})

    def hold(self, job: Job, code: str, reason: str) -> Job:
        """As `requeue`, and says what the job waits for."""
        with self._database.writing() as db:
            return self._give_back(db, job, {"code": code, "reason": rows.text(reason)})

    def retry(self, folder: Path | None = None, paths: Iterable[Path] | None = None) -> int:
        """Failed jobs become pending with all their attempts; returns how many.

        folder: only of this watched folder. paths: only these bounces, absolute, or relative to the
        folder they are watched in. A bounce whose newer render has a job of its own is left alone.
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
        """Of each bounce, by its `source_path`, the job that counts: the last not withdrawn."""
        with self._database.reading() as db:
            return rows.all_newest(db, folder, out_dir)

    def jobs(
        self,
        folder: Path | None = None,
        states: Collection[State] | None = None,
        limit: int | None = None,
    ) -> list[Job]:
        """Jobs, newest first."""
        with self._database.reading() as db:
            return rows.select(db, folder, states, limit)

    def counts(self, folder: Path | None = None) -> dict[State, int]:
        """How many jobs are in each state; every state has its entry."""
        where, values = ("", ()) if folder is None else ("WHERE folder = ?", (os.fsencode(folder),))
        with self._database.reading() as db:
            found = db.execute(
                f"SELECT state, count(*) FROM jobs {where} GROUP BY state", values
            ).fetchall()
        number = {row[0]: int(row[1]) for row in found}
        return {state: number.get(state.value, 0) for state in State}

    def due_in_s(self, folder: Path) -> float | None:
        """Seconds until a pending job may be claimed, 0 for now, None when none waits."""
        now_s = self._clock()
        with self._database.reading() as db:
            row = db.execute(
                "SELECT min(CASE WHEN next_attempt_s > ? THEN 0 ELSE next_attempt_s END) "
                "FROM jobs WHERE folder = ? AND state = ?",
                (now_s + states.LONGEST_BACK_OFF_S, os.fsencode(folder), State.PENDING.value),
            ).fetchone()
        return None if row[0] is None else max(0.0, float(row[0]) - now_s)

    def _begin(
        self,
        db: sqlite3.Connection,
        folder: Path,
        path: Path,
        recipe: Recipe,
        facts: Mapping[str, object],
    ) -> Job:
        for older in rows.of_source(db, folder, path, State.PENDING):
            self._withdraw(db, older, SUPERSEDED, _SUPERSEDED_REASON)
        rows.forget_old(db, folder, path)
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

    def _give_back(self, db: sqlite3.Connection, job: Job, why: Mapping[str, object]) -> Job:
        now = rows.owned(db, job)
        if (
            now.state is not State.RUNNING
        ):  # its owner has just finished it, not so silent after all
            raise errors.LeaseLost(f"{job.path} is {now.state.value} already")
        if rows.is_superseded(db, now):
            return self._withdraw(db, now, SUPERSEDED, _SUPERSEDED_REASON)
        given_back = {"attempts": now.attempts - 1, "next_attempt_s": 0.0, "started_s": None}
        return rows.update(db, now, State.PENDING, {**given_back, **why})

    def _withdraw(self, db: sqlite3.Connection, job: Job, code: str, reason: str) -> Job:
        gone = {"code": code, "reason": rows.text(reason), "finished_s": self._clock()}
        return rows.update(db, job, State.WITHDRAWN, gone)
