"""Identification of processes, whose numbers the system reuses."""

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

# Start mark of a live process that this user may not query.
UNKNOWN = ""


@dataclass(frozen=True, slots=True)
class Process:
    """Identity of a process, for other processes.

    Attributes:
        host: host name, and on Linux the namespace of `pid`.
        pid: process number.
        start_mark: distinguishes it from a later process with the same number; not a usable time.
    """

    host: str
    pid: int
    start_mark: str

    @property
    def is_here(self) -> bool:
        """Whether it is in the process namespace of this computer."""
        return self.host == process_namespace()

    @property
    def is_gone(self) -> bool:
        """Whether it has certainly ended; False for a process of another computer."""
        if not self.is_here:
            return False
        now = start_mark(self.pid)
        return now is None or (now != self.start_mark and UNKNOWN not in {now, self.start_mark})


def this_process() -> Process:
    """The current process."""
    return Process(process_namespace(), os.getpid(), start_mark(os.getpid()) or UNKNOWN)


@lru_cache(maxsize=1)
def process_namespace() -> str:
    """Name of the namespace of process numbers: host name, and on Linux the PID namespace.

    Two containers may have the same host name, but different processes with one number.
    """
    host = socket.gethostname()
    try:
        return f"{host} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return host


def start_mark(pid: int) -> str | None:
    """Mark that distinguishes a process from others with the same number; None if it has ended.

    A zombie counts as ended.
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
    """Boot ID and start time in ticks since boot; setting the clock changes neither."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return UNKNOWN if _is_hidden(pid) else None
    if fields[0] in {"Z", "X"}:
        return None
    boot = _BOOT_ID.read_text(encoding="ascii").strip()
    return f"{boot} {fields[_START_FIELD]}"


def _is_hidden(pid: int) -> bool:
    """Whether it belongs to another user, on a system that hides those (hidepid)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        pass
    return False  # it has ended or has just begun
