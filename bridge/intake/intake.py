"""Thread that watches a folder and reports each finished bounce once.

Hints from events say where to look at once, periodic scans find the rest, settle.py decides. At
most the first bytes of a file are read.
"""

from __future__ import annotations

import heapq
import math
import os
import stat
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge import errors
from bridge.intake import settle
from bridge.intake.exclusions import is_online_only
from bridge.intake.not_read import NotReadReporter
from bridge.intake.scan import FolderScanner, is_bounce_name, looks_published
from bridge.intake.watcher import Hint, HintKind, NativeNotifier, Notifier, Watcher
from bridge.intake.writers import OpenFiles
from bridge.source import open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from bridge.intake.not_read import NotRead
    from bridge.intake.scan import Scan

# How late a stop may be noticed; hints wake the thread at once.
_MAX_WAIT_S = 0.2

# Pause after a scan, in multiples of its duration: scans of a slow drive take a tenth of the time.
_PAUSE_PER_SCAN = 9.0
_MIN_BETWEEN_SCANS_S = 1.0

FileState = tuple[int, int]  # size, mtime_ns

# Decisions without a reported close.
_UNCLOSED = (settle.Ready(settle.Reason.COMPLETE), settle.Ready(settle.Reason.QUIET))


@dataclass(frozen=True, slots=True)
class Settled:
    """A finished bounce.

    Attributes:
        path: path of the file.
        size: size in bytes.
        mtime_ns: modification time in ns.
        seen_s: when this state was first seen, by the intake's clock.
        reason: why it counts as finished.
    """

    path: Path
    size: int
    mtime_ns: int
    seen_s: float
    reason: settle.Reason


