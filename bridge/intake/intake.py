"""The thread that turns a watched folder into settled bounces, each handed on once.

Hints say where to look at once, walks find what no hint told of, settle.py decides. Nothing here
opens a file for more than its first bytes.
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

# How late a stop may be noticed. Hints wake the thread at once whatever this says.
_MAX_WAIT_S = 0.2

# A walk over a slow drive pauses for nine times its own length, so that it takes a tenth of the
# time.
_REST_PER_WALK = 9.0
_MIN_BETWEEN_WALKS_S = 1.0

FileState = tuple[int, int]  # size, mtime_ns

# Finished by the looks of it only: nobody has said that it is closed.
_UNCLOSED = (settle.Ready(settle.Reason.COMPLETE), settle.Ready(settle.Reason.QUIET))


@dataclass(frozen=True, slots=True)
class Settled:
    """A finished bounce: size in bytes, modification time in ns.

    seen_s: when its present state was first seen, by the intake's clock.
    """

    path: Path
    size: int
    mtime_ns: int
    seen_s: float
    reason: settle.Reason


class Intake:
    """Watches `folder` and calls `on_settled` once for each finished bounce, in `run`'s thread.

    output_dirs: never entered. known: whether (path, size, mtime_ns) needs no settling because the
    ledger has it. warn: gets one line for the user. rescan_s, polling_s: seconds between two walks,
    with the system's events and without. polling: do without them from the start; they may also
    fail. Then `polling_times` decide. clock: monotonic seconds. held: whether a process has a file
    open for writing. on_not_read: gets files that cannot be bounces, each once.
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
        self._territory = FolderScanner(
            self._folder, tuple(path.absolute() for path in output_dirs)
        )
        self._watcher = Watcher(self._folder, polling=polling, warn=warn, native=notifier)
        self._on_settled, self._known, self._warn = on_settled, known, warn
        self._times, self._polling_times = times, polling_times
        self._held = held or OpenFiles(clock).hold
        self._rescan_s, self._polling_s, self._clock = rescan_s, polling_s, clock
        self._tracks: dict[Path, settle.FileHistory] = {}
        self._looks: list[tuple[float, Path]] = []  # a heap of when to look where
        self._due_s: dict[Path, float] = {}  # the one entry of the heap that counts
        self._handed_on: dict[Path, FileState] = {}
        self._rescan_at_s = clock()
        self._walked_at_s = -math.inf
        self._root: tuple[int, int] | None = None
        self._missing = False
        self._not_read = NotReadReporter(on_not_read) if on_not_read else None
        self._complained: set[str] = set()
        self._idle = threading.Event()

    @property
    def idle(self) -> bool:
        """True after the first walk while every bounce seen so far has been handed on."""
        return self._idle.is_set()

    @property
    def missing(self) -> bool:
        """True while the watched folder is not there."""
        return self._missing

    def wait_idle(self, timeout_s: float | None = None) -> bool:
        """Waits until `idle`; False when it took longer than `timeout_s`."""
        return self._idle.wait(timeout_s)

    def run(self, stop: threading.Event) -> None:
        """The thread's body: works until `stop` is set. Errors of the callbacks end it."""
        # Before the first walk: what appears in between is seen twice rather than never.
        self._watcher.start()
        try:
            while not stop.is_set():
                self.turn()
        finally:
            self._watcher.stop()

    def turn(self) -> None:
        """One round: wait for hints or the next look, then look where it is due."""
        for hint in self._watcher.take(self._wait_s()):
            self._follow(hint)
        if self._clock() >= self._rescan_at_s:
            self._rescan()
        while self._looks and self._looks[0][0] <= self._clock():
            due_s, path = heapq.heappop(self._looks)
            if self._due_s.get(path) == due_s:
                self._look(path)
        if self._tracks or self._clock() >= self._rescan_at_s:
            self._idle.clear()
        else:
            self._idle.set()

    def _wait_s(self) -> float:
        next_s = min(self._rescan_at_s, self._looks[0][0] if self._looks else self._rescan_at_s)
        return min(max(0.0, next_s - self._clock()), _MAX_WAIT_S)

    def _follow(self, hint: Hint) -> None:
        if hint.kind is HintKind.OVERFLOW:
            self._rescan_soon()
        elif hint.kind is HintKind.REMOVED:
            self._removed(hint.path)
        elif hint.kind is HintKind.CHANGED and _is_folder(hint.path):
            self._take_in(self._territory.scan_below(hint.path))
        elif self._territory.admits(hint.path):
            self._look(hint.path, closed=hint.kind is not HintKind.CHANGED)
        elif self._not_read and (other := self._territory.other(hint.path)):
            self._not_read.seen(other)

    def _removed(self, path: Path) -> None:
        if path in self._handed_on or path in self._tracks:
            self._look(path)  # forgets it, unless it is back already
        elif not is_bounce_name(path.name) and self._territory.admits_folder(path):
            self._rescan_soon()  # perhaps a folder, with bounces below

    def _rescan(self) -> None:
        began_s = self._clock()
        scan = self._territory.scan()
        if self._is_another_folder(scan):
            self._watcher.restart()
            scan = self._territory.scan()
        self._take_in(scan)
        for folder in scan.unreadable:
            self._complain(f"cannot look into {folder.path} ({folder.reason})")
        if not scan.missing and not scan.unreadable:
            present = {found.path for found in scan.files}
            for path in (self._handed_on.keys() | self._tracks.keys()) - present:
                self._look(path)  # forgets it, unless it came since the walk passed
        now_s = self._clock()
        self._walked_at_s = now_s
        pause_s = self._polling_s if self._watcher.polling else self._rescan_s
        self._rescan_at_s = now_s + max(pause_s, _REST_PER_WALK * (now_s - began_s))

    def _rescan_soon(self) -> None:
        """At once, unless the last walk has only just ended: trouble comes in bursts."""
        self._rescan_at_s = min(self._rescan_at_s, self._walked_at_s + _MIN_BETWEEN_WALKS_S)

    def _is_another_folder(self, scan: Scan) -> bool:
        """Whether the folder came back, or another one has its name: events do not follow names."""
        was_missing, self._missing = self._missing, scan.missing
        if scan.missing:
            if not was_missing:
                self._warn(f"{self._folder} is missing; waiting for it to come back")
            return False
        before, self._root = self._root, scan.root
        return was_missing or before not in {None, scan.root}

    def _take_in(self, scan: Scan) -> None:
        if self._not_read:
            self._not_read.walked(scan)
        for found in scan.files:
            if self._handed_on.get(found.path) != (found.size, found.mtime_ns):
                self._look(found.path)

    def _look(self, path: Path, *, closed: bool = False) -> None:
        """Takes a look at one file and hands it on or says when to look again."""
        state = _file_state(path)
        if state is None:
            self._forget(path)
            self._handed_on.pop(path, None)
            return
        if self._handed_on.get(path) == state:
            self._forget(path)
            return
        look = settle.Observation(*state, self._clock())
        track, before = settle.FileHistory.first(look), self._tracks.get(path)
        if before is not None:
            track = before.seen(look)
        if track.since is look and self._known(path, *state):
            self._hand_on(path, state)
            return
        self._tracks[path] = track.close() if closed else track
        self._judge(path)

    def _judge(self, path: Path) -> None:
        track = self._tracks[path]
        times = self._polling_times if self._watcher.polling else self._times
        complete = _header_complete(path, track.last.size)
        if looks_published(path):
            # Perhaps a copied stem whose manifest is still to come: neither close nor header
            # decides then.
            complete = False
            times = settle.SettleTimes(times.quiet_s, times.quiet_s)
        decision = settle.decide(track, complete, times)
        if decision in _UNCLOSED:
            if self._held(path):
                decision = settle.decide_held(track, complete, times)
            if _file_state(path) != (track.last.size, track.last.mtime_ns):
                decision = settle.CheckAgain(self._clock())  # let go just now, after a last write
        if isinstance(decision, settle.CheckAgain):
            self._schedule(path, decision.at_s)
            return
        last = track.last
        self._hand_on(path, (last.size, last.mtime_ns))
        if self._territory.admits(path):
            self._on_settled(
                Settled(path, last.size, last.mtime_ns, track.since.time_s, decision.reason)
            )

    def _schedule(self, path: Path, at_s: float) -> None:
        if self._due_s.get(path) != at_s:
            self._due_s[path] = at_s
            heapq.heappush(self._looks, (at_s, path))

    def _hand_on(self, path: Path, state: FileState) -> None:
        self._forget(path)
        self._handed_on[path] = state

    def _forget(self, path: Path) -> None:
        self._tracks.pop(path, None)
        self._due_s.pop(path, None)

    def _complain(self, message: str) -> None:
        if message not in self._complained:
            self._complained.add(message)
            self._warn(message)


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _file_state(path: Path) -> FileState | None:
    """Size and modification time of a regular file; None when there is none (any more).

    None also for a file whose content is not on this machine: a look at its header would fetch it.
    """
    try:
        status = path.lstat()
    except OSError:
        return None
    is_here = stat.S_ISREG(status.st_mode) and not is_online_only(status)
    return (status.st_size, status.st_mtime_ns) if is_here else None


def _header_complete(path: Path, size: int) -> bool | None:
    """See settle.header_complete; False when the file cannot be read (a writer may lock it)."""
    try:
        with os.fdopen(open_regular(path), "rb", buffering=0) as file:
            return settle.header_complete(file.read(settle.HEADER_BYTES), size)
    except (OSError, errors.NotAudio):
        return False
