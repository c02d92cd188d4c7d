"""The service's log: one JSON object a line, in files that take turns. Whatever fails here is
swallowed: a log that cannot be written must not hold up the work that it is about.
"""

from __future__ import annotations

import json
import logging
import os
import time
from contextlib import suppress
from datetime import datetime, timezone
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bridge.ledger.states import Job
    from bridge.publish.manifest import Manifest

FILE = "service.jsonl"
# An event is about 300 bytes, a bounce makes two: 25 MB are 40,000 bounces.
FILE_BYTES, FILES = 5_000_000, 5


class EventLog:
    """An events that keeps what it hears; see `bridge.service.events.EventListener`.

    Each line has time (UTC), level, event, pid and folder; lines about a job have its number, its
    bounce and, when it ends, code, reason and seconds. folder: where the files go. watched: what
    the service watches. clock: wall clock seconds.
    """

    def __init__(
        self, folder: Path, watched: Path, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._watched = watched
        self._clock = clock
        self._began_s: dict[int, float] = {}
        self._handler = _SharedFile(folder / FILE)

    def close(self) -> None:
        """Closes the file."""
        with suppress(OSError):
            self._handler.close()

    def note(self, text: str) -> None:
        """See `bridge.service.events.EventListener`."""
        self._write("info", "note", {"text": text})

    def event(self, name: str, text: str, **facts: object) -> None:
        """See `bridge.service.events.EventListener`."""
        level = "debug" if name in _DETAILS else "info" if name in _GOOD else "warning"
        self._write(level, name, {"text": text, **facts})

    def started(self, job: Job) -> None:
        """See `bridge.service.events.EventListener`."""
        self._began_s[job.id] = time.monotonic()
        self._write("info", "started", {**_about(job), "attempt": job.attempts})

    def progress(self, job: Job, stage: str, share: float) -> None:
        """Not kept: it comes many times a second."""

    def done(self, job: Job, manifest: Manifest) -> None:
        """See `bridge.service.events.EventListener`."""
        stages = {name: round(seconds, 3) for name, seconds in manifest.seconds.items()}
        facts = {"stages": stages, "warnings": list(manifest.warnings)}
        self._ended("info", "done", job, facts)

    def skipped(self, job: Job) -> None:
        """See `bridge.service.events.EventListener`."""
        facts = {"code": job.code, "reason": job.reason} if job.has_no_stems else {}
        self._ended("info", "skipped", job, facts)

    def failed(self, job: Job, reason: str, *, retry: bool) -> None:
        """See `bridge.service.events.EventListener`."""
        facts = {"code": job.code, "reason": reason, "attempt": job.attempts}
        self._ended("warning" if retry else "error", "retry" if retry else "failed", job, facts)

    def released(self, job: Job, reason: str) -> None:
        """See `bridge.service.events.EventListener`."""
        self._ended("info", "released", job, {"reason": reason})

    def _ended(self, level: str, event: str, job: Job, facts: dict[str, Any]) -> None:
        began_s = self._began_s.pop(job.id, None)
        if began_s is not None:
            facts = {"seconds": round(time.monotonic() - began_s, 3), **facts}
        self._write(level, event, {**_about(job), **facts})

    def _write(self, level: str, event: str, facts: dict[str, object]) -> None:
        now = datetime.fromtimestamp(self._clock(), timezone.utc)
        line = {
            "time": now.isoformat(timespec="milliseconds"),
            "level": level,
            "event": event,
            "pid": os.getpid(),
            "folder": str(self._watched),
            **facts,
        }
        text = json.dumps(line, default=str)  # ASCII: names may hold bytes that are no text
        self._handler.handle(logging.makeLogRecord({"msg": text, "name": event}))


# Everything else that happens to a service is worth a look.
_GOOD = frozenset({"began", "ended", "resumed", "reloaded", "recovered", "swept", "not-read"})
_DETAILS = frozenset({"left-alone"})


def _about(job: Job) -> dict[str, object]:
    return {"job": job.id, "bounce": str(job.source_path)}


class _SharedFile(RotatingFileHandler):
    """A rotating file that several services write into, each line with one write at its end."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path,
            maxBytes=FILE_BYTES,
            backupCount=FILES - 1,
            encoding="ascii",
            delay=True,  # opened by the first event, where failing is expected
        )
        self._path = path
        self._lock_file = FileLock(path.with_suffix(".lock"), timeout=0)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 logging's name
        """Nothing: see above."""

    def _open(self) -> Any:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return super()._open()

    def shouldRollover(self, record: logging.LogRecord) -> int:  # noqa: N802 logging's name
        """Whether this line goes into a new file; follows another service that began one."""
        self._follow()
        return int(super().shouldRollover(record))

    def doRollover(self) -> None:  # noqa: N802 logging's name
        """Begins a new file, unless another service is just doing so."""
        with suppress(Timeout), self._lock_file:
            self._follow()  # it may have done so since we looked: then ours is full no more
            if self.stream is not None:
                super().doRollover()

    def _follow(self) -> None:
        if self.stream is None or self.stream.closed:
            self.stream = None  # closed: a full disk did not take its last line
            return
        try:
            same = os.path.samestat(os.fstat(self.stream.fileno()), self._path.stat())
        except FileNotFoundError:
            same = False
        if not same:
            full, self.stream = self.stream, None  # as RotatingFileHandler itself does
            full.close()
