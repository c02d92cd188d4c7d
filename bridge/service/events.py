"""Whoever is told what the service does: the console, the log, a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bridge.ledger.states import Job
    from bridge.publish.manifest import Manifest


class EventListener(Protocol):
    """Whoever shows or keeps what the service does. Called from several threads."""

    def note(self, text: str) -> None:
        """Something the user should know."""

    def event(self, name: str, text: str, **facts: object) -> None:
        """Something happened to the service itself.

        name: stable and machine-readable, such as began, ended, paused, resumed, taken-over,
        recovered, swept, intake, worker-lost, thread-died, defect, reloaded, reload-refused,
        not-read, left-alone. text: the same for the user. facts: what can be written as JSON.
        """

    def started(self, job: Job) -> None:
        """A job begins."""

    def progress(self, job: Job, stage: str, share: float) -> None:
        """A stage of the running job is done to this share (0..1)."""

    def done(self, job: Job, manifest: Manifest) -> None:
        """The stems are published."""

    def skipped(self, job: Job) -> None:
        """Nothing had to be done: its stems are there, or the preset makes none of such a bounce.

        The job has no stems in the second case (`has_no_stems`); its `reason` says why.
        """

    def failed(self, job: Job, reason: str, *, retry: bool) -> None:
        """The job failed, for good or until the next attempt; `job` says with which code."""

    def released(self, job: Job, reason: str) -> None:
        """The job ends without a verdict: its bounce is gone, or another one does it later."""


class CompositeListener:
    """Tells several listeners the same, in their order."""

    def __init__(self, *listeners: EventListener) -> None:
        self._listeners = listeners

    def note(self, text: str) -> None:
        """See `EventListener`."""
        for one in self._listeners:
            one.note(text)

    def event(self, name: str, text: str, **facts: object) -> None:
        """See `EventListener`."""
        for one in self._listeners:
            one.event(name, text, **facts)

    def started(self, job: Job) -> None:
        """See `EventListener`."""
        for one in self._listeners:
            one.started(job)

    def progress(self, job: Job, stage: str, share: float) -> None:
        """See `EventListener`."""
        for one in self._listeners:
            one.progress(job, stage, share)

    def done(self, job: Job, manifest: Manifest) -> None:
        """See `EventListener`."""
        for one in self._listeners:
            one.done(job, manifest)

    def skipped(self, job: Job) -> None:
        """See `EventListener`."""
        for one in self._listeners:
            one.skipped(job)

    def failed(self, job: Job, reason: str, *, retry: bool) -> None:
        """See `EventListener`."""
        for one in self._listeners:
            one.failed(job, reason, retry=retry)

    def released(self, job: Job, reason: str) -> None:
        """See `EventListener`."""
        for one in self._listeners:
            one.released(job, reason)
