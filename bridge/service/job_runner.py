"""One job of the watch service: from its claim to its end in the ledger, whatever happens."""

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

    # A bounce, relative to its folder, and the names in use; see `names.output_name`.
    ChooseOutputName = Callable[[PurePath, Mapping[str, str]], PurePath]


@dataclass
class Tally:
    """What one run of the service did.

    skipped: unchanged content, whose stems were there. silent: silent bounces that a preset skips.
    blocked: why it ended with jobs left, None otherwise. died: which of its threads died and ended
    it, None otherwise.
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
        """Counts in what another one has counted."""
        self.done += other.done
        self.failed += other.failed
        self.skipped += other.skipped
        self.silent += other.silent
        self.blocked = self.blocked or other.blocked


@dataclass(frozen=True)
class Blockage:
    """What stands in the way of all jobs. trial: raises that error until it is over."""

    error: StembridgeError
    trial: Callable[[], object]


@dataclass(frozen=True)
class JobRunner:
    """Does jobs of one folder, one at a time; the caller has claimed them.

    ended: whether the service was asked to end; a running job is given back then. names: gives
    each bounce its output folder.
    """

    folder: Path
    out_dir: Path
    ledger: Ledger
    events: EventListener
    retry_wait: RetryWait
    tally: Tally
    ended: Callable[[], bool]
    names: ChooseOutputName = output_name

    def do(self, job: Job, resolver: PresetResolver) -> Blockage | None:
        """Does a job; returns what stood in the way, if that is not the bounce's own trouble."""
        self.events.started(job)
        converter = resolver.converter
        try:
            # First of all: a preset that is wrong is to be found in the job, too.
            job = self.ledger.set_recipe(job, resolver.recipe_for(job.path, job.asked))
            converter = resolver.converter_for(job.path, job.asked, self._look)
            self._convert(job, converter)
        except BounceChanged as error:
            self._changed(job, error)
        except SilentBounce as error:
            self._skip_silent(job, error)
        except Stopped:
            self._give_back(job)
            self.events.released(job, "stopped; the next service does it")
        except LeaseLost as error:
            self.events.released(job, str(error))
        except OutputBlocked as error:
            return self._put_off(job, converter, error)
        except LedgerBlocked as error:
            self._give_back(job)
            self.events.released(job, str(error))
            return Blockage(error, lambda: self.ledger.counts(self.folder))
        except StembridgeError as error:
            if isinstance(error, WorkerLost):
                facts = {"job": job.id, "bounce": str(job.source_path)}
                text = "the worker process ended; a new one goes on"
                self.events.event("worker-lost", text, **facts, diagnosis=error.diagnosis)
            self._fail(job, error.code, str(error), retryable=error.retryable)
        except KeyboardInterrupt:
            self._give_back(job)
            raise
        except Exception as error:  # noqa: BLE001 one bounce must not end the service
            traceback.print_exc()
            reason = f"internal error: {type(error).__name__}: {error}; please report it"
            self._fail(job, "internal", reason, retryable=False)
        return None

    def _convert(self, job: Job, converter: Converter) -> None:
        def listen(stage: str, share: float) -> None:
            self._look()
            self.events.progress(job, stage, share)

        bounce = identify(job.path, self._look)
        earlier = self.ledger.identified(job, bounce.sha256)
        if earlier and earlier.manifest_path and earlier.manifest_path.exists():
            job = self.ledger.skip(job, earlier)
            self.tally.skipped += 1
            self.events.skipped(job)
            return
        begun_before = job.output_path is not None
        job = self.ledger.choose_output(job, self.names)
        target = self.out_dir / (job.output_path or "")
        confirm = partial(self.ledger.confirm, job)
        made = None
        if begun_before:  # and published, perhaps, by a service that died before it could say so
            made = converter.published_before(bounce, target, self.out_dir, self._look, confirm)
        manifest, path = made or converter.convert_identified(
            bounce, target, self.out_dir, listen, confirm
        )
        for trouble in () if made else converter.worker.non_fatal_errors:
            facts = {"job": job.id, "bounce": str(job.source_path)}
            text = f"{job.source_path}: {trouble.text}"
            self.events.event("defect", text, **facts, traceback=trouble.traceback)
        # Published is published: the ledger may take a while, but not miss it.
        if self._insist(lambda: self.ledger.done(job, path)) is None:
            text = "its stems are there, but the ledger does not know; the next service tells it"
            self.events.released(job, text)
            return
        self.tally.done += 1
        self.events.done(job, manifest)

    def _skip_silent(self, job: Job, error: SilentBounce) -> None:
        """The job is done; stems of an earlier render stay, as after a failure."""
        reason = str(error)
        after = self._insist(lambda: self.ledger.done_without_stems(job, error.code, reason))
        if after is not None:
            self.tally.silent += 1
            self.events.skipped(after)

    def _changed(self, job: Job, error: BounceChanged) -> None:
        """The bounce is gone or another one: withdrawn, and a render over it is a new job.

        Where size and time are those of the job all the same, the intake sees nothing new, and no
        other job would come of it: then this one is tried again.
        """
        if has_size_and_mtime(job.path, job.size, job.mtime_ns):
            self._fail(job, error.code, str(error), retryable=True)
            return
        self._insist(lambda: self.ledger.withdraw(job, str(error)))
        self.events.released(job, str(error))

    def _put_off(self, job: Job, converter: Converter, error: OutputBlocked) -> Blockage | None:
        """The disk refused: the job waits without losing an attempt, and so do all others.

        When a trial finds nothing wrong there, the trouble is this job's alone (the old stems are
        write-protected, say): then it counts as an attempt, and the others go on.
        """

        def trial() -> None:
            transaction.check_writable(self.out_dir, needed_bytes)

        try:
            needed_bytes = converter.needed_bytes(job.path, self._look)
            trial()
        except Stopped:
            pass
        except OutputBlocked as blocked:
            self._insist(lambda: self.ledger.hold(job, error.code, str(error)))
            self.events.released(job, f"waits: {error}")
            return Blockage(blocked, trial)
        except StembridgeError:
            pass  # another refusal than those that pass by themselves
        if self.ended():
            self._give_back(job)
            self.events.released(job, "stopped; the next service does it")
        else:
            self._fail(job, error.code, str(error), retryable=True)
        return None

    def _fail(self, job: Job, code: str, reason: str, *, retryable: bool) -> None:
        after = self._insist(lambda: self.ledger.failed(job, code, reason, retryable=retryable))
        if after is None:
            return
        if after.state is State.WITHDRAWN:  # a newer render waits: its job says how it ends
            self.events.released(after, reason)
            return
        retry = after.state is State.PENDING
        self.tally.failed += not retry
        self.events.failed(after, reason, retry=retry)

    def _insist(self, move: Callable[[], Job]) -> Job | None:
        """Sees the end of a job into the ledger; None when it is another service's by now.

        When the service has to end before the ledger can be used, the job is found running by a
        dead service later, and begun anew.
        """
        with suppress(Stopped, LeaseLost):
            return self.retry_wait.call(move)
        return None

    def _give_back(self, job: Job) -> None:
        with suppress(LedgerError, LeaseLost):  # found running by a dead service later
            self.ledger.requeue(job)

    def _look(self) -> None:
        if self.ended():
            raise Stopped
