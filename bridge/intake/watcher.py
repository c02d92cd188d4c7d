"""File system events of a folder, as hints.

Events get lost (queue overflow, network drives, watch limits), so a hint only says where to look
next; scans find the truth.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import queue
import sys
import threading
import warnings
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from watchdog import events
from watchdog.observers import Observer

from bridge.intake.inotify import check_watches
from bridge.intake.mounts import network_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from watchdog.observers.api import BaseObserver

# watchdog delays a rename, and all later events, by 0.5 s until its second half arrives. The kernel
# queues both halves together; this is enough for a read that falls between them.
_RENAME_PAIRING_S = 0.02

_EVENTS: list[type[events.FileSystemEvent]] = [
    events.FileClosedEvent,
    events.FileCreatedEvent,
    events.FileMovedEvent,
    events.FileDeletedEvent,
    events.DirCreatedEvent,
    events.DirMovedEvent,
    events.DirDeletedEvent,
]
_ON_LINUX: bool = sys.platform == "linux"
if not _ON_LINUX:
    # The only event of a render over an existing file there. On Linux there is a close event, and a
    # growing render would send thousands of these.
    _EVENTS.append(events.FileModifiedEvent)


class HintKind(Enum):
    """Kind of a hint."""

    CLOSED = "closed"  # a writer closed the file
    MOVED_IN = "moved in"  # the file got this name by a rename
    CHANGED = "changed"  # a file or folder appeared or changed
    REMOVED = "removed"  # a file or folder is no longer here
    OVERFLOW = "overflow"  # hints were lost: walk the folder


@dataclass(frozen=True, slots=True)
class Hint:
    """One hint; `path` is the watched folder itself when the kind is OVERFLOW."""

    kind: HintKind
    path: Path


class Notifier(Protocol):
    """A source of hints."""

    def start(self) -> None:
        """Start. Raises OSError or RuntimeError when the system refuses."""

    def stop(self) -> None:
        """Stop; may be called more than once."""

    def alive(self) -> bool:
        """Whether further hints can come; False after a failure."""

    def take(self, timeout_s: float) -> list[Hint]:
        """All hints so far, oldest first; waits up to `timeout_s` for the first one."""


class PollingNotifier:
    """Notifier without hints: scans find everything."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start."""
        self._stopped.clear()

    def stop(self) -> None:
        """Stop, and let a waiting `take` return."""
        self._stopped.set()

    def alive(self) -> bool:
        """Always true."""
        return True

    def take(self, timeout_s: float) -> list[Hint]:
        """Wait, and return no hints."""
        self._stopped.wait(timeout_s)
        return []


class NativeNotifier:
    """Notifier with hints from system events, by watchdog."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hints: queue.SimpleQueue[Hint] = queue.SimpleQueue()
        self._observer: BaseObserver | None = None
        self._has_new_folder = threading.Event()
        self._warnings = _WarningHandler(lambda: self._hints.put(Hint(HintKind.OVERFLOW, folder)))

    def start(self) -> None:
        """Start, with all sub-folders. Raises OSError (as at watch limits) or RuntimeError."""
        observer = _new_observer()
        try:
            handler = _Handler(self._hints, self._has_new_folder)
            observer.schedule(handler, str(self._folder), recursive=True, event_filter=_EVENTS)
            observer.start()
            check_watches(self._folder)
        except (OSError, RuntimeError):
            observer.stop()
            raise
        _WATCHDOG_LOG.addHandler(self._warnings)
        self._observer = observer

    def stop(self) -> None:
        """Stop, and wait for watchdog's threads."""
        _WATCHDOG_LOG.removeHandler(self._warnings)
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            observer.join()

    def alive(self) -> bool:
        """Whether every thread of watchdog runs and every folder has its watch."""
        observer = self._observer
        if observer is None:
            return False
        if self._has_new_folder.is_set():
            self._has_new_folder.clear()
            try:
                check_watches(self._folder)
            except OSError:
                return False
        # The thread that reads inotify belongs to the emitter in watchdog 6, to the observer in 7.
        holders: list[threading.Thread] = [observer, *observer.emitters]
        held = [value for holder in holders for value in list(vars(holder).values())]
        threads = [*holders, *(value for value in held if isinstance(value, threading.Thread))]
        return all(thread.is_alive() for thread in threads)

    def take(self, timeout_s: float) -> list[Hint]:
        """All hints so far, oldest first; waits up to `timeout_s` for the first one."""
        hints: list[Hint] = []
        with contextlib.suppress(queue.Empty):
            hints.append(self._hints.get(timeout=max(0.0, timeout_s)))
            while True:
                hints.append(self._hints.get_nowait())
        return hints


