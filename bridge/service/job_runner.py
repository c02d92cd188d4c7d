"""Runs one claimed job of the watch service and records its outcome in the ledger."""

from __future__ import annotations

import traceback
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bridge.errors import (
    BounceChanged,
    LeaseLost,
    LedgerBlocked,
    LedgerError,
    OutputBlocked,
    SilentBounce,
    StembridgeError,
    WorkerLost,
)
from bridge.ledger.states import State
from bridge.publish import transaction
from bridge.publish.output_names import output_name
from bridge.service.retry_wait import Stopped
from bridge.source import has_size_and_mtime, identify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path, PurePath

    from bridge.convert import Converter
    from bridge.ledger.states import Job
    from bridge.ledger.store import Ledger
    from bridge.service.events import EventListener
    from bridge.service.preset_resolver import PresetResolver
    from bridge.service.retry_wait import RetryWait

    # Chooses an output folder from the bounce's path and the names in use; see `output_name`.
    ChooseOutputName = Callable[[PurePath, Mapping[str, str]], PurePath]


@dataclass
class Tally:
    """Counts of the jobs of one run of the service.

    Attributes:
        done: bounces whose stems were published.
        failed: bounces that failed for good.
        skipped: bounces with unchanged content, whose stems exist.
        silent: silent bounces, which their preset skips.
        blocked: why the run ended with jobs left; None if it did not.
        died: which thread died and ended the run; None if none did.
    """

    done: int = 0
    failed: int = 0
    skipped: int = 0
    silent: int = 0
    blocked: str | None = None
    died: str | None = None

    def __str__(self) -> str:
        """The counts, for the last line of a command."""
        silent = f", {self.silent} silent" if self.silent else ""
        return f"{self.done} done, {self.skipped} unchanged{silent}, {self.failed} failed"

    def add(self, other: Tally) -> None:
        """Add the counts of another tally."""
        self.done += other.done
        self.failed += other.failed
        self.skipped += other.skipped
        self.silent += other.silent
        self.blocked = self.blocked or other.blocked


@dataclass(frozen=True)
class Blockage:
    """An error that blocks all jobs. trial: raises it for as long as it lasts."""

    error: StembridgeError
    trial: Callable[[], object]


