"""Which process is meant by a number: numbers are used again, after a restart even soon."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Field 22 of /proc/PID/stat, proc(5); counted after the name in brackets, which may hold spaces.
_START_FIELD = 22 - 3

# The mark of a process that lives and does not let itself be asked since when.
UNKNOWN = ""


@dataclass(frozen=True, slots=True)
class Process:
    """A process as others can find it again.

    host: the computer, and on Linux the namespace in which `pid` counts. started: tells it from a
    later process of the same number; not a time that one may calculate with.
    """

    host: str
    pid: int
    start_mark: str

    @property
    def is_here(self) -> bool:
        """Whether this computer can tell if it lives."""
        return self.host == process_namespace()

    @property
    def is_gone(self) -> bool:
        """Whether it has ended for certain: False for another computer's."""
        if not self.is_here:
            return False
        now = start_mark(self.pid)
        return now is None or (now != self.start_mark and UNKNOWN not in {now, self.start_mark})


def this_process() -> Process:
    """The process that asks."""
    return Process(process_namespace(), os.getpid(), start_mark(os.getpid()) or UNKNOWN)


@lru_cache(maxsize=1)
def process_namespace() -> str:
    """The name of the place where our process numbers mean something.

    Two containers on one computer may have one host name, and different processes of one number.
    """
    host = socket.gethostname()
    try:
        return f"{host} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return host


def start_mark(pid: int) -> str | None:
    """A mark that no other process of this number has; None when there is no such process.

    A zombie, which only waits to be collected, counts as ended.
    """
    try:
        if Path("/proc/self/stat").exists():  # Linux
            return _started_linux(pid)
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.NoSuchProcess:
        return None
    except (psutil.AccessDenied, OSError):
        return UNKNOWN


def _started_linux(pid: int) -> str | None:
    """Ticks since the computer started, and which start; a clock that is set moves neither."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return UNKNOWN if _is_hidden(pid) else None
    if fields[0] in {"Z", "X"}:
        return None
    boot = _BOOT_ID.read_text(encoding="ascii").strip()
    return f"{boot} {fields[_START_FIELD]}"


def _is_hidden(pid: int) -> bool:
    """Whether it is another user's, on a system that shows everybody only his own (hidepid)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        pass
    return False  # it has ended, or began just now
