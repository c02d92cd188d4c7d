"""Table of the services that share a ledger: folder, process, recipe, heartbeat."""

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
    """A service as registered in the ledger. Times are wall clock seconds.

    Attributes:
        folder: the watched folder.
        recipe: default recipe of its jobs.
        started_s: time of its start.
        heartbeat_s: time of its last heartbeat.
        process: its process.
        token: its unique name, which owns jobs.
        paused: the error that it waits out; None while there is none.
        settings_asked: number of requests to reload its settings.
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
        """Whether its process runs; on another computer, whether its heartbeat is recent."""
        if self.process.is_here:
            return not self.process.is_gone
        return abs(now_s - self.heartbeat_s) < LEASE_S


class Services:
    """Table of services; threads, processes and errors as of `Ledger`."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def begin(self, folder: Path, recipe: Recipe) -> Service:
        """Register this process as a service of `folder`; removes entries of dead services.

        Raises errors.AlreadyWatched when a live service makes other stems of that folder.
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
        """Record a heartbeat and renew the leases of the service's jobs.

        Args:
            service: the service.
            recipe: its recipe in force.
            paused: the error that it waits out, if any.

        Returns:
            the number of requests to reload its settings.
        """
        now_s = self._clock()
        with self._database.writing() as db:
            known = _get(db, service.token)
            asked = (
                known.settings_asked if known else 0
            )  # another service may have removed the entry
            values = (service.folder, recipe, service.started_s, now_s, service.process)
            _put(db, Service(*values, service.token, paused, asked))
            db.execute(
                "UPDATE jobs SET lease_until_s = ? WHERE owner = ? AND state = ?",
                (now_s + LEASE_S, service.token, State.RUNNING.value),
            )
        return asked

    def end(self, service: Service) -> None:
        """Unregister the service; its running jobs may be reclaimed."""
        with self._database.writing() as db:
            _remove(db, service.token)

    def get(self, token: str | None) -> Service | None:
        """The registered service with this token; None if it has unregistered."""
        with self._database.reading() as db:
            return None if token is None else _get(db, token)

    def all(self, folder: Path | None = None) -> list[Service]:
        """Registered services of one folder or all, oldest first; some may be dead."""
        with self._database.reading() as db:
            return _all(db, folder)

    def living(self, folder: Path | None = None) -> list[Service]:
        """Live services of one folder or all, oldest first."""
        now_s = self._clock()
        return [service for service in self.all(folder) if service.lives(now_s)]

    def ask_to_reload(self, service: Service) -> None:
        """Request a reload of its settings, which the service sees at its next heartbeat."""
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
