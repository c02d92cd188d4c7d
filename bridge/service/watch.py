"""The watch service: settled bounces go into the ledger, jobs come out of it.

intake (its own thread) ─► ledger ─► this loop ─► Converter.convert ─► ledger

One job at a time; with further converters, each runs jobs in a loop and thread of its own.
"""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from bridge.errors import LedgerBlocked, LedgerError, StembridgeError, UsageError
from bridge.intake import not_read
from bridge.intake.intake import Intake, Settled
from bridge.ledger.recover import recover
from bridge.ledger.states import State
from bridge.publish import transaction
from bridge.publish.locations import OUTPUT_FOLDER
from bridge.publish.output_names import output_name
from bridge.service import retry_wait, submit
from bridge.service.heartbeat import Heartbeat
from bridge.service.job_runner import Blockage, JobRunner, Tally
from bridge.service.preset_resolver import PresetResolver
from bridge.service.retry_wait import RetryWait, Stopped
from bridge.service.settings_diff import changes
from bridge.service.threads import ServiceThreads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from bridge.convert import Converter
    from bridge.intake.not_read import NotRead
    from bridge.ledger.services import Service
    from bridge.ledger.states import Job, Recipe
    from bridge.ledger.store import Ledger
    from bridge.service.events import EventListener
    from bridge.service.job_runner import ChooseOutputName
    from bridge.service.preset_resolver import PresetOverrides

# How late Ctrl-C or the end of `once` may be noticed.
LONGEST_WAIT_S = 0.2
# Seconds that one call waits for a locked ledger, before the loop checks whether to stop.
LEDGER_PATIENCE_S = 2.0