class Intake:
    """Watches a folder and calls `on_settled` once for each finished bounce, in `run`'s thread.

    Args:
        folder: the watched folder.
        output_dirs: folders that are never entered.
        on_settled: called with each finished bounce.
        known: whether the ledger has (path, size, mtime_ns), so that it is not reported.
        warn: called with one line for the user.
        times: settle times with file system events.
        polling_times: settle times without events.
        rescan_s: seconds between two scans with events.
        polling_s: seconds between two scans without events.
        polling: use no events; they may also fail later.
        clock: monotonic clock in seconds.
        notifier: makes the source of events for a folder.
        held: whether a process has a file open for writing.
        on_not_read: called with files that cannot be bounces, each once.
    """

    def __init__(
        self,
        folder: Path,
        *,
        output_dirs: Iterable[Path],
        on_settled: Callable[[Settled], None],
        known: Callable[[Path, int, int], bool],
        warn: Callable[[str], None],
        times: settle.SettleTimes = settle.LOCAL,
        polling_times: settle.SettleTimes = settle.POLLING,
        rescan_s: float = 10.0,
        polling_s: float = 1.0,
        polling: bool = False,
        clock: Callable[[], float] = time.monotonic,
        notifier: Callable[[Path], Notifier] = NativeNotifier,
        held: Callable[[Path], bool] | None = None,
        on_not_read: Callable[[Sequence[NotRead]], None] | None = None,
    ) -> None:
        self._folder = folder.absolute()
        self._scanner = FolderScanner(self._folder, tuple(path.absolute() for path in output_dirs))
        self._watcher = Watcher(self._folder, polling=polling, warn=warn, native=notifier)
        self._on_settled, self._known, self._warn = on_settled, known, warn
        self._times, self._polling_times = times, polling_times
        self._held = held or OpenFiles(clock).is_written
        self._rescan_s, self._polling_s, self._clock = rescan_s, polling_s, clock
        self._histories: dict[Path, settle.FileHistory] = {}
        self._checks: list[tuple[float, Path]] = []  # a heap of (time, path)
        self._due_s: dict[Path, float] = {}  # the valid entry of the heap for each path
        self._reported: dict[Path, FileState] = {}
        self._rescan_at_s = clock()
        self._scanned_at_s = -math.inf
        self._root: tuple[int, int] | None = None
        self._missing = False
        self._not_read = NotReadReporter(on_not_read) if on_not_read else None
        self._warned: set[str] = set()
        self._idle = threading.Event()

    @property
    def idle(self) -> bool:
        """Whether the first scan is done and every bounce seen so far has been reported."""
        return self._idle.is_set()

    @property
    def missing(self) -> bool:
        """Whether the watched folder does not exist at present."""
        return self._missing

    def wait_idle(self, timeout_s: float | None = None) -> bool:
        """Wait until `idle`; returns False after `timeout_s`."""
        return self._idle.wait(timeout_s)

    def run(self, stop: threading.Event) -> None:
        """Watch until `stop` is set. Exceptions of the callbacks are passed on."""
        # Before the first scan, so that a file that appears in between is not missed.
        self._watcher.start()
        try:
            while not stop.is_set():
                self.turn()
        finally:
            self._watcher.stop()

    def turn(self) -> None:
        """Wait for hints or the next check, then do all checks that are due."""
        for hint in self._watcher.take(self._wait_s()):
            self._handle_hint(hint)
        if self._clock() >= self._rescan_at_s:
            self._rescan()
        while self._checks and self._checks[0][0] <= self._clock():
            due_s, path = heapq.heappop(self._checks)
            if self._due_s.get(path) == due_s:
                self._check(path)
        if self._histories or self._clock() >= self._rescan_at_s:
            self._idle.clear()
        else:
            self._idle.set()

    def _wait_s(self) -> float:
        next_s = min(self._rescan_at_s, self._checks[0][0] if self._checks else self._rescan_at_s)
        return min(max(0.0, next_s - self._clock()), _MAX_WAIT_S)

    def _handle_hint(self, hint: Hint) -> None:
        if hint.kind is HintKind.OVERFLOW:
            self._rescan_soon()
        elif hint.kind is HintKind.REMOVED:
            self._removed(hint.path)
        elif hint.kind is HintKind.CHANGED and _is_folder(hint.path):
            self._add_scan(self._scanner.scan_below(hint.path))
        elif self._scanner.admits(hint.path):
            self._check(hint.path, closed=hint.kind is not HintKind.CHANGED)
        elif self._not_read and (other := self._scanner.other(hint.path)):
            self._not_read.seen(other)

    def _removed(self, path: Path) -> None:
        if path in self._reported or path in self._histories:
            self._check(path)  # forgets it, unless it is back
        elif not is_bounce_name(path.name) and self._scanner.admits_folder(path):
            self._rescan_soon()  # it may have been a folder with bounces

    def _rescan(self) -> None:
        began_s = self._clock()
        scan = self._scanner.scan()
        if self._is_another_folder(scan):
            self._watcher.restart()
            scan = self._scanner.scan()
        self._add_scan(scan)
        for folder in scan.unreadable:
            self._warn_once(f"cannot look into {folder.path} ({folder.reason})")
        if not scan.missing and not scan.unreadable:
            present = {found.path for found in scan.files}
            for path in (self._reported.keys() | self._histories.keys()) - present:
                self._check(path)  # forgets it, unless it appeared since
        now_s = self._clock()
        self._scanned_at_s = now_s
        pause_s = self._polling_s if self._watcher.polling else self._rescan_s
        self._rescan_at_s = now_s + max(pause_s, _PAUSE_PER_SCAN * (now_s - began_s))

    def _rescan_soon(self) -> None:
        """Rescan at once, but at most once per `_MIN_BETWEEN_SCANS_S`."""
        self._rescan_at_s = min(self._rescan_at_s, self._scanned_at_s + _MIN_BETWEEN_SCANS_S)

    def _is_another_folder(self, scan: Scan) -> bool:
        """Whether the folder came back or was replaced; events follow the old one."""
        was_missing, self._missing = self._missing, scan.missing
        if scan.missing:
            if not was_missing:
                self._warn(f"{self._folder} is missing; waiting for it to come back")
            return False
        before, self._root = self._root, scan.root
        return was_missing or before not in {None, scan.root}

    def _add_scan(self, scan: Scan) -> None:
        if self._not_read:
            self._not_read.walked(scan)
        for found in scan.files:
            if self._reported.get(found.path) != (found.size, found.mtime_ns):
                self._check(found.path)

    def _check(self, path: Path, *, closed: bool = False) -> None:
        """Check one file: report it, or schedule the next check."""
        state = _file_state(path)
        if state is None:
            self._forget(path)
            self._reported.pop(path, None)
            return
        if self._reported.get(path) == state:
            self._forget(path)
            return
        observation = settle.Observation(*state, self._clock())
        history, before = settle.FileHistory.first(observation), self._histories.get(path)
        if before is not None:
            history = before.seen(observation)
        if history.since is observation and self._known(path, *state):
            self._mark_reported(path, state)
            return
        self._histories[path] = history.close() if closed else history
        self._judge(path)

    def _judge(self, path: Path) -> None:
        history = self._histories[path]
        times = self._polling_times if self._watcher.polling else self._times
        complete = _header_complete(path, history.last.size)
        if looks_published(path):
            # It may be a copied stem whose manifest is still to come, so only quiet decides.
            complete = False
            times = settle.SettleTimes(times.quiet_s, times.quiet_s)
        decision = settle.decide(history, complete, times)
        if decision in _UNCLOSED:
            if self._held(path):
                decision = settle.decide_held(history, complete, times)
            if _file_state(path) != (history.last.size, history.last.mtime_ns):
                decision = settle.CheckAgain(self._clock())  # closed just now, after a last write
        if isinstance(decision, settle.CheckAgain):
            self._schedule(path, decision.at_s)
            return
        last = history.last
        self._mark_reported(path, (last.size, last.mtime_ns))
        if self._scanner.admits(path):
            self._on_settled(
                Settled(path, last.size, last.mtime_ns, history.since.time_s, decision.reason)
            )

    def _schedule(self, path: Path, at_s: float) -> None:
        if self._due_s.get(path) != at_s:
            self._due_s[path] = at_s
            heapq.heappush(self._checks, (at_s, path))

    def _mark_reported(self, path: Path, state: FileState) -> None:
        self._forget(path)
        self._reported[path] = state

    def _forget(self, path: Path) -> None:
        self._histories.pop(path, None)
        self._due_s.pop(path, None)

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self._warn(message)


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _file_state(path: Path) -> FileState | None:
    """Size and modification time of a regular file; None if it is missing.

    None as well for an online-only file, as reading its header would download it.
    """
    try:
        status = path.lstat()
    except OSError:
        return None
    is_here = stat.S_ISREG(status.st_mode) and not is_online_only(status)
    return (status.st_size, status.st_mtime_ns) if is_here else None


def _header_complete(path: Path, size: int) -> bool | None:
    """See `settle.header_complete`; False for an unreadable file (its writer may lock it)."""
    try:
        with os.fdopen(open_regular(path), "rb", buffering=0) as file:
            return settle.header_complete(file.read(settle.HEADER_BYTES), size)
    except (OSError, errors.NotAudio):
        return False
