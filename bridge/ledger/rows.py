"""Queries and updates of the table of jobs. Each function takes a connection."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bridge import errors
from bridge.ledger import states
from bridge.ledger.states import Job, Recipe, State

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Mapping
    from pathlib import PurePath


def insert(
    db: sqlite3.Connection,
    folder: Path,
    path: Path,
    recipe: Recipe,
    columns: Mapping[str, object],
) -> Job:
    """Insert a pending job.

    Args:
        db: connection within a transaction.
        folder: the watched folder.
        path: the bounce.
        recipe: preset, model and output folder.
        columns: size, mtime_ns, settled_s, created_s and optional further columns.

    Returns:
        the job.
    """
    columns = {
        "folder": os.fsencode(folder),
        "source_path": source(folder, path),
        **recipe_columns(recipe),
        **columns,
        "state": State.PENDING.value,
    }
    cursor = db.execute(
        f"INSERT INTO jobs ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
        tuple(columns.values()),
    )
    return get(db, int(cursor.lastrowid or 0))


def update(db: sqlite3.Connection, job: Job, state: State, columns: Mapping[str, object]) -> Job:
    """Change the state of a job and set columns.

    Args:
        db: connection within a transaction.
        job: the job in its present state.
        state: its new state.
        columns: further columns; names are inserted into the SQL unescaped.

    Returns:
        the changed job.

    Raises:
        LedgerError: the transition is illegal.
    """
    states.check_transition(job.state, state)
    if state is not State.RUNNING:
        columns = {**columns, "lease_until_s": None}
    if state is State.PENDING:
        columns = {**columns, "owner": None}  # finished jobs keep it as a record
    assignments = ", ".join(f"{name} = ?" for name in ("state", *columns))
    db.execute(
        f"UPDATE jobs SET {assignments} WHERE id = ?", (state.value, *columns.values(), job.id)
    )
    return get(db, job.id)


def set_recipe(db: sqlite3.Connection, job: Job, recipe: Recipe) -> Job:
    """Replace the recipe of a job."""
    columns = recipe_columns(recipe)
    assignments = ", ".join(f"{name} = ?" for name in columns)
    db.execute(f"UPDATE jobs SET {assignments} WHERE id = ?", (*columns.values(), job.id))
    return get(db, job.id)


def get(db: sqlite3.Connection, job_id: int) -> Job:
    """The job with this number. Raises errors.LedgerError when there is none."""
    row = db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise errors.LedgerError(f"the ledger has no job {job_id}; was the file replaced?")
    return from_row(row)


def owned(db: sqlite3.Connection, job: Job) -> Job:
    """Read a job again and check that its owner has not changed.

    Raises errors.LeaseLost when it has.
    """
    now = get(db, job.id)
    if now.owner != job.owner:
        raise errors.LeaseLost(
            f"another service has taken {job.path} over, because this one did not respond in time"
        )
    return now


def newest(db: sqlite3.Connection, folder: Path, path: Path, out_dir: Path) -> Job | None:
    """The newest job of a bounce that was not withdrawn; None without one."""
    row = db.execute(
        "SELECT * FROM jobs WHERE folder = ? AND source_path = ? AND out_dir = ? AND state != ? "
        "ORDER BY id DESC LIMIT 1",
        (
            *(os.fsencode(folder), source(folder, path)),
            *(os.fsencode(out_dir), State.WITHDRAWN.value),
        ),
    ).fetchone()
    return None if row is None else from_row(row)


def all_newest(db: sqlite3.Connection, folder: Path, out_dir: Path) -> dict[Path, Job]:
    """`newest` of every bounce of a folder, by `source_path`."""
    found = db.execute(
        "SELECT * FROM jobs WHERE id IN (SELECT max(id) FROM jobs "
        "WHERE folder = ? AND out_dir = ? AND state != ? GROUP BY source_path)",
        (os.fsencode(folder), os.fsencode(out_dir), State.WITHDRAWN.value),
    ).fetchall()
    return {job.source_path: job for job in map(from_row, found)}


def output_names(db: sqlite3.Connection, out_dir: Path, folder: Path) -> dict[str, str]:
    """See `Ledger.output_names`."""
    found = db.execute(
        "SELECT folder, source_path, output_path FROM jobs "
        "WHERE out_dir = ? AND output_path IS NOT NULL ORDER BY id",
        (os.fsencode(out_dir),),
    ).fetchall()
    home = os.fsencode(folder)
    names = {}
    for row in found:
        bounce = Path(os.fsdecode(row["source_path"]))
        if row["folder"] != home:
            bounce = Path(os.fsdecode(row["folder"])) / bounce
        names[Path(os.fsdecode(row["output_path"])).as_posix()] = bounce.as_posix()
    return names


def assign_output(db: sqlite3.Connection, job: Job, output_path: PurePath) -> Job:
    """See `Ledger.assign_output`."""
    place = os.fsencode(output_path)
    rival = db.execute(
        "SELECT 1 FROM jobs WHERE out_dir = ? AND output_path = ? "
        "AND NOT (folder = ? AND source_path = ?)",
        (
            *(os.fsencode(job.recipe.out_dir), place),
            *(os.fsencode(job.folder), os.fsencode(job.source_path)),
        ),
    ).fetchone()
    if rival is not None:
        raise errors.LedgerError(f"{output_path} belongs to another bounce; run `stembridge retry`")
    db.execute("UPDATE jobs SET output_path = ? WHERE id = ?", (place, job.id))
    return get(db, job.id)


def of_source(db: sqlite3.Connection, folder: Path, path: Path, state: State) -> list[Job]:
    """Jobs of a bounce in one state, oldest first."""
    rows = db.execute(
        "SELECT * FROM jobs WHERE folder = ? AND source_path = ? AND state = ? ORDER BY id",
        (os.fsencode(folder), source(folder, path), state.value),
    ).fetchall()
    return [from_row(row) for row in rows]


def prune(db: sqlite3.Connection, folder: Path, path: Path) -> None:
    """Delete old jobs of a bounce; see `states.prunable`."""
    found = db.execute(
        "SELECT * FROM jobs WHERE folder = ? AND source_path = ? ORDER BY id DESC",
        (os.fsencode(folder), source(folder, path)),
    )
    old = states.prunable([from_row(row) for row in found.fetchall()])
    db.executemany("DELETE FROM jobs WHERE id = ?", [(number,) for number in old])


def is_superseded(db: sqlite3.Connection, job: Job) -> bool:
    """Whether a newer render of the bounce has a job of its own."""
    newer = db.execute(
        "SELECT 1 FROM jobs WHERE folder = ? AND source_path = ? AND id > ? AND state != ? LIMIT 1",
        (
            *(os.fsencode(job.folder), os.fsencode(job.source_path)),
            *(job.id, State.WITHDRAWN.value),
        ),
    ).fetchone()
    return newer is not None


def select(
    db: sqlite3.Connection,
    folder: Path | None,
    in_states: Collection[State] | None,
    limit: int | None = None,
) -> list[Job]:
    """Select jobs, newest first.

    Args:
        db: connection.
        folder: watched folder; None for all.
        in_states: states; None for all.
        limit: greatest number of jobs; None for all.
    """
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
    return [from_row(row) for row in rows]


def recipe_columns(recipe: Recipe) -> dict[str, object]:
    """Columns of a recipe, in the tables of jobs and services."""
    return {**asdict(recipe), "out_dir": os.fsencode(recipe.out_dir)}


def recipe_of(row: sqlite3.Row) -> Recipe:
    """The recipe in a row."""
    return Recipe(
        preset_name=row["preset_name"],
        preset_hash=row["preset_hash"],
        model=row["model"],
        model_version=row["model_version"],
        out_dir=Path(os.fsdecode(row["out_dir"])),
    )


def from_row(row: sqlite3.Row) -> Job:
    """The job in a row."""
    plain = (
        *("id", "size", "mtime_ns", "attempts", "next_attempt_s", "settled_s", "created_s"),
        *("sha256", "code", "reason", "started_s", "finished_s", "owner"),
        *("lease_until_s", "asked"),
    )
    return Job(
        **{name: row[name] for name in plain},
        folder=Path(os.fsdecode(row["folder"])),
        source_path=Path(os.fsdecode(row["source_path"])),
        recipe=recipe_of(row),
        state=State(row["state"]),
        output_path=_path_or_none(row["output_path"]),
        manifest_path=_path_or_none(row["manifest_path"]),
    )


def source(folder: Path, path: Path) -> bytes:
    """Value of `source_path`: relative to the folder if the file lies in it."""
    return os.fsencode(path.relative_to(folder) if folder in path.parents else path)


def _path_or_none(value: bytes | None) -> Path | None:
    return None if value is None else Path(os.fsdecode(value))


def optional_path(path: PurePath | None) -> bytes | None:
    """Value of a path column; None for no path."""
    return None if path is None else os.fsencode(path)


def text(reason: str) -> str:
    """Escape what is not Unicode in a reason, such as bytes of a file name."""
    return reason.encode("utf-8", "backslashreplace").decode()