@dataclass(frozen=True)
class JobRunner:
    """Runs claimed jobs of one watched folder, one at a time.

    Attributes:
        folder: the watched folder.
        out_dir: folder of all stem sets.
        ledger: ledger that records each outcome.
        events: listener for the events of the jobs.
        retry_wait: waits while the ledger is unavailable.
        tally: counts that are updated.
        ended: whether the service was asked to stop; the running job is requeued then.
        choose_output: chooses the output folder of each bounce.
    """

    folder: Path
    out_dir: Path
    ledger: Ledger
    events: EventListener
    retry_wait: RetryWait
    tally: Tally
    ended: Callable[[], bool]
    choose_output: ChooseOutputName = output_name

    def run(self, job: Job, resolver: PresetResolver) -> Blockage | None:
        """Run a job; returns what blocks all jobs, None if the outcome concerns this job alone."""
        self.events.started(job)
        converter = resolver.converter
        try:
            # First, so that the job also records the recipe of a faulty preset.
            job = self.ledger.set_recipe(job, resolver.recipe_for(job.path, job.asked))
            converter = resolver.converter_for(job.path, job.asked, self._raise_when_ended)
            self._convert(job, converter)
        except BounceChanged as error:
            self._withdraw_changed(job, error)
        except SilentBounce as error:
            self._skip_silent(job, error)
        except Stopped:
            self._requeue(job)
            self.events.released(job, "stopped; the next service does it")
        except LeaseLost as error:
            self.events.released(job, str(error))
        except OutputBlocked as error:
            return self._hold(job, converter, error)
        except LedgerBlocked as error:
            self._requeue(job)
            self.events.released(job, str(error))
            return Blockage(error, lambda: self.ledger.counts(self.folder))
        except StembridgeError as error:
            if isinstance(error, WorkerLost):
                facts = {"job": job.id, "bounce": str(job.source_path)}
                text = "the worker process ended; the next job starts a new one"
                self.events.event("worker-lost", text, **facts, diagnosis=error.diagnosis)
            self._fail(job, error.code, str(error), retryable=error.retryable)
        except KeyboardInterrupt:
            self._requeue(job)
            raise
        except Exception as error:  # noqa: BLE001 one bounce must not end the service
            traceback.print_exc()
            reason = f"internal error: {type(error).__name__}: {error}; please report it"
            self._fail(job, "internal", reason, retryable=False)
        return None

    def _convert(self, job: Job, converter: Converter) -> None:
        def report_progress(stage: str, share: float) -> None:
            self._raise_when_ended()
            self.events.progress(job, stage, share)

        bounce = identify(job.path, self._raise_when_ended)
        earlier = self.ledger.identified(job, bounce.sha256)
        if earlier and earlier.manifest_path and earlier.manifest_path.exists():
            job = self.ledger.skip(job, earlier)
            self.tally.skipped += 1
            self.events.skipped(job)
            return
        begun_before = job.output_path is not None
        job = self.ledger.choose_output(job, self.choose_output)
        target = self.out_dir / (job.output_path or "")
        confirm = partial(self.ledger.confirm, job)
        published = None
        if begun_before:  # a service may have died between publishing and recording it
            published = converter.published_before(
                bounce, target, self.out_dir, self._raise_when_ended, confirm
            )
        manifest, path = published or converter.convert_identified(
            bounce, target, self.out_dir, report_progress, confirm
        )
        for error in () if published else converter.worker.non_fatal_errors:
            facts = {"job": job.id, "bounce": str(job.source_path)}
            text = f"{job.source_path}: {error.text}"
            self.events.event("defect", text, **facts, traceback=error.traceback)
        # The stems are published, so recording that is retried until the ledger is available.
        if self._record(lambda: self.ledger.done(job, path)) is None:
            text = "its stems are published; the next service records that in the ledger"
            self.events.released(job, text)
            return
        self.tally.done += 1
        self.events.done(job, manifest)

    def _skip_silent(self, job: Job, error: SilentBounce) -> None:
        """Record a silent bounce as done; stems of an earlier render stay, as after a failure."""
        reason = str(error)
        after = self._record(lambda: self.ledger.done_without_stems(job, error.code, reason))
        if after is not None:
            self.tally.silent += 1
            self.events.skipped(after)

    def _withdraw_changed(self, job: Job, error: BounceChanged) -> None:
        """Withdraw the job of a bounce that is gone or replaced; a new render gets its own job.

        If size and modification time are still those of the job, the intake will not offer the
        file again, so this job is retried instead.
        """
        if has_size_and_mtime(job.path, job.size, job.mtime_ns):
            self._fail(job, error.code, str(error), retryable=True)
            return
        self._record(lambda: self.ledger.withdraw(job, str(error)))
        self.events.released(job, str(error))

    def _hold(self, job: Job, converter: Converter, error: OutputBlocked) -> Blockage | None:
        """Hold the job after a disk error that blocks all jobs; the attempt does not count.

        If a trial write succeeds, the error concerns this job alone (its old stems may be
        write-protected): it counts as a failed attempt, and the other jobs go on.
        """

        def trial() -> None:
            transaction.check_writable(self.out_dir, needed_bytes)

        try:
            needed_bytes = converter.needed_bytes(job.path, self._raise_when_ended)
            trial()
        except Stopped:
            pass
        except OutputBlocked as blocked:
            self._record(lambda: self.ledger.hold(job, error.code, str(error)))
            self.events.released(job, f"waits: {error}")
            return Blockage(blocked, trial)
        except StembridgeError:
            pass  # not one of the errors that pass by themselves
        if self.ended():
            self._requeue(job)
            self.events.released(job, "stopped; the next service does it")
        else:
            self._fail(job, error.code, str(error), retryable=True)
        return None

    def _fail(self, job: Job, code: str, reason: str, *, retryable: bool) -> None:
        after = self._record(lambda: self.ledger.failed(job, code, reason, retryable=retryable))
        if after is None:
            return
        if after.state is State.WITHDRAWN:  # a newer render has a job of its own
            self.events.released(after, reason)
            return
        retry = after.state is State.PENDING
        self.tally.failed += not retry
        self.events.failed(after, reason, retry=retry)

    def _record(self, change: Callable[[], Job]) -> Job | None:
        """Record an outcome as soon as the ledger is available.

        Returns None when another service owns the job by now, or when this one is stopped first;
        the job is then recovered as that of a dead service.
        """
        with suppress(Stopped, LeaseLost):
            return self.retry_wait.call(change)
        return None

    def _requeue(self, job: Job) -> None:
        with suppress(LedgerError, LeaseLost):  # then recovered as that of a dead service
            self.ledger.requeue(job)

    def _raise_when_ended(self) -> None:
        if self.ended():
            raise Stopped
