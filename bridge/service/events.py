"""Events of the watch service, and the interface of their listeners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bridge.ledger.states import Job
    from bridge.publish.manifest import Manifest


class EventListener(Protocol):
    """Receiver of service events: console, log, OSC. Called from several threads."""

    def note(self, text: str) -> None:
        """Show a line of text to the user."""

    def event(self, name: str, text: str, **facts: object) -> None:
        """Handle an event of the service itself.

        Args:
            name: stable and machine-readable: began, ended, paused, resumed, taken-over, recovered,
                swept, intake, worker-lost, thread-died, defect, reloaded, reload-refused, not-read,
                left-alone.
            text: the event in words, for the user.
            **facts: its details, JSON serialisable.
        """

    def started(self, job: Job) -> None:
        """Handle the start of a job."""

    def progress(self, job: Job, stage: str, share: float) -> None:
        """Handle progress of the running job: `share` (0..1) of `stage` is done."""

    def done(self, job: Job, manifest: Manifest) -> None:
        """Handle a job whose stems are published."""

    def skipped(self, job: Job) -> None:
        """Handle a job without work: its stems exist, or its preset skips such a bounce.

        In the second case `job.has_no_stems` is true and `job.reason` gives the reason.
        """

    def failed(self, job: Job, reason: str, *, retry: bool) -> None:
        """Handle a failed job (`job.code`). retry: whether another attempt follows."""

    def released(self, job: Job, reason: str) -> None:
        """Handle a job that ends undecided: its bounce is gone, or it runs again later."""


class CompositeListener:
    """Forwards every event to several listeners, in their order."""

    def __init__(self, *listeners: EventListener) -> None:
        self._listeners = listeners

    def note(self, text: str) -> None:
        """See `EventListener`."""
        for listener in self._listeners:
            listener.note(text)

    def event(self, name: str, text: str, **facts: object) -> None:
        """See `EventListener`."""
        for listener in self._listeners:
            listener.event(name, text, **facts)

    def started(self, job: Job) -> None:
        """See `EventListener`."""
        for listener in self._listeners:
            listener.started(job)

    def progress(self, job: Job, stage: str, share: float) -> None:
        """See `EventListener`."""
        for listener in self._listeners:
            listener.progress(job, stage, share)

    def done(self, job: Job, manifest: Manifest) -> None:
        """See `EventListener`."""
        for listener in self._listeners:
            listener.done(job, manifest)

    def skipped(self, job: Job) -> None:
        """See `EventListener`."""
        for listener in self._listeners:
            listener.skipped(job)

    def failed(self, job: Job, reason: str, *, retry: bool) -> None:
        """See `EventListener`."""
        for listener in self._listeners:
            listener.failed(job, reason, retry=retry)

    def released(self, job: Job, reason: str) -> None:
        """See `EventListener`."""
        for listener in self._listeners:
            listener.released(job, reason)
