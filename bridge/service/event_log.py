"""Log of the service: JSON lines in rotating files.

Errors are swallowed: a log that cannot be written must not stop the jobs that it records.
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
# An event takes about 300 bytes, a bounce two events: 25 MB hold 40,000 bounces.
FILE_BYTES, FILES = 5_000_000, 5


class EventLog:
    """Event listener that writes one JSON line for each event.

    Each line has time (UTC), level, event, pid and folder. Lines about a job add its number and
    bounce and, at its end, code, reason and seconds.

    Args:
        folder: folder of the log files.
        watched: folder that the service watches.
        clock: wall clock in seconds.
    """

    def __init__(
        self, folder: Path, watched: Path, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._watched = watched
        self._clock = clock
        self._began_s: dict[int, float] = {}
        self._handler = _SharedFile(folder / FILE)

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self._handler.close()

    def note(self, text: str) -> None:
        """See `EventListener`."""
        self._write("info", "note", {"text": text})

    def event(self, name: str, text: str, **facts: object) -> None:
        """See `EventListener`."""
        level = "debug" if name in _DEBUG else "info" if name in _INFO else "warning"
        self._write(level, name, {"text": text, **facts})

    def started(self, job: Job) -> None:
        """See `EventListener`."""
        self._began_s[job.id] = time.monotonic()
        self._write("info", "started", {**_job_facts(job), "attempt": job.attempts})

    def progress(self, job: Job, stage: str, share: float) -> None:
        """Ignore progress, which comes many times a second."""

    def done(self, job: Job, manifest: Manifest) -> None:
        """See `EventListener`."""
        stages = {name: round(seconds, 3) for name, seconds in manifest.seconds.items()}
        facts = {"stages": stages, "warnings": list(manifest.warnings)}
        self._write_end("info", "done", job, facts)

    def skipped(self, job: Job) -> None:
        """See `EventListener`."""
        facts = {"code": job.code, "reason": job.reason} if job.has_no_stems else {}
        self._write_end("info", "skipped", job, facts)

    def failed(self, job: Job, reason: str, *, retry: bool) -> None:
        """See `EventListener`."""
        facts = {"code": job.code, "reason": reason, "attempt": job.attempts}
        self._write_end("warning" if retry else "error", "retry" if retry else "failed", job, facts)

    def released(self, job: Job, reason: str) -> None:
        """See `EventListener`."""
        self._write_end("info", "released", job, {"reason": reason})

    def _write_end(self, level: str, event: str, job: Job, facts: dict[str, Any]) -> None:
        began_s = self._began_s.pop(job.id, None)
        if began_s is not None:
            facts = {"seconds": round(time.monotonic() - began_s, 3), **facts}
        self._write(level, event, {**_job_facts(job), **facts})

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
        text = json.dumps(line, default=str)  # ASCII: a file name may not be valid Unicode
        self._handler.handle(logging.makeLogRecord({"msg": text, "name": event}))


# Level "info"; events in neither set are warnings.
_INFO = frozenset({"began", "ended", "resumed", "reloaded", "recovered", "swept", "not-read"})
_DEBUG = frozenset({"left-alone"})


def _job_facts(job: Job) -> dict[str, object]:
    return {"job": job.id, "bounce": str(job.source_path)}


class _SharedFile(RotatingFileHandler):
    """A rotating file shared by several services; each line is appended with one write."""

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
        """Ignore the error; see the module docstring."""

    def _open(self) -> Any:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return super()._open()

    def shouldRollover(self, record: logging.LogRecord) -> int:  # noqa: N802 logging's name
        """Whether this line starts a new file; switches to one that another service started."""
        self._reopen_rotated()
        return int(super().shouldRollover(record))

    def doRollover(self) -> None:  # noqa: N802 logging's name
        """Start a new file, unless another service is just doing so."""
        with suppress(Timeout), self._lock_file:
            self._reopen_rotated()  # another service may have rotated since the check
            if self.stream is not None:
                super().doRollover()

    def _reopen_rotated(self) -> None:
        if self.stream is None or self.stream.closed:
            self.stream = None  # closed by an error while its last line was written
            return
        try:
            same = os.path.samestat(os.fstat(self.stream.fileno()), self._path.stat())
        except FileNotFoundError:
            same = False
        if not same:
            full, self.stream = self.stream, None
            full.close()
