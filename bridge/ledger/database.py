"""The ledger's file: an SQLite database, opened, migrated and explained when it fails.

Write-ahead log, so that `status` reads while a service writes; synchronous=FULL, so that a commit
survives a power cut.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from typing import TYPE_CHECKING

from bridge import errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# "Stbr" in ASCII: tells our file from any other SQLite database (PRAGMA application_id).
_APPLICATION_ID = 0x53746272

# Writers hold the lock for milliseconds; a minute also covers a disk that has to spin up.
BUSY_TIMEOUT_S = 60.0

# Paths are blobs: a file name is bytes, and need not be text in any encoding.
_SCHEMA_1 = (
    """
    CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    folder BLOB NOT NULL,
    source_path BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha256 TEXT,
    preset_name TEXT NOT NULL,
    preset_hash TEXT NOT NULL,
    model TEXT NOT NULL,
    model_version TEXT NOT NULL,
    out_dir BLOB NOT NULL,
    output_path BLOB,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_s REAL NOT NULL DEFAULT 0,
    code TEXT,
    reason TEXT,
    manifest_path BLOB,
    settled_s REAL NOT NULL,
    started_s REAL,
    finished_s REAL,
    created_s REAL NOT NULL
    )
    """,
    "CREATE INDEX jobs_by_source ON jobs (folder, source_path, id)",
    "CREATE INDEX jobs_by_state ON jobs (folder, state, id)",
    "CREATE INDEX jobs_by_output ON jobs (out_dir, id)",
)

# Which service works on which job, and which services there are. A service's recipe is that of its
# next job; `settings_asked` counts how often it was asked to read its settings again.
_SCHEMA_2 = (
    "ALTER TABLE jobs ADD COLUMN owner TEXT",
    "ALTER TABLE jobs ADD COLUMN lease_until_s REAL",
    """
    CREATE TABLE services (
    token TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    process_started TEXT NOT NULL,
    folder BLOB NOT NULL,
    preset_name TEXT NOT NULL,
    preset_hash TEXT NOT NULL,
    model TEXT NOT NULL,
    model_version TEXT NOT NULL,
    out_dir BLOB NOT NULL,
    started_s REAL NOT NULL,
    heartbeat_s REAL NOT NULL,
    paused TEXT,
    settings_asked INTEGER NOT NULL DEFAULT 0
    )
    """,
)

# The preset that somebody asked for by name, for this render of the bounce only.
_SCHEMA_3 = ("ALTER TABLE jobs ADD COLUMN asked TEXT",)

#: What leads from one schema version to the next; user_version counts how many were applied.
MIGRATIONS: tuple[tuple[str, ...], ...] = (_SCHEMA_1, _SCHEMA_2, _SCHEMA_3)


class Database:
    """Connections to one file, one for each thread, and transactions on them.

    busy_timeout_s: how long a writer waits for another one.
    """

    def __init__(self, path: Path, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.path = path
        self._busy_timeout_s = busy_timeout_s
        self._lock = threading.Lock()
        # By process and thread: a connection must not cross a fork, and thread numbers are reused.
        self._connections: dict[tuple[int, int], sqlite3.Connection] = {}
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._prepare(self._connection())

    def close(self) -> None:
        """Closes the connections of all threads; none may be in use."""
        with self._lock:
            for (process, _), connection in self._connections.items():
                if process == os.getpid():
                    connection.close()
            self._connections.clear()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for queries. Raises errors.LedgerError."""
        with self._explained():
            yield self._connection()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that no other writer runs beside; undone when the block raises.

        Raises errors.LedgerError.
        """
        with self._explained(), _transaction(self._connection()) as connection:
            yield connection

    def _connection(self) -> sqlite3.Connection:
        key = (os.getpid(), threading.get_ident())
        with self._lock:
            if key not in self._connections:
                self._connections[key] = self._connect()
            return self._connections[key]

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=self._busy_timeout_s,
            isolation_level=None,  # transactions are begun where they are meant
            check_same_thread=False,  # for close(); `_connection` keeps threads apart
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Checks the file and brings it to our schema version."""
        self._check(connection)
        verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        if verdict != "ok":
            raise self._damaged(verdict)
        _use_write_ahead_log(connection)
        with _transaction(connection):
            version = self._check(connection)  # another process may have been faster
            if version == len(MIGRATIONS):
                return  # who only looks leaves every byte as it is
            for step in MIGRATIONS[version:]:
                for statement in step:
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _check(self, connection: sqlite3.Connection) -> int:
        """The schema version. Raises errors.LedgerError when the file is not one we can use."""
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        application = int(connection.execute("PRAGMA application_id").fetchone()[0])
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application != _APPLICATION_ID and (tables or version or application):
            raise errors.LedgerError(
                f"{self.path} is some other program's database; move it away or name another file"
            )
        if version > len(MIGRATIONS):
            raise errors.LedgerError(
                f"the ledger {self.path} was written by a newer Stembridge (schema {version}, this "
                f"one knows {len(MIGRATIONS)}); upgrade Stembridge"
            )
        return version

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise self._unusable(error) from error
        except OSError as error:
            raise self._unusable(error) from error
        except sqlite3.DatabaseError as error:
            if isinstance(error, (sqlite3.ProgrammingError, sqlite3.IntegrityError)):
                raise  # a defect of ours, not of the file
            raise self._damaged(str(error)) from error

    def _unusable(self, error: Exception) -> errors.LedgerError:
        return errors.LedgerBlocked(
            f"cannot use the ledger {self.path} ({_words(error)}); check that its folder is "
            "writable, that the disk is not full and that no other program holds it"
        )

    def _damaged(self, detail: str) -> errors.LedgerError:
        return errors.LedgerError(
            f"the ledger {self.path} is damaged ({detail}); move it away (with its -wal and -shm) "
            "and start again: bounces in watched folders are then taken as new"
        )


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _words(error: Exception) -> str:
    """What is wrong; a system's error without its number and its path, which stands beside it."""
    if isinstance(error, FileExistsError):
        return "its folder is a file"
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switches once. Where the file system cannot do it, SQLite keeps its rollback journal.

    SQLite does not wait for a lock here as it does elsewhere, so two first starts need this loop.
    """
    deadline_s = time.monotonic() + BUSY_TIMEOUT_S
    while not _switched(connection):
        if time.monotonic() > deadline_s:
            raise sqlite3.OperationalError("database is locked")
        time.sleep(0.01)


def _switched(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return False
        raise
    return True
