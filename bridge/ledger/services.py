"""The services that share a ledger: who watches what, whether it lives, what it waits for."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bridge import errors
from bridge.ledger import rows
from bridge.ledger.leases import LEASE_S
from bridge.ledger.states import Recipe, State
from bridge.system.processes import Process, this_process

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from bridge.ledger.database import Database


@dataclass(frozen=True, slots=True)
class Service:
    """A service on a folder: its process, what it does with bounces, what it waits for.

    Times are wall clock seconds. settings_asked: how often it was asked to read its settings again.
    """

    folder: Path
    recipe: Recipe
    started_s: float
    heartbeat_s: float
    process: Process = field(default_factory=this_process)
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    paused: str | None = None
    settings_asked: int = 0

    def lives(self, now_s: float) -> bool:
        """Whether it does, as far as one look can tell (of another computer: by its clock)."""
        if self.process.is_here:
            return not self.process.is_gone
        return abs(now_s - self.heartbeat_s) < LEASE_S


class Services:
    """The ledger's table of services; see `Ledger` about threads, processes and errors."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def begin(self, folder: Path, recipe: Recipe) -> Service:
        """This process serves `folder` from now on; entries of processes that ended go.

        Raises errors.AlreadyWatched when a service that lives makes other stems of that folder.
        """
        now_s = self._clock()
        service = Service(folder, recipe, started_s=now_s, heartbeat_s=now_s)
        with self._database.writing() as db:
            for other in _all(db, folder):
                if not other.lives(now_s):
                    _remove(db, other.token)
                elif not other.recipe.same_result(recipe):
                    raise _already_watched(other)
            _put(db, service)
        return service

    def beat(self, service: Service, recipe: Recipe, paused: str | None) -> int:
        """Says that it lives, and with which recipe; renews the leases of its jobs.

        Returns how often it was asked to read its settings again.
        """
        now_s = self._clock()
        with self._database.writing() as db:
            known = _get(db, service.token)
            asked = known.settings_asked if known else 0  # another one may have given us up
            values = (service.folder, recipe, service.started_s, now_s, service.process)
            _put(db, Service(*values, service.token, paused, asked))
            db.execute(
                "UPDATE jobs SET lease_until_s = ? WHERE owner = ? AND state = ?",
                (now_s + LEASE_S, service.token, State.RUNNING.value),
            )
        return asked

    def end(self, service: Service) -> None:
        """It serves no more. Its running jobs, if any, are anybody's."""
        with self._database.writing() as db:
            _remove(db, service.token)

    def get(self, token: str | None) -> Service | None:
        """The service that owns a job, if it is one that has not ended in good order."""
        with self._database.reading() as db:
            return None if token is None else _get(db, token)

    def all(self, folder: Path | None = None) -> list[Service]:
        """The services, of one folder or of all, oldest first; some may have died."""
        with self._database.reading() as db:
            return _all(db, folder)

    def living(self, folder: Path | None = None) -> list[Service]:
        """Those of `all` that live."""
        now_s = self._clock()
        return [service for service in self.all(folder) if service.lives(now_s)]

    def ask_to_reload(self, service: Service) -> None:
        """The service reads its settings again, at its next beat at the latest."""
        with self._database.writing() as db:
            db.execute(
                "UPDATE services SET settings_asked = settings_asked + 1 WHERE token = ?",
                (service.token,),
            )


def _put(db: sqlite3.Connection, service: Service) -> None:
    process = service.process
    columns = rows.recipe_columns(service.recipe)
    columns |= {"token": service.token, "folder": os.fsencode(service.folder)}
    columns |= {"host": process.host, "pid": process.pid, "process_started": process.start_mark}
    columns |= {"started_s": service.started_s, "heartbeat_s": service.heartbeat_s}
    columns |= {"paused": rows.text(service.paused) if service.paused else None}
    columns |= {"settings_asked": service.settings_asked}
    db.execute(
        f"INSERT OR REPLACE INTO services ({', '.join(columns)}) "
        f"VALUES ({', '.join('?' * len(columns))})",
        tuple(columns.values()),
    )


def _get(db: sqlite3.Connection, token: str) -> Service | None:
    row = db.execute("SELECT * FROM services WHERE token = ?", (token,)).fetchone()
    return None if row is None else _service(row)


def _all(db: sqlite3.Connection, folder: Path | None) -> list[Service]:
    where, values = ("", ()) if folder is None else ("WHERE folder = ?", (os.fsencode(folder),))
    found = db.execute(f"SELECT * FROM services {where} ORDER BY started_s, token", values)
    return [_service(row) for row in found.fetchall()]


def _remove(db: sqlite3.Connection, token: str) -> None:
    db.execute("DELETE FROM services WHERE token = ?", (token,))


def _service(row: sqlite3.Row) -> Service:
    return Service(
        folder=Path(os.fsdecode(row["folder"])),
        recipe=rows.recipe_of(row),
        started_s=row["started_s"],
        heartbeat_s=row["heartbeat_s"],
        process=Process(row["host"], row["pid"], row["process_started"]),
        token=row["token"],
        paused=row["paused"],
        settings_asked=row["settings_asked"],
    )


def _already_watched(other: Service) -> errors.AlreadyWatched:
    recipe = other.recipe
    return errors.AlreadyWatched(
        f"another service (process {other.process.pid}) watches {other.folder} with preset "
        f"{recipe.preset_name}, model {recipe.model} and stems in {recipe.out_dir}: name the same, "
        "or end that one first"
    )
