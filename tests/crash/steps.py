"""Every step by which a process changes disk or ledger, numbered as it happens, and trouble there.

A step is a call of the system that makes, writes, syncs, renames or removes something below the
scene's folder, or a statement by which SQLite writes. What a step leaves is what the next one
finds, so a process that is killed before each step, in the middle of each write and after the last
one was killed everywhere that counts.
"""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import signal
import sqlite3
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

SERVICE, WORKER = "CRASH_SERVICE", "CRASH_WORKER"  # variables of the environment: whose plan

# What a full disk refuses; what removes something works there.
_TAKES_SPACE = {"open", "write", "mkdir", "fsync", "rename", "fallocate", "sqlite COMMIT"}
_SQLITE_SAYS = {
    errno.ENOSPC: "database or disk is full",
    errno.EDQUOT: "database or disk is full",
    errno.EIO: "disk I/O error",
    errno.EROFS: "attempt to write a readonly database",
    errno.EACCES: "unable to open database file",
}
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True)
class Plan:
    """Which steps count, and what happens at one of them.

    root: only what lies below counts. log: gets a line for each step. number: of the step where it
    happens, 0 for never; only in the first process that comes there. deed: "before", "torn",
    "after": the process kills itself then; "refuse": the call fails with `error`; "fill": the file
    system of `where` is filled up but for `left_bytes`. where: refusals go on below it, in every
    process of the scene, until `trouble` is removed.
    """

    root: str
    log: str
    number: int = 0
    deed: str = "before"
    error: int = 0
    where: str = ""
    left_bytes: int = 0
    lasting: bool = False

    @property
    def trouble(self) -> Path:
        """There while refusals last."""
        return Path(self.log).with_name("trouble")

    @property
    def struck(self) -> Path:
        """There once it has happened."""
        return Path(self.log).with_name("struck")

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Step:
    """What a log of steps says. path: relative to the root. bytes: of a write."""

    number: int
    call: str
    path: str
    bytes: int = 0

    def __str__(self) -> str:
        size = f" ({self.bytes} bytes)" if self.bytes else ""
        return f"{self.number:4}  {self.call:16} {self.path}{size}"


def read_log(log: Path) -> list[Step]:
    """The steps of a process, in order."""
    return [Step(**json.loads(line)) for line in log.read_text().splitlines()]


def install(variable: str) -> None:
    """Wraps what this process calls, if the environment has a plan for it."""
    text = os.environ.get(variable)
    if text:
        _Wrapping(_Steps(Plan(**json.loads(text)))).install()


