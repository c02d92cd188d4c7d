"""The ledger: one row for each bounce that was settled, and what became of it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bridge import errors
from bridge.ledger import states
from bridge.ledger.database import Database
from bridge.ledger.states import Job, Recipe, State

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import PurePath

SUPERSEDED = "superseded"
_SUPERSEDED_REASON = "the bounce was rendered again; the newer render has a job of its own"


class Ledger:
    """Jobs in an SQLite file. Every method may be called from any thread and any process.

    `folder` is a watched folder and must be spelled the same way each time; paths of bounces are
    taken absolute or relative to it. clock: wall clock seconds. Every method raises
    errors.LedgerError when the file cannot be used, and when a job is asked to make a move that its
    state does not allow.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._database = Database(path)
        self._clock = clock

    def close(self) -> None:
        """Closes the file; no other thread may be using the ledger."""
        self._database.close()

    def known(self, folder: Path, path: Path, size: int, mtime_ns: int, recipe: Recipe) -> bool:
        """Whether the newest job for this bounce is about this very state and recipe.

        The newest one decides: when an older render comes back, the stems on disk are not its own.
        """
        with self._database.reading() as db:
            newest = _newest(db, folder, path, recipe.out_dir)
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

        Jobs of the same bounce that still wait are withdrawn: the file they speak of is gone.
        """
        with self._database.writing() as db:
            newest = _newest(db, folder, path, recipe.out_dir)
            if newest is not None and newest.is_for(size, mtime_ns, recipe):
                return None
            for older in _of_source(db, folder, path, State.PENDING):
                self._withdraw(db, older, SUPERSEDED, _SUPERSEDED_REASON)
            cursor = db.execute(
                "INSERT INTO jobs (folder, source_path, size, mtime_ns, preset_name, preset_hash, "
                "model, model_version, out_dir, state, settled_s, created_s) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(os.fsencode(folder), _source(folder, path), size, mtime_ns),
                    *(recipe.preset_name, recipe.preset_hash, recipe.model, recipe.model_version),
                    *(os.fsencode(recipe.out_dir), State.PENDING.value, settled_s, self._clock()),
                ),
            )
            return _get(db, int(cursor.lastrowid or 0))

    def claim_next(self, folder: Path) -> Job | None:
        """The oldest pending job that is due, now running; None when there is none.

        One caller gets it, whatever threads and processes ask. A bounce with a job that runs
        already is passed over: both would publish to the same place.
        """
        now_s = self._clock()
        with self._database.writing() as db:
            row = db.execute(
                "SELECT * FROM jobs AS job WHERE folder = ? AND state = ? AND next_attempt_s <= ? "
                "AND NOT EXISTS (SELECT 1 FROM jobs AS other WHERE other.folder = job.folder "
                "AND other.source_path = job.source_path AND other.state = ?) ORDER BY id LIMIT 1",
                (os.fsencode(folder), State.PENDING.value, now_s, State.RUNNING.value),
            ).fetchone()
            if row is None:
                return None
            job = _job(row)
            begun = {"attempts": job.attempts + 1, "started_s": now_s, "finished_s": None}
            return _update(db, job, State.RUNNING, begun)

    def identified(self, job: Job, sha256: str) -> Job | None:
        """Notes the content; returns the done job whose published stems are already those of it.

        That is so when the file was only touched: the newest done job of the same bounce and output
        directory had the same content and recipe.
        """
        with self._database.writing() as db:
            db.execute("UPDATE jobs SET sha256 = ? WHERE id = ?", (sha256, job.id))
            done = [
                other
                for other in _of_source(db, job.folder, job.source_path, State.DONE)
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
            rows = db.execute(
                "SELECT folder, source_path, output_path FROM jobs "
                "WHERE out_dir = ? AND output_path IS NOT NULL ORDER BY id",
                (os.fsencode(out_dir),),
            ).fetchall()
        home = os.fsencode(folder)
        names = {}
        for row in rows:
            source = Path(os.fsdecode(row["source_path"]))
            if row["folder"] != home:
                source = Path(os.fsdecode(row["folder"])) / source
            names[Path(os.fsdecode(row["output_path"])).as_posix()] = source.as_posix()
        return names

    def assign_output(self, job: Job, output_path: PurePath) -> Job:
        """Notes where the stems of `job` go, relative to its output directory.

        Raises errors.LedgerError when that folder is another bounce's.
        """
        place = os.fsencode(output_path)
        with self._database.writing() as db:
            rival = db.execute(
                "SELECT 1 FROM jobs WHERE out_dir = ? AND output_path = ? "
                "AND NOT (folder = ? AND source_path = ?)",
                (
                    *(os.fsencode(job.recipe.out_dir), place),
                    *(os.fsencode(job.folder), os.fsencode(job.source_path)),
                ),
            ).fetchone()
            if rival is not None:
                raise errors.LedgerError(
                    f"{output_path} belongs to another bounce; run `stembridge retry`"
                )
            db.execute("UPDATE jobs SET output_path = ? WHERE id = ?", (place, job.id))
            return _get(db, job.id)

    def done(self, job: Job, manifest_path: Path) -> Job:
        """The stems of a running job are published."""
        return self._finish(job, manifest_path, job.output_path)

    def skip(self, job: Job, earlier: Job) -> Job:
        """A running job needs no work: the stems of `earlier` are what it would make."""
        return self._finish(job, earlier.manifest_path, earlier.output_path)

    def failed(self, job: Job, code: str, reason: str, *, retryable: bool) -> Job:
        """A running job failed: pending again after a pause if that can help, else failed.

        When the bounce was rendered again meanwhile, the job is withdrawn instead of tried again.
        """
        with self._database.writing() as db:
            now = _get(db, job.id)
            state, wait_s = states.after_failure(now.attempts, retryable=retryable)
            if state is State.PENDING and _is_superseded(db, now):
                return self._withdraw(db, now, SUPERSEDED, _SUPERSEDED_REASON)
            outcome = {
                "code": code,
                "reason": _text(reason),
                "next_attempt_s": self._clock() + wait_s,
                "finished_s": self._clock() if state is State.FAILED else None,
            }
            return _update(db, now, state, outcome)

    def withdraw(self, job: Job, reason: str) -> Job:
        """The bounce of a pending or running job is gone."""
        with self._database.writing() as db:
            return self._withdraw(db, _get(db, job.id), "withdrawn", reason)

    def requeue(self, job: Job) -> Job:
        """A running job is given back unfinished; the attempt does not count.

        When the bounce was rendered again meanwhile, the job is withdrawn.
        """
        with self._database.writing() as db:
            now = _get(db, job.id)
            if _is_superseded(db, now):
                return self._withdraw(db, now, SUPERSEDED, _SUPERSEDED_REASON)
            given_back = {"attempts": now.attempts - 1, "next_attempt_s": 0.0, "started_s": None}
            return _update(db, now, State.PENDING, given_back)

    def retry(self, folder: Path | None = None, paths: Iterable[Path] | None = None) -> int:
        """Failed jobs become pending with all their attempts; returns how many.

        folder: only of this watched folder. paths: only these bounces, absolute, or relative to the
        folder they are watched in. A bounce whose newer render has a job of its own is left alone.
        """
        wanted = None if paths is None else {Path(path) for path in paths}
        with self._database.writing() as db:
            count = 0
            for job in _select(db, folder, (State.FAILED,)):
                named = wanted is None or job.path in wanted or job.source_path in wanted
                if named and not _is_superseded(db, job):
                    fresh = {"attempts": 0, "next_attempt_s": 0.0, "finished_s": None}
                    _update(db, job, State.PENDING, fresh)
                    count += 1
            return count

    def jobs(
        self,
        folder: Path | None = None,
        states: Collection[State] | None = None,
        limit: int | None = None,
    ) -> list[Job]:
        """Jobs, newest first."""
        with self._database.reading() as db:
            return _select(db, folder, states, limit)

    def counts(self, folder: Path | None = None) -> dict[State, int]:
        """How many jobs are in each state; every state has its entry."""
        where, values = ("", ()) if folder is None else ("WHERE folder = ?", (os.fsencode(folder),))
        with self._database.reading() as db:
            rows = db.execute(
                f"SELECT state, count(*) FROM jobs {where} GROUP BY state", values
            ).fetchall()
        found = {row[0]: int(row[1]) for row in rows}
        return {state: found.get(state.value, 0) for state in State}

    def due_in_s(self, folder: Path) -> float | None:
        """Seconds until a pending job may be claimed, 0 for now, None when none waits."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT min(next_attempt_s) FROM jobs WHERE folder = ? AND state = ?",
                (os.fsencode(folder), State.PENDING.value),
            ).fetchone()
        return None if row[0] is None else max(0.0, float(row[0]) - self._clock())

    def _finish(self, job: Job, manifest_path: Path | None, output_path: Path | None) -> Job:
        with self._database.writing() as db:
            published = {
                "manifest_path": _optional_path(manifest_path),
                "output_path": _optional_path(output_path),
                "finished_s": self._clock(),
                "code": None,
                "reason": None,
            }
            return _update(db, _get(db, job.id), State.DONE, published)

    def _withdraw(self, db: sqlite3.Connection, job: Job, code: str, reason: str) -> Job:
        gone = {"code": code, "reason": _text(reason), "finished_s": self._clock()}
        return _update(db, job, State.WITHDRAWN, gone)