class Watcher:
    """Hints about one folder from system events, with polling as the fallback.

    Args:
        folder: the watched folder.
        polling: use no events.
        warn: called once with a line for the user, when events are not available.
        native: makes the notifier for a folder.
        network: type of the network file system of a folder, if any; events of one are incomplete
            and not used.
    """

    def __init__(
        self,
        folder: Path,
        *,
        polling: bool,
        warn: Callable[[str], None],
        native: Callable[[Path], Notifier] = NativeNotifier,
        network: Callable[[Path], str | None] = network_type,
    ) -> None:
        self._folder = folder
        self._warn = warn
        self._native = native
        self._network = network
        self._wants_native = not polling
        self._warned = False
        self._notifier: Notifier = PollingNotifier()

    @property
    def polling(self) -> bool:
        """Whether there are no events at present."""
        return isinstance(self._notifier, PollingNotifier)

    def start(self) -> None:
        """Start, or fall back to polling."""
        self._notifier = PollingNotifier()
        if not self._wants_native:
            return
        if network := self._network(self._folder):
            self._warn_once(f"it is on a network drive, {network}")
        else:
            notifier = self._native(self._folder)
            try:
                notifier.start()
            except (OSError, RuntimeError) as error:
                self._warn_once(str(error))
            else:
                self._notifier = notifier

    def stop(self) -> None:
        """Stop."""
        self._notifier.stop()

    def restart(self) -> None:
        """Restart, for another folder under the same name."""
        self.stop()
        self.start()

    def take(self, timeout_s: float) -> list[Hint]:
        """All hints so far; ends with OVERFLOW when events failed and polling begins."""
        hints = self._notifier.take(timeout_s)
        if self._notifier.alive():
            return hints
        self._notifier.stop()
        self._notifier = PollingNotifier()
        self._warn_once("the system stopped sending them; `stembridge doctor` shows its limits")
        return [*hints, Hint(HintKind.OVERFLOW, self._folder)]

    def _warn_once(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            self._warn(
                f"no file events for {self._folder} ({reason}); it is scanned at intervals instead"
            )


def hints_of(event: events.FileSystemEvent) -> list[Hint]:
    """Convert a watchdog event to hints; empty for an irrelevant one."""
    source = os.fsdecode(event.src_path)
    if isinstance(event, (events.FileMovedEvent, events.DirMovedEvent)):
        moved = HintKind.CHANGED if event.is_directory else HintKind.MOVED_IN
        target = os.fsdecode(event.dest_path)
        # One end is empty when it lies outside the watched folder.
        out = [Hint(HintKind.REMOVED, Path(source))] if source else []
        return [*out, Hint(moved, Path(target))] if target else out
    if isinstance(event, events.FileClosedEvent):
        return [Hint(HintKind.CLOSED, Path(source))]
    if isinstance(
        event, (events.FileCreatedEvent, events.FileModifiedEvent, events.DirCreatedEvent)
    ):
        return [Hint(HintKind.CHANGED, Path(source))]
    if isinstance(event, (events.FileDeletedEvent, events.DirDeletedEvent)):
        return [Hint(HintKind.REMOVED, Path(source))]
    return []


class _Handler(events.FileSystemEventHandler):
    def __init__(self, hints: queue.SimpleQueue[Hint], has_new_folder: threading.Event) -> None:
        self._hints = hints
        self._has_new_folder = has_new_folder

    def dispatch(self, event: events.FileSystemEvent) -> None:
        if isinstance(event, (events.DirCreatedEvent, events.DirMovedEvent)):
            self._has_new_folder.set()
        for hint in hints_of(event):
            self._hints.put(hint)


# A queue overflow reaches no event handler: watchdog 7 repairs its watches and logs that, which is
# the only sign of lost hints. Any other warning there triggers a scan as well. watchdog 6 logs
# nothing; the next regular scan finds what was lost.
_WATCHDOG_LOG = logging.getLogger("watchdog.observers")


class _WarningHandler(logging.Handler):
    def __init__(self, report: Callable[[], None]) -> None:
        super().__init__(level=logging.WARNING)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        self._report()


def _new_observer() -> BaseObserver:
    if not _ON_LINUX:
        return Observer()
    from watchdog.observers.inotify import InotifyObserver

    # It warns when a folder is reported and found at the same moment, which is harmless.
    warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
    _shorten_rename_pairing()
    # "Full" events distinguish a file that was moved in from one that was created.
    return InotifyObserver(generate_full_events=True)


def _shorten_rename_pairing() -> None:
    # The delay is a class attribute; watchdog 6 (for Python 3.10) has another class.
    for module, name in (
        ("inotify_move_event_grouper", "InotifyMoveEventGrouper"),
        ("inotify_buffer", "InotifyBuffer"),
    ):
        with contextlib.suppress(ModuleNotFoundError):
            pairing: Any = getattr(importlib.import_module(f"watchdog.observers.{module}"), name)
            pairing.delay = _RENAME_PAIRING_S
