"""The service's OSC port: it takes what is asked, and tells how it goes on.

Only what the ledger holds is acknowledged. Nothing here can fail a job: packets get lost, and the
files say how it ended.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bridge import __version__
from bridge.errors import StembridgeError
from bridge.ledger.states import Job, State
from bridge.osc import messages
from bridge.osc.messages import Message, Ping, Split
from bridge.osc.port import Port, ReplySocket
from bridge.publish.transaction import MANIFEST
from bridge.source import has_size_and_mtime
from bridge.system.endpoint import OFF, Endpoint, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Protocol

    from bridge.config import Settings
    from bridge.osc.port import Sender
    from bridge.publish.manifest import Manifest

    class JobService(Protocol):
        """What is asked for the work: `bridge.service.watch.Watch`."""

        folder: Path

        def submit(self, path: Path, preset: str | None = None) -> Job:
            """See `Watch.submit`."""

        def status(self) -> tuple[dict[State, int], str | None]:
            """See `Watch.status`."""

        def supervised(self, name: str) -> AbstractContextManager[None]:
            """See `Watch.supervised`."""


# A share that moved by less is not worth a packet.
_STEP = 0.01


class Control:
    """OSC server and listener for the service's events; see `bridge.service.events`.

    Who asked for a file hears of it, at the port that the question came from. With `reply` all
    answers go there instead, and news of every other bounce too.
    """

    def __init__(self, endpoint: Endpoint, reply: Endpoint | None = None) -> None:
        self._reply = None if reply is None else ReplySocket(reply)
        self._port = Port(endpoint)
        self._lock = threading.Lock()
        # By file, and with the number of the job that they mean: an older one may still run.
        self._askers: dict[Path, dict[Sender, int]] = {}
        self._told: dict[int, tuple[str, float]] = {}  # stage and share, by job

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        return self._port.endpoint

    @property
    def warnings(self) -> list[str]:
        """What the user should know at the start."""
        found = []
        if not self.endpoint.is_local:
            found.append(f"everybody who reaches {self.endpoint} can ask for stems by OSC")
        if self._reply is not None and not self._reply.endpoint.is_local:
            found.append(f"the names of all bounces go to {self._reply.endpoint} by OSC")
        return found

    @contextmanager
    def serving(self, service: JobService) -> Iterator[None]:
        """Within it, what arrives is done."""
        over = threading.Event()

        def run() -> None:
            with service.supervised("osc"):
                self._listen(service, over)

        thread = threading.Thread(target=run, name="osc", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _listen(self, service: JobService, over: threading.Event) -> None:
        """Takes what arrives until `over` is set."""
        while not over.is_set():
            packet = self._port.receive()
            if packet is None:
                continue
            found, sender = packet
            for address, arguments in found:
                self._take(service, address, arguments, sender)

    def close(self) -> None:
        """Gives the port back."""
        self._port.close()
        if self._reply is not None:
            self._reply.close()

    def _take(
        self, service: JobService, address: str, arguments: list[object], sender: Sender
    ) -> None:
        path = ""
        try:
            request = messages.parse_request(address, arguments)
            if isinstance(request, Split):
                path = str(request.path)
                self._split(service, request, sender)
            elif isinstance(request, Ping):
                self._answer(sender, messages.PONG, __version__, str(service.folder))
            elif request is not None:
                counts, paused = service.status()
                order = (State.PENDING, State.RUNNING, State.DONE, State.FAILED)
                numbers = [counts[state] for state in order]
                self._answer(sender, messages.STANDING, *numbers, paused or "")
        except StembridgeError as error:
            self._answer(sender, messages.FAILED, path, str(error))
        except Exception as error:  # noqa: BLE001 what somebody sends must not end the listening
            reason = f"internal error: {type(error).__name__}: {error}; please report it"
            self._answer(sender, messages.FAILED, path, reason)

    def _split(self, service: JobService, request: Split, sender: Sender) -> None:
        """In the ledger first, then acknowledged; whoever asked hears all that comes after."""
        with self._lock:  # what the work says meanwhile comes after the acknowledgement
            job = service.submit(request.path, request.preset)
            if job.state is State.DONE:
                self._answer(sender, messages.DONE, str(job.manifest_path), str(job.path))
                return
            self._askers.setdefault(job.path, {})[sender] = job.id
            self._answer(sender, messages.QUEUED, str(job.path))

    def _answer(self, sender: Sender, address: str, *arguments: messages.Argument) -> None:
        message = Message(address, arguments)
        if self._reply is not None:
            self._reply.send(message)
        else:
            self._port.send(message, sender)

    def _tell(
        self, job: Job, address: str, *arguments: messages.Argument, last: bool = False
    ) -> None:
        message = Message(address, arguments)
        if address != messages.PROGRESS:
            self._told.pop(job.id, None)
        for sender in self._askers_of(job, last=last):
            self._port.send(message, sender)
        if self._reply is not None:
            self._reply.send(message)

    def _askers_of(self, job: Job, *, last: bool) -> list[Sender]:
        """Who means this job, or one that it has taken the place of; last: they are forgotten."""
        with self._lock:
            asked = self._askers.get(job.path, {})
            found = [sender for sender, number in asked.items() if number <= job.id]
            for sender in found if last else ():
                del asked[sender]
            if not asked:
                self._askers.pop(job.path, None)
        return [] if self._reply is not None else found

    # --- what an audience hears ---

    def note(self, text: str) -> None:
        """Not told: `status` says what matters."""

    def event(self, name: str, text: str, **facts: object) -> None:
        """Not told: `status` says what matters."""

    def started(self, job: Job) -> None:
        """The first progress is told by `progress`."""

    def progress(self, job: Job, stage: str, share: float) -> None:
        """See `bridge.service.events.EventListener`."""
        last_stage, last = self._told.get(job.id, ("", 0.0))
        if stage == last_stage and share < 1 and abs(share - last) < _STEP:
            return
        self._told[job.id] = (stage, share)
        self._tell(job, messages.PROGRESS, str(job.path), stage, float(share))

    def done(self, job: Job, manifest: Manifest) -> None:
        """See `bridge.service.events.EventListener`."""
        place = job.recipe.out_dir / (job.output_path or "") / MANIFEST
        self._tell(job, messages.DONE, str(place), str(job.path), last=True)

    def skipped(self, job: Job) -> None:
        """See `bridge.service.events.EventListener`. `FAILED` means that no stems will come."""
        if job.has_no_stems:
            self._tell(job, messages.FAILED, str(job.path), job.reason or "", last=True)
            return
        self._tell(job, messages.DONE, str(job.manifest_path), str(job.path), last=True)

    def failed(self, job: Job, reason: str, *, retry: bool) -> None:
        """See `bridge.service.events.EventListener`."""
        address = messages.WAITING if retry else messages.FAILED
        self._tell(job, address, str(job.path), reason, last=not retry)

    def released(self, job: Job, reason: str) -> None:
        """See `bridge.service.events.EventListener`.

        A bounce of the folder that is gone may come back, and is a job again. A file from
        elsewhere is not looked for: there its end is the end.
        """
        gone = not has_size_and_mtime(job.path, job.size, job.mtime_ns)
        lost = gone and job.source_path.is_absolute()
        address = messages.FAILED if lost else messages.WAITING
        self._tell(job, address, str(job.path), reason, last=lost)


@contextmanager
def osc_control(settings: Settings) -> Iterator[Control | None]:
    """The control that the settings want, closed at the end; None when they want no OSC.

    Raises UsageError when the port cannot be had.
    """
    if settings.osc == OFF:
        yield None
        return
    reply = None if settings.osc_reply == OFF else parse(settings.osc_reply)
    control = Control(parse(settings.osc), reply)
    try:
        yield control
    finally:
        control.close()