def _update(db: sqlite3.Connection, job: Job, state: State, columns: Mapping[str, object]) -> Job:
    """Moves a job, if it may, and sets columns (named in this module, never by a caller)."""
    states.move(job.state, state)
    assignments = ", ".join(f"{name} = ?" for name in ("state", *columns))
    db.execute(
        f"UPDATE jobs SET {assignments} WHERE id = ?", (state.value, *columns.values(), job.id)
    )
    return _get(db, job.id)


def _get(db: sqlite3.Connection, job_id: int) -> Job:
    row = db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise errors.LedgerError(f"the ledger has no job {job_id}; was the file replaced?")
    return _job(row)


def _newest(db: sqlite3.Connection, folder: Path, path: Path, out_dir: Path) -> Job | None:
    row = db.execute(
        "SELECT * FROM jobs WHERE folder = ? AND source_path = ? AND out_dir = ? AND state != ? "
        "ORDER BY id DESC LIMIT 1",
        (
            *(os.fsencode(folder), _source(folder, path)),
            *(os.fsencode(out_dir), State.WITHDRAWN.value),
        ),
    ).fetchone()
    return None if row is None else _job(row)


def _of_source(db: sqlite3.Connection, folder: Path, path: Path, state: State) -> list[Job]:
    rows = db.execute(
        "SELECT * FROM jobs WHERE folder = ? AND source_path = ? AND state = ? ORDER BY id",
        (os.fsencode(folder), _source(folder, path), state.value),
    ).fetchall()
    return [_job(row) for row in rows]