class Watch:
    """Watch service of one folder. The caller owns the thread.

    Args:
        folder: the watched folder.
        out_dir: folder of all stem sets; None for `Stems` inside the watched folder.
        converter: converts the bounces.
        ledger: records the jobs.
        events: listener for the events of the service.
        poll: look at the folder at intervals instead of using system events.
        reread: makes a converter from the current settings, after `reload` was set.
        overrides: presets for some bounces, from the command line.
        choose_output: chooses the output folder of each bounce.
        more: further converters with workers of their own, for jobs in parallel.
        reports_not_read: whether files that are not read become events.

    Attributes:
        reload: set it, from any thread, to have the settings reread between two jobs.

    Raises:
        UsageError: the folder does not exist, or the stems would be taken for bounces.
    """

    def __init__(
        self,
        folder: Path,
        out_dir: Path | None,
        converter: Converter,
        ledger: Ledger,
        events: EventListener,
        *,
        poll: bool = False,
        reread: Callable[[], Converter] | None = None,
        overrides: PresetOverrides | None = None,
        choose_output: ChooseOutputName = output_name,
        more: Sequence[Converter] = (),
        reports_not_read: bool = True,
    ) -> None:
        self.folder = folder.absolute()
        self.out_dir = (out_dir or folder / OUTPUT_FOLDER).absolute()
        check_folders(self.folder, self.out_dir)
        self.reload = threading.Event()
        self._converter = converter
        self._ledger = ledger
        self._events = events
        self._overrides, self._choose_output, self._more = overrides, choose_output, tuple(more)
        self._resolver = self._preset_resolver(converter)
        self._reread = reread or (lambda: converter)
        self._wake = threading.Event()
        self._over = threading.Event()
        self._stop = threading.Event()
        self._once, self._patient = False, True
        self._retry_wait = RetryWait(events, self._ended)
        self._threads = ServiceThreads(events, self._end)
        settings = converter.settings
        poll = poll or settings.poll
        self._intake = Intake(
            self.folder,
            output_dirs=(self.out_dir,),
            on_settled=self._offer,
            known=self._known,
            warn=lambda text: events.event("intake", text),
            rescan_s=settings.rescan_s,
            polling_s=settings.poll_s,
            polling=poll,
            on_not_read=self._report_not_read if reports_not_read else None,
        )

    def run(
        self, stop: threading.Event, *, once: bool = False, patient: bool | None = None
    ) -> Tally:
        """Run jobs until `stop` is set; a running job is requeued then, within a second.

        Args:
            stop: set it, from any thread, to end the service.
            once: end when every settled bounce has been converted.
            patient: wait out blocking errors instead of ending; by default unless `once`.

        Returns:
            the counts of the jobs.

        Raises:
            AlreadyWatched: another service makes other stems of this folder.
            KeyboardInterrupt: passed on, after the running job was requeued.
        """
        tally = Tally()
        self._stop = stop
        self._over.clear()
        self._once, self._patient = once, not once if patient is None else patient
        self._retry_wait.longest_s = math.inf if self._patient else retry_wait.ONCE_PATIENCE_S
        with self._serving() as service, self._intake_running(), suppress(Stopped):
            self._run_jobs(service, tally)
        tally.blocked = tally.blocked or self._retry_wait.gave_up
        tally.died = self._threads.death
        return tally

    def supervised(self, name: str) -> AbstractContextManager[None]:
        """Context for the body of a thread: an exception in it ends the service."""
        return self._threads.supervised(name)

    def submit(self, path: Path, preset: str | None = None) -> Job:
        """Submit a file as a job, from any thread; see `submit_job`."""
        job = submit.submit_job(self._ledger, self._resolver, self.folder, path, preset)
        self._wake.set()
        return job

    def status(self) -> tuple[dict[State, int], str | None]:
        """Number of jobs in each state, and what the service waits for. Raises LedgerError."""
        return self._ledger.counts(self.folder), self._retry_wait.reason

    @contextmanager
    def _serving(self) -> Iterator[Service]:
        """Register the service, recover jobs of a dead one, and run the heartbeat."""
        service = self._ledger.services.begin(self.folder, self._recipe)
        heartbeat = Heartbeat(
            self._ledger,
            service,
            state=lambda: (self._recipe, self._retry_wait.reason),
            reload=self.reload.set,
            reclaimed=self._report_reclaimed,
        )

        def body() -> None:
            with self.supervised("heartbeat"):
                heartbeat.run(self._over)

        thread = threading.Thread(target=body, name="heartbeat", daemon=True)
        try:
            self._recover()
            thread.start()
            yield service
        finally:
            self._over.set()
            if thread.is_alive():
                thread.join(LONGEST_WAIT_S)  # a daemon: it may still wait for the ledger
            with suppress(LedgerError):  # others then see that its process has ended
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

    def _recover(self) -> None:
        swept = transaction.sweep(self.out_dir)
        if swept:
            text = f"removed unfinished files of {swept} job(s) of a service that died"
            self._events.event("swept", text, folders=swept)
        report = recover(self._ledger, self.folder)
        if report.requeued:
            text = f"{report.requeued} job(s) of a service that died start again"
            self._events.event("recovered", text, requeued=report.requeued)

    def _run_jobs(self, service: Service, tally: Tally) -> None:
        """Run one loop here and one thread for each further converter, and join them all."""
        tallies = [Tally() for _ in self._more]
        with ThreadPoolExecutor(max(1, len(self._more)), "work") as threads:
            loops = [
                threads.submit(self._run_further, service, own, self._preset_resolver(converter))
                for converter, own in zip(self._more, tallies, strict=True)
            ]
            try:
                self._loop(service, tally)
                while wait(loops, LONGEST_WAIT_S).not_done:
                    pass  # with a time limit: a signal must get through on every system
            except BaseException:
                self._over.set()
                raise
            finally:
                wait(loops)
                for own in tallies:
                    tally.add(own)
        for loop in loops:
            loop.result()

    def _run_further(self, service: Service, tally: Tally, resolver: PresetResolver) -> None:
        with self._threads.supervised("work", passes_on=True):
            self._loop(service, tally, resolver)

    def _loop(self, service: Service, tally: Tally, resolver: PresetResolver | None = None) -> None:
        """Claim and run jobs until the service ends.

        resolver: of a further converter; None for the first one, which also reloads the settings.
        """
        runner = JobRunner(
            self.folder,
            self.out_dir,
            self._ledger,
            self._events,
            self._retry_wait,
            tally,
            self._ended,
            self._choose_output,
        )
        while not self._ended():
            if resolver is None and self.reload.is_set():
                self.reload.clear()
                self._reload_settings()
            blockage: Blockage | None = None
            idle = self._intake.idle  # before the ledger: what settles later sets `_wake`
            self._wake.clear()
            try:
                job = self._ledger.claim_next(self.folder, service.token)
                nothing_waits = job is None and self._ledger.due_in_s(self.folder) is None
            except LedgerBlocked as error:
                blockage = Blockage(error, lambda: self._ledger.counts(self.folder))
            else:
                if job is not None:
                    blockage = runner.run(job, resolver or self._resolver)
            if blockage is not None:
                if self._ends_at(blockage, tally):
                    return
            elif job is not None:
                continue
            elif self._once and idle and nothing_waits:
                return
            else:
                self._wake.wait(LONGEST_WAIT_S)

    def _ends_at(self, blockage: Blockage, tally: Tally) -> bool:
        """Whether to end because of a blocking error; if not, wait until it is over."""
        if not self._patient:
            tally.blocked = str(blockage.error)
            return True
        self._retry_wait.wait_until_clear(blockage.error, blockage.trial)
        return False

    def _ended(self) -> bool:
        return self._stop.is_set() or self._over.is_set() or self._threads.death is not None

    def _end(self) -> None:
        self._over.set()
        self._wake.set()

    def _report_reclaimed(self, job: Job) -> None:
        if job.state is State.PENDING:
            text = f"{job.source_path}: its service died; another one takes it over"
            self._events.event("taken-over", text, job=job.id, bounce=str(job.source_path))
        self._wake.set()

    def _reload_settings(self) -> None:
        """Switch to a converter with the current settings; keep the old one if they are invalid."""
        try:
            converter = self._reread()
            converter.load(self._raise_when_ended)
            resolver = self._preset_resolver(converter)
        except StembridgeError as error:
            text = f"settings not changed, the new ones are invalid: {error}"
            self._events.event("reload-refused", text, code=error.code, reason=str(error))
            return
        found = changes(self._converter, converter)
        self._converter, self._resolver = converter, resolver
        text = "; ".join(found) or "nothing has changed"
        self._events.event("reloaded", f"settings read again: {text}", changes=found)

    @property
    def _recipe(self) -> Recipe:
        return self._resolver.recipe

    def _preset_resolver(self, converter: Converter) -> PresetResolver:
        return PresetResolver(converter, self.folder, self.out_dir, self._overrides)

    def _raise_when_ended(self) -> None:
        if self._ended():
            raise Stopped

    def _run_intake(self) -> None:
        with self.supervised("intake"):
            self._intake.run(self._over)

    def _known(self, path: Path, size: int, mtime_ns: int) -> bool:
        recipe = self._resolver.recipe_for(path)
        return self._retry_wait.call(
            lambda: self._ledger.known(self.folder, path, size, mtime_ns, recipe)
        )

    def _offer(self, settled: Settled) -> None:
        settled_s = time.time()
        recipe = self._resolver.recipe_for(settled.path)
        job = self._retry_wait.call(
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

    def _report_not_read(self, files: Sequence[NotRead]) -> None:
        """Report files that may be meant as bounces as "not-read", the rest as "left-alone"."""
        for name, found in (
            ("not-read", [one for one in files if one.format is not None]),
            ("left-alone", [one for one in files if one.format is None]),
        ):
            if found:
                text = (
                    not_read.sentence(found[0], self.folder)
                    if len(found) == 1
                    else not_read.listing(found, self.folder)
                )
                facts = [not_read.facts(one, self.folder) for one in found]
                self._events.event(name, f"not read: {text}", files=facts)


def check_folders(folder: Path, out_dir: Path) -> None:
    """Raise UsageError unless stems of bounces in `folder` can go into `out_dir`."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: create it or name another")
    if out_dir == folder or out_dir in folder.parents:
        raise UsageError(
            f"the stems cannot go into {out_dir}: it contains the watched folder, and they "
            "would be taken for bounces; name a folder inside or next to the watched one"
        )
