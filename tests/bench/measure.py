"""One command, run to its end: wall time, processor time, peak memory.

Peak memory is taken in two ways, because neither tells all. The kernel's own peak (resident set,
exact, free of cost) is that of the one largest process. The sum over the process and all its
descendants, sampled while they run, counts shared pages once: proportional set size on Linux,
unique set size elsewhere. Sampling walks page tables and costs time, so a race is timed without.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.peers import Command

SHORTEST_PAUSE_S = 0.02  # between two samples
PAUSE_PER_COST = 50  # samples take at most 2 % of one processor
LIMIT_S = 4 * 3600.0  # an hour of music on a slow machine
LAST_LINES = 5  # of what a failed command said
BOX = re.compile("[\u2500-\u257f|]")  # bars, too: they end a cell of a table
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
KIND = "PSS" if sys.platform == "linux" else "USS"


class CommandFailed(Exception):
    """A measured command ended with an error; the text has its last lines."""


@dataclass(frozen=True)
class Usage:
    """What one run took.

    cpu_s: user and system, of the process and the descendants that it waited for.
    process_peak_bytes: the kernel's peak of the largest process. tree_peak_bytes: sampled, see
    above. None: this system does not say, or nothing was sampled.
    """

    wall_s: float
    cpu_s: float | None = None
    process_peak_bytes: int | None = None
    tree_peak_bytes: int | None = None


def run(command: Command, log: Path, *, sampled: bool = False) -> Usage:
    """Runs a command with its output going to a file.

    sampled: measure the memory of the whole tree too.

    Raises:
        CommandFailed: it could not start, returned an error, or took more than LIMIT_S.
    """
    begun = time.perf_counter()
    process = _started(command, log)
    sampler = Sampler(process.pid) if sampled else None
    watch = threading.Timer(LIMIT_S, _end, (process.pid,))
    watch.daemon = True
    watch.start()
    try:
        cpu_s, peak_bytes = _wait(process)
    except BaseException:  # Ctrl-C: nothing is left running
        _end(process.pid)
        raise
    finally:
        wall_s = time.perf_counter() - begun
        watch.cancel()
        tree_bytes = sampler.stop() if sampler else None
    if process.returncode:
        raise CommandFailed(f"ended with {process.returncode}: {last_lines(log)}")
    return Usage(wall_s, cpu_s, peak_bytes, tree_bytes)


def _started(command: Command, log: Path) -> subprocess.Popen[bytes]:
    try:
        with log.open("wb") as stream:
            return subprocess.Popen(
                command.words,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=_environment(command),
            )
    except OSError as error:
        raise CommandFailed(f"did not start: {error}") from None


def _environment(command: Command) -> dict[str, str]:
    """Ours and the command's. An installed program has its bytecode, so all may write theirs."""
    kept = {name: value for name, value in os.environ.items() if name != NO_BYTECODE}
    return {**kept, **command.environment}


class Sampler:
    """Samples the memory of a process and its descendants in a thread, until stopped."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._peak_bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Ends the sampling; the highest sum in bytes."""
        self._stop.set()
        self._thread.join()
        return self._peak_bytes

    def _run(self) -> None:
        cost_s = 0.0
        while not self._stop.wait(max(SHORTEST_PAUSE_S, PAUSE_PER_COST * cost_s)):
            begun = time.thread_time()
            self._peak_bytes = max(self._peak_bytes, sum(_tree_bytes(self._root)))
            cost_s = time.thread_time() - begun


def _tree_bytes(root: psutil.Process) -> Iterator[int]:
    try:
        members = [root, *root.children(recursive=True)]
    except psutil.Error:
        return
    for member in members:
        try:
            memory = member.memory_full_info()
        except psutil.Error:  # it has just ended, or is a zombie
            continue
        yield memory.pss if KIND == "PSS" else memory.uss


def _wait(process: subprocess.Popen[bytes]) -> tuple[float | None, int | None]:
    """Waits for the end; processor time and the kernel's peak, where the system has them."""
    if not hasattr(os, "wait4"):
        process.wait()
        return None, None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit


def _end(pid: int) -> None:
    """A process that is ours, and all its descendants."""
    try:
        root = psutil.Process(pid)
        members = [*root.children(recursive=True), root]
    except psutil.Error:
        return
    for member in members:
        try:
            member.kill()
        except psutil.Error:
            continue


def last_line(log: Path, start: str) -> str:
    """The last line that begins so, among whatever warnings; an empty one if there is none."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line for line in reversed(lines) if line.startswith(start)), "")


def last_lines(log: Path) -> str:
    """The end of what a command said, in one line: no frames of boxes, paths from our root on."""
    text = log.read_text(encoding="utf-8", errors="replace").replace(f"{ROOT}{os.sep}", "")
    lines = [" ".join(BOX.sub(" ", line).split()) for line in text.splitlines()]
    return "; ".join([line for line in lines if line][-LAST_LINES:])