def _is_superseded(db: sqlite3.Connection, job: Job) -> bool:
    newer = db.execute(
        "SELECT 1 FROM jobs WHERE folder = ? AND source_path = ? AND id > ? AND state != ? LIMIT 1",
        (
            *(os.fsencode(job.folder), os.fsencode(job.source_path)),
            *(job.id, State.WITHDRAWN.value),
        ),
    ).fetchone()
    return newer is not None


def _select(
    db: sqlite3.Connection,
    folder: Path | None,
    in_states: Collection[State] | None,
    limit: int | None = None,
) -> list[Job]:
    conditions, values = ["1"], list[object]()
    if folder is not None:
        conditions.append("folder = ?")
        values.append(os.fsencode(folder))
    if in_states is not None:
        conditions.append(f"state IN ({', '.join('?' * len(in_states))})")
        values.extend(state.value for state in in_states)
    values.append(-1 if limit is None else limit)
    rows = db.execute(
        f"SELECT * FROM jobs WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?", values
    ).fetchall()
    return [_job(row) for row in rows]


def _job(row: sqlite3.Row) -> Job:
    recipe = Recipe(
        preset_name=row["preset_name"],
        preset_hash=row["preset_hash"],
        model=row["model"],
        model_version=row["model_version"],
        out_dir=Path(os.fsdecode(row["out_dir"])),
    )
    plain = (
        *("id", "size", "mtime_ns", "attempts", "next_attempt_s", "settled_s", "created_s"),
        *("sha256", "code", "reason", "started_s", "finished_s"),
    )
    return Job(
        **{name: row[name] for name in plain},
        folder=Path(os.fsdecode(row["folder"])),
        source_path=Path(os.fsdecode(row["source_path"])),
        recipe=recipe,
        state=State(row["state"]),
        output_path=_path_or_none(row["output_path"]),
        manifest_path=_path_or_none(row["manifest_path"]),
    )


def _source(folder: Path, path: Path) -> bytes:
    return os.fsencode(path.relative_to(folder) if path.is_absolute() else path)


def _path_or_none(value: bytes | None) -> Path | None:
    return None if value is None else Path(os.fsdecode(value))


def _optional_path(path: PurePath | None) -> bytes | None:
    return None if path is None else os.fsencode(path)


def _text(reason: str) -> str:
    """A reason may quote a file name that is not Unicode; the ledger keeps text."""
    return reason.encode("utf-8", "backslashreplace").decode()
