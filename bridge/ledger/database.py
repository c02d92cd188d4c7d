"""SQLite database of the ledger: connections, transactions, migrations, error messages.

It uses a write-ahead log, so that `status` reads while a service writes, and synchronous=FULL, so
that a commit survives a power cut.
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

# "Stbr" in ASCII: distinguishes the ledger from other SQLite files (PRAGMA application_id).
_APPLICATION_ID = 0x53746272

# Writers hold the lock for milliseconds; a minute covers a disk that has to spin up.
BUSY_TIMEOUT_S = 60.0

# Paths are blobs, because a file name need not be valid text in any encoding.
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

# Owner of each job, and the table of services. A service's recipe is its default one;
# `settings_asked` counts requests to reload its settings.
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

# Preset requested by name, for this render of the bounce only.
_SCHEMA_3 = ("ALTER TABLE jobs ADD COLUMN asked TEXT",)

#: Statements from each schema version to the next; user_version counts those applied.
MIGRATIONS: tuple[tuple[str, ...], ...] = (_SCHEMA_1, _SCHEMA_2, _SCHEMA_3)


class Database:
    """Connections to one SQLite file, one for each thread, and transactions on them.

    Args:
        path: the file, created if it does not exist.
        busy_timeout_s: seconds that a writer waits for another one.

    Raises:
        LedgerError: the file is unusable; see `Ledger`.
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
        """Close the connections of all threads; none may be in use."""
        with self._lock:
            for (process, _), connection in self._connections.items():
                if process == os.getpid():
                    connection.close()
            self._connections.clear()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Context with a connection for queries. Raises errors.LedgerError."""
        with self._explained():
            yield self._connection()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Context with an exclusive write transaction, rolled back when the block raises.

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
            isolation_level=None,  # transactions are explicit
            check_same_thread=False,  # for close(); `_connection` keeps threads apart
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Check the file and migrate it to the current schema version."""
        self._check(connection)
        verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        if verdict != "ok":
            raise self._damaged(verdict)
        _use_write_ahead_log(connection)
        with _transaction(connection):
            version = self._check(connection)  # another process may have migrated it
            if version == len(MIGRATIONS):
                return  # a reader leaves the file unchanged
            for step in MIGRATIONS[version:]:
                for statement in step:
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _check(self, connection: sqlite3.Connection) -> int:
        """Return the schema version. Raises errors.LedgerError for an unusable file."""
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        application = int(connection.execute("PRAGMA application_id").fetchone()[0])
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application != _APPLICATION_ID and (tables or version or application):
            raise errors.LedgerError(
                f"{self.path} is the database of another program; move it away, or set another "
                "state_dir"
            )
        if version > len(MIGRATIONS):
            raise errors.LedgerError(
                f"the ledger {self.path} was written by a newer Stembridge (schema {version}, this "
                f"one reads up to {len(MIGRATIONS)}); upgrade Stembridge"
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
                raise  # a bug, not a problem of the file
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
    """Text of an error, without the number and path of a system error."""
    if isinstance(error, FileExistsError):
        return "its folder is a file"
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch to a write-ahead log; on file systems without support SQLite keeps its journal.

    SQLite does not honour its timeout here, so this loop waits for another process that switches.
    """
    deadline_s = time.monotonic() + BUSY_TIMEOUT_S
    while not _try_write_ahead_log(connection):
        if time.monotonic() > deadline_s:
            raise sqlite3.OperationalError("database is locked")
        time.sleep(0.01)


def _try_write_ahead_log(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return False
        raise
    return True