@dataclass
class _Steps:
    """Counts, and strikes. `_system` is the system as it is without us."""

    plan: Plan
    number: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.log = _system.open(self.plan.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def counts(self, path: str) -> bool:
        return _is_below(path, self.plan.root)

    def take(
        self, call: str, path: str, do: Callable[[], Result], torn: Callable[[], Any] | None = None
    ) -> Result:
        """Does a step, or what the plan says. torn: does a part of it."""
        if not self.counts(path):
            return do()
        with self.lock:
            self.number += 1
            mine = self.number
            name, size = os.path.relpath(path, self.plan.root), getattr(torn, "size", 0)
            line = asdict(Step(mine, call, name, size))
            _system.write(self.log, (json.dumps(line) + "\n").encode())
        if mine == self.plan.number and not self.plan.struck.exists():
            self.strike(call, path, do, torn)
        elif self.plan.lasting and self.is_refused(call, path) and self.plan.trouble.exists():
            raise self.refusal(call, path)
        return do()

    def strike(
        self, call: str, path: str, do: Callable[[], Any], torn: Callable[[], Any] | None
    ) -> None:
        _touch(self.plan.struck)
        if self.plan.deed == "refuse":
            if self.plan.lasting:
                _touch(self.plan.trouble)
            raise self.refusal(call, path)
        if self.plan.deed == "fill":
            fill(Path(self.plan.where), self.plan.left_bytes)
            return
        try:
            if self.plan.deed == "torn" and torn is not None:
                torn()
            elif self.plan.deed == "after":
                do()
        finally:  # also when the system refused
            os.kill(os.getpid(), signal.SIGKILL)

    def is_refused(self, call: str, path: str) -> bool:
        below = _is_below(path, self.plan.where)
        return below and (self.plan.error not in FULL or call in _TAKES_SPACE)

    def refusal(self, call: str, path: str) -> Exception:
        if call.startswith("sqlite"):
            return sqlite3.OperationalError(_SQLITE_SAYS[self.plan.error])
        return OSError(self.plan.error, os.strerror(self.plan.error), path)


class _System:
    """The calls as they were before anything was wrapped."""

    open, write, close, fsync = os.open, os.write, os.close, os.fsync
    file = staticmethod(io.open)
    connect = sqlite3.connect


_system = _System


class _Wrapping:
    """Puts itself between a process and the system."""

    def __init__(self, steps: _Steps) -> None:
        self.steps = steps

    def install(self) -> None:
        for name, call in (
            ("mkdir", "mkdir"),
            ("rmdir", "rmdir"),
            ("unlink", "unlink"),
            ("remove", "unlink"),
            ("rename", "rename"),
            ("replace", "rename"),
            ("truncate", "truncate"),
        ):
            setattr(os, name, self.of_path(call, getattr(os, name)))
        for name, call in (
            ("fsync", "fsync"),
            ("ftruncate", "truncate"),
            ("posix_fallocate", "fallocate"),
        ):
            setattr(os, name, self.of_descriptor(call, getattr(os, name)))
        os.open = self.os_open  # type: ignore[assignment]
        os.write = self.os_write  # type: ignore[assignment]
        io.open = builtins.open = self.file  # type: ignore[assignment]
        sqlite3.connect = self.connect  # type: ignore[assignment]

    def of_path(self, call: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(path: Any, *args: Any, **kwargs: Any) -> Any:
            # A rename is told by where it leads.
            name = _named(args[0] if call == "rename" else path, kwargs.get("dir_fd"))
            return self.steps.take(call, name, lambda: original(path, *args, **kwargs))

        return wrapped

    def of_descriptor(self, call: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(descriptor: int, *args: Any) -> Any:
            name = _of_descriptor(descriptor)
            return self.steps.take(call, name, lambda: original(descriptor, *args))

        return wrapped

    def os_open(self, path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        def do() -> int:
            return _system.open(path, flags, *args, **kwargs)

        if not flags & (os.O_CREAT | os.O_TRUNC):
            return do()
        return self.steps.take("open", _named(path, kwargs.get("dir_fd")), do)

    def os_write(self, descriptor: int, data: Any) -> int:
        name = _of_descriptor(descriptor)
        half = _Torn(lambda part: _system.write(descriptor, part), data)
        return self.steps.take("write", name, lambda: _system.write(descriptor, data), half)

    def file(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        """`open`, in its layers, so that each write to the system is seen."""
        if isinstance(file, int) or not set(mode) & set("wxa+"):
            return _system.file(file, mode, buffering, encoding, errors, newline, closefd, opener)
        steps, plain = self.steps, mode.replace("b", "").replace("t", "")
        raw = steps.take("open", _named(file, None), lambda: _File(steps, file, plain, opener))
        if buffering == 0:
            return raw
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        buffer = io.BufferedRandom(raw, size) if "+" in mode else io.BufferedWriter(raw, size)
        if "b" in mode:
            return buffer
        return io.TextIOWrapper(buffer, encoding, errors, newline, line_buffering=buffering == 1)

    def connect(self, database: Any, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        steps = self.steps

        class Connection(sqlite3.Connection):
            """Tells of the statements that write."""

            def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
                if not sql.startswith(("COMMIT", "PRAGMA journal_mode")):
                    return super().execute(sql, *values)
                call = f"sqlite {sql.split(maxsplit=1)[0]}"
                return steps.take(call, os.fspath(database), lambda: super_execute(self, sql))

        super_execute = sqlite3.Connection.execute
        kwargs["factory"] = Connection
        return steps.take(
            "sqlite connect",
            os.fspath(database),
            lambda: _system.connect(database, *args, **kwargs),
        )


class _File(io.FileIO):
    """A file whose writes are steps."""

    def __init__(self, steps: _Steps, file: Any, mode: str, opener: Any) -> None:
        super().__init__(file, mode, opener=opener)
        self.steps = steps
        self.path = _named(file, None)

    def write(self, data: Any) -> Any:
        whole = super().write
        return self.steps.take("write", self.path, lambda: whole(data), _Torn(whole, data))


class _Torn:
    """The first half of a write."""

    def __init__(self, write: Callable[[Any], Any], data: Any) -> None:
        self.data = memoryview(data).cast("B")
        self.size = len(self.data)
        self._write = write

    def __call__(self) -> None:
        self._write(self.data[: self.size // 2])


def fill(place: Path, left_bytes: int = 0) -> Path:
    """Fills the file system of `place`, which must be small, but for that many bytes."""
    ballast = place / "ballast"
    descriptor = _system.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        while (left := _free_bytes(place) - left_bytes) > 0:
            _system.write(descriptor, bytes(min(left, 1 << 20)))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    finally:
        _system.close(descriptor)
    return ballast


def _free_bytes(place: Path) -> int:
    status = os.statvfs(place)
    return status.f_bavail * status.f_frsize


def _touch(path: Path) -> None:
    _system.close(_system.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


# Plain strings here: what pathlib calls is what is wrapped.
def _is_below(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder}/")


def _named(path: Any, folder: int | None) -> str:
    text = os.fsdecode(path)
    if folder is not None and not text.startswith("/"):
        return f"{_of_descriptor(folder)}/{text}"
    return os.path.abspath(text)  # noqa: PTH100


def _of_descriptor(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
