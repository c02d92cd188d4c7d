"""The watch service: settled bounces go into the ledger, jobs come out of it one at a time.

intake (its own thread) ─► ledger ─► this loop ─► Engine.convert ─► ledger
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from bridge import asking, pause, publish
from bridge.beside import Beside
from bridge.errors import LedgerBlocked, LedgerError, StembridgeError, UsageError
from bridge.intake.intake import Intake, Settled
from bridge.ledger.recover import recover
from bridge.ledger.states import State
from bridge.pause import Pause, Stopped
from bridge.places import OUTPUT_FOLDER
from bridge.reload import changes
from bridge.upkeep import Upkeep
from bridge.work import Block, Tally, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bridge.audience import Audience
    from bridge.ledger.services import Service
    from bridge.ledger.states import Job
    from bridge.ledger.store import Ledger
    from bridge.service import Engine

LONGEST_WAIT_S = 0.2  # how late Ctrl-C or the end of --once may be noticed
# A service tries again for as long as it takes, but in between it looks whether it is to end.
LEDGER_PATIENCE_S = 2.0


class Watch:
    """Watches one folder. The caller owns the thread.

    `stop` ends `run` within a second, a running job is given back then. reread: makes an engine
    from the settings as they are now; asked for by `reload`, which any thread may set.
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
        reread: Callable[[], Engine] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.out_dir = (out_dir or folder / OUTPUT_FOLDER).absolute()
        self.reload = threading.Event()
        self._engine = engine
        self._ledger = ledger
        self._audience = audience
        self._recipe = engine.recipe(self.out_dir)
        self._beside = Beside(engine, self.folder, self.out_dir)
        self._reread = reread or (lambda: engine)
        self._wake = threading.Event()
        self._over = threading.Event()
        self._stop = threading.Event()
        self._pause = Pause(audience, self._ended)
        self._check_folders()
        settings = engine.settings
        poll = poll or settings.poll
        self._intake = Intake(
            self.folder,
            output_dirs=(self.out_dir,),
            on_settled=self._offer,
            known=self._known,
            warn=lambda text: audience.event("intake", text),
            rescan_s=settings.rescan_s,
            polling_s=settings.poll_s,
            polling=poll,
        )

    def run(self, stop: threading.Event, *, once: bool = False) -> Tally:
        """Works until `stop` is set; with `once`, until all that is there is worked off.

        With `once` what blocks the work ends it; else the service waits until that is over.

        Raises:
            AlreadyWatched: another service makes other stems of this folder.
            KeyboardInterrupt: passed on, after the running job was given back.
        """
        tally = Tally()
        self._stop = stop
        self._over.clear()
        self._pause.longest_s = pause.ONCE_PATIENCE_S if once else math.inf
        with self._serving() as service, self._intake_running(), suppress(Stopped):
            self._loop(service, tally, once=once)
        tally.blocked = tally.blocked or self._pause.gave_up
        return tally

    def ask(self, path: Path, preset: str | None = None) -> Job:
        """A job for a file, wherever it lies; see `asking.ask`. For any thread."""
        job = asking.ask(self._ledger, self._beside, self.folder, path, preset)
        self._wake.set()
        return job

    def standing(self) -> tuple[dict[State, int], str | None]:
        """How many jobs are in each state, and what the work waits for. Raises LedgerError."""
        return self._ledger.counts(self.folder), self._pause.reason

    @contextmanager
    def _serving(self) -> Iterator[Service]:
        """This process serves the folder; what an earlier one left behind is put right."""
        service = self._ledger.services.begin(self.folder, self._recipe)
        upkeep = Upkeep(
            self._ledger,
            service,
            state=lambda: (self._recipe, self._pause.reason),
            reload=self.reload.set,
            taken=self._taken_over,
        )
        thread = threading.Thread(target=upkeep.run, args=(self._over,), name="upkeep", daemon=True)
        try:
            self._tidy()
            thread.start()
            yield service
        finally:
            self._over.set()
            if thread.is_alive():
                thread.join(LONGEST_WAIT_S)  # it may be waiting for the ledger, and needs no end
            with suppress(LedgerError):  # then its process tells that it ended
                self._ledger.services.end(service)

    @contextmanager
    def _intake_running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run_intake, name="intake")
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _tidy(self) -> None:
        swept = publish.sweep(self.out_dir)
        if swept:
            text = f"removed what {swept} job(s) of a service that died had begun"
            self._audience.event("swept", text, folders=swept)
        report = recover(self._ledger, self.folder)
        if report.requeued:
            text = f"{report.requeued} job(s) of a service that died begin anew"
            self._audience.event("recovered", text, requeued=report.requeued)

    def _loop(self, service: Service, tally: Tally, *, once: bool) -> None:
        shared = (self._ledger, self._audience, self._pause, tally, self._ended)
        work = Work(self.folder, self.out_dir, *shared)
        while not self._ended():
            if self.reload.is_set():
                self.reload.clear()
                self._read_settings()
            block: Block | None = None
            idle = self._intake.idle  # asked before the ledger: what settles later wakes us again
            self._wake.clear()
            try:
                job = self._ledger.claim_next(self.folder, service.token)
                nothing_waits = job is None and self._ledger.due_in_s(self.folder) is None
            except LedgerBlocked as error:
                block = Block(error, lambda: self._ledger.counts(self.folder))
            else:
                if job is not None:
                    block = work.do(job, self._beside)
            if block is not None:
                if self._is_end(block, tally, once=once):
                    return
            elif job is not None:
                continue
            elif once and idle and nothing_waits:
                return
            else:
                self._wake.wait(LONGEST_WAIT_S)

    def _is_end(self, block: Block, tally: Tally, *, once: bool) -> bool:
        """Whether to end because of what blocks the work; if not, waits until that is over."""
        if once:
            tally.blocked = str(block.error)
            return True
        self._pause.wait_out(block.error, block.trial)
        return False

    def _ended(self) -> bool:
        return self._stop.is_set() or self._over.is_set()

    def _taken_over(self, job: Job) -> None:
        if job.state is State.PENDING:
            text = f"{job.source_path}: its service died; another one does it"
            self._audience.event("taken-over", text, job=job.id, bounce=str(job.source_path))
        self._wake.set()

    def _read_settings(self) -> None:
        """Between two jobs: a new engine, or the old one when the new settings are wrong."""
        try:
            engine = self._reread()
            engine.load(self._raise_when_ended)
            recipe = engine.recipe(self.out_dir)
        except StembridgeError as error:
            text = f"the settings were read again and stay as they were: {error}"
            self._audience.event("reload-refused", text, code=error.code, reason=str(error))
            return
        found = changes(self._engine, engine)
        self._engine, self._recipe = engine, recipe
        self._beside = Beside(engine, self.folder, self.out_dir)
        text = "; ".join(found) or "nothing has changed"
        self._audience.event("reloaded", f"settings read again: {text}", changes=found)

    def _raise_when_ended(self) -> None:
        if self._ended():
            raise Stopped

    def _run_intake(self) -> None:
        try:
            self._intake.run(self._over)
        except Stopped:
            pass
        except Exception as error:  # the service must not go on blind
            self._audience.event("intake", f"the intake stopped: {error}; restart the service")
            raise
        finally:
            self._over.set()

    def _known(self, path: Path, size: int, mtime_ns: int) -> bool:
        recipe = self._beside.recipe_for(path)
        return self._pause.patiently(
            lambda: self._ledger.known(self.folder, path, size, mtime_ns, recipe)
        )

    def _offer(self, settled: Settled) -> None:
        settled_s = time.time()
        recipe = self._beside.recipe_for(settled.path)
        job = self._pause.patiently(
            lambda: self._ledger.offer(
                self.folder,
                settled.path,
                settled.size,
                settled.mtime_ns,
                settled_s=settled_s,
                recipe=recipe,
            )
        )
        if job is not None:
            self._wake.set()

    def _check_folders(self) -> None:
        if not self.folder.is_dir():
            raise UsageError(f"{self.folder} is not a folder: create it or name another")
        if self.out_dir == self.folder or self.out_dir in self.folder.parents:
            raise UsageError(
                f"the stems cannot go into {self.out_dir}: the watched folder is in it, and they "
                "would be taken for bounces; name a folder inside or beside the watched one"
            )
