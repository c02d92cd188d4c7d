"""The watch service: settled bounces go into the ledger, jobs come out of it one at a time.

intake (its own thread) ─► ledger ─► this loop ─► Engine.convert ─► ledger
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Protocol

from filelock import FileLock, Timeout

from bridge import publish
from bridge.errors import AlreadyWatched, BounceChanged, StembridgeError, UsageError
from bridge.intake.claim import identify
from bridge.intake.intake import Intake, Settled
from bridge.intake.names import output_name
from bridge.ledger.recover import recover
from bridge.places import OUTPUT_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bridge.config import Settings
    from bridge.ledger.states import Job
    from bridge.ledger.store import Ledger
    from bridge.report import Manifest
    from bridge.service import Engine


LONGEST_WAIT_S = 0.2  # how late Ctrl-C or the end of --once may be noticed


class Audience(Protocol):
    """Whoever shows what the service does."""

    def note(self, text: str) -> None:
        """Something the user should know."""

    def started(self, job: Job) -> None:
        """A job begins."""

    def progress(self, job: Job, stage: str, share: float) -> None:
        """A stage of the running job is done to this share (0..1)."""

    def done(self, job: Job, manifest: Manifest) -> None:
        """The stems are published."""

    def skipped(self, job: Job) -> None:
        """The content was done before; its stems are still there."""

    def failed(self, job: Job, reason: str, *, retry: bool) -> None:
        """The job failed, for good or until the next attempt."""

    def released(self, job: Job, reason: str) -> None:
        """The job ends without a verdict: its bounce is gone, or the service is asked to end."""


class _Stopped(Exception):
    """The service was asked to end while a job was running."""


@dataclass
class Tally:
    """What one run of the service did."""

    done: int = 0
    failed: int = 0
    skipped: int = 0


class Watch:
    """Watches one folder. The caller owns the thread.

    `stop` ends `run` between two blocks of audio: the running job is given back then.
    """

    def __init__(
        self,
        folder: Path,
        out_dir: Path | None,
        engine: Engine,
        ledger: Ledger,
        audience: Audience,
        *,
        poll: bool = False,
    ) -> None:
        self.folder = folder.absolute()
        self.out_dir = (out_dir or folder / OUTPUT_FOLDER).absolute()
        self._engine = engine
        self._ledger = ledger
        self._audience = audience
        self._recipe = engine.recipe(self.out_dir)
        self._wake = threading.Event()
        self._check_folders()
        settings = engine.settings
        poll = poll or settings.poll
        self._intake = Intake(
            self.folder,
            output_dirs=(self.out_dir,),
            on_settled=self._offer,
            known=self._known,
            warn=audience.note,
            rescan_s=settings.rescan_s,
            polling_s=settings.poll_s,
            polling=poll,
        )

    def run(self, stop: threading.Event, *, once: bool = False) -> Tally:
        """Works until `stop` is set; with `once`, until all that is there is worked off.

        Raises:
            AlreadyWatched: another service owns this folder.
            KeyboardInterrupt: passed on, after the running job was given back.
        """
        tally = Tally()
        over = threading.Event()
        intake = threading.Thread(target=self._run_intake, args=(over,), name="intake")
        with _owned(self.folder, self._engine.settings):
            publish.sweep(self.out_dir)
            recover(self._ledger, self.folder)
            intake.start()
            try:
                self._loop(stop, over, tally, once=once)
            finally:
                over.set()
                intake.join()
        return tally

    def _loop(
        self, stop: threading.Event, over: threading.Event, tally: Tally, *, once: bool
    ) -> None:
        while not (stop.is_set() or over.is_set()):
            idle = self._intake.idle  # asked before the ledger: what settles later wakes us again
            self._wake.clear()
            job = self._ledger.claim_next(self.folder)
            if job is not None:
                self._work(job, tally, stop)
            elif once and idle and self._ledger.due_in_s(self.folder) is None:
                return
            else:
                self._wake.wait(LONGEST_WAIT_S)

    def _run_intake(self, over: threading.Event) -> None:
        try:
            self._intake.run(over)
        except Exception as error:  # the service must not go on blind
            self._audience.note(f"the intake stopped: {error}; restart the service")
            over.set()
            raise

    def _known(self, path: Path, size: int, mtime_ns: int) -> bool:
        return self._ledger.known(self.folder, path, size, mtime_ns, self._recipe)

    def _offer(self, settled: Settled) -> None:
        job = self._ledger.offer(
            self.folder,
            settled.path,
            settled.size,
            settled.mtime_ns,
            settled_s=time.time(),
            recipe=self._recipe,
        )
        if job is not None:
            self._wake.set()

    def _work(self, job: Job, tally: Tally, stop: threading.Event) -> None:
        self._audience.started(job)
        try:
            self._convert(job, tally, stop)
        except BounceChanged as error:
            self._ledger.withdraw(job, str(error))
            self._audience.released(job, str(error))
        except _Stopped:
            self._ledger.requeue(job)
            self._audience.released(job, "stopped; the next service does it")
        except StembridgeError as error:
            self._fail(job, tally, error.code, str(error), retryable=error.retryable)
        except KeyboardInterrupt:
            self._ledger.requeue(job)
            raise
        except Exception as error:  # noqa: BLE001 one bounce must not end the service
            traceback.print_exc()
            reason = f"internal error: {type(error).__name__}: {error}; please report it"
            self._fail(job, tally, "internal", reason, retryable=False)

    def _convert(self, job: Job, tally: Tally, stop: threading.Event) -> None:
        def listen(stage: str, share: float) -> None:
            if stop.is_set():
                raise _Stopped
            self._audience.progress(job, stage, share)

        bounce = identify(job.path)
        earlier = self._ledger.identified(job, bounce.sha256)
        if earlier and earlier.manifest_path and earlier.manifest_path.exists():
            self._ledger.skip(job, earlier)
            tally.skipped += 1
            self._audience.skipped(job)
            return
        taken = self._ledger.output_names(self.out_dir, self.folder)
        place = output_name(PurePath(job.source_path), taken)
        job = self._ledger.assign_output(job, place)
        manifest, path = self._engine.convert_identified(
            bounce,
            self.out_dir / place,
            self.out_dir,
            listen,
        )
        self._ledger.done(job, path)
        tally.done += 1
        self._audience.done(job, manifest)

    def _fail(self, job: Job, tally: Tally, code: str, reason: str, *, retryable: bool) -> None:
        after = self._ledger.failed(job, code, reason, retryable=retryable)
        retry = after.state.value == "pending"
        tally.failed += not retry
        self._audience.failed(job, reason, retry=retry)

    def _check_folders(self) -> None:
        if not self.folder.is_dir():
            raise UsageError(f"{self.folder} is not a folder: create it or name another")
        if self.out_dir == self.folder or self.out_dir in self.folder.parents:
            raise UsageError(
                f"the stems cannot go into {self.out_dir}: the watched folder is in it, and they "
                "would be taken for bounces; name a folder inside or beside the watched one"
            )


@contextmanager
def _owned(folder: Path, settings: Settings) -> Iterator[None]:
    """One service for each folder: a lock file in the state folder."""
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    path = settings.state_dir / "locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise AlreadyWatched(
            f"another stembridge watches {folder} already: end that one first"
        ) from None
    try:
        yield
    finally:
        lock.release()
