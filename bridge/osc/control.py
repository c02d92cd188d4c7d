"""OSC server of the service: accepts requests and sends the progress of jobs.

A job is acknowledged once it is in the ledger. Packets may get lost, so no job depends on them.
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
        """The part of `bridge.service.watch.Watch` that the server uses."""

        folder: Path

        def submit(self, path: Path, preset: str | None = None) -> Job:
            """See `Watch.submit`."""

        def status(self) -> tuple[dict[State, int], str | None]:
            """See `Watch.status`."""

        def supervised(self, name: str) -> AbstractContextManager[None]:
            """See `Watch.supervised`."""


# Smallest change of progress (0..1) that is sent.
_STEP = 0.01


class Control:
    """OSC server and event listener; see `bridge.service.events.EventListener`.

    The progress of a file goes to the address and port that submitted it.

    Args:
        endpoint: UDP port to listen on.
        reply: receives all answers instead, and the progress of every bounce.
    """

    def __init__(self, endpoint: Endpoint, reply: Endpoint | None = None) -> None:
        self._reply = None if reply is None else ReplySocket(reply)
        self._port = Port(endpoint)
        self._lock = threading.Lock()
        # Job number by file and client; an older job of the file may still run.
        self._clients: dict[Path, dict[Sender, int]] = {}
        self._sent: dict[int, tuple[str, float]] = {}  # stage and share, by job

    @property
    def endpoint(self) -> Endpoint:
        """The port that it listens on."""
        return self._port.endpoint

    @property
    def warnings(self) -> list[str]:
        """Security warnings for the user."""
        found = []
        if not self.endpoint.is_local:
            found.append(f"anyone who can reach {self.endpoint} can submit files by OSC")
        if self._reply is not None and not self._reply.endpoint.is_local:
            found.append(f"the names of all bounces are sent to {self._reply.endpoint} by OSC")
        return found

    @contextmanager
    def serving(self, service: JobService) -> Iterator[None]:
        """Context in which requests are handled."""
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
        """Handle requests until `over` is set."""
        while not over.is_set():
            packet = self._port.receive()
            if packet is None:
                continue
            found, sender = packet
            for address, arguments in found:
                self._handle(service, address, arguments, sender)

    def close(self) -> None:
        """Close the port."""
        self._port.close()
        if self._reply is not None:
            self._reply.close()

    def _handle(
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
        except Exception as error:  # noqa: BLE001 a request must not end the server
            reason = f"internal error: {type(error).__name__}: {error}; please report it"
            self._answer(sender, messages.FAILED, path, reason)

    def _split(self, service: JobService, request: Split, sender: Sender) -> None:
        """Submit a file, then acknowledge it and register the client for its progress."""
        with self._lock:  # so that progress is sent after the acknowledgement
            job = service.submit(request.path, request.preset)
            if job.state is State.DONE:
                self._answer(sender, messages.DONE, str(job.manifest_path), str(job.path))
                return
            self._clients.setdefault(job.path, {})[sender] = job.id
            self._answer(sender, messages.QUEUED, str(job.path))

    def _answer(self, sender: Sender, address: str, *arguments: messages.Argument) -> None:
        message = Message(address, arguments)
        if self._reply is not None:
            self._reply.send(message)
        else:
            self._port.send(message, sender)

    def _send_update(
        self, job: Job, address: str, *arguments: messages.Argument, last: bool = False
    ) -> None:
        message = Message(address, arguments)
        if address != messages.PROGRESS:
            self._sent.pop(job.id, None)
        for sender in self._clients_of(job, last=last):
            self._port.send(message, sender)
        if self._reply is not None:
            self._reply.send(message)

    def _clients_of(self, job: Job, *, last: bool) -> list[Sender]:
        """Clients of this job or one that it replaced; last: unregister them."""
        with self._lock:
            clients = self._clients.get(job.path, {})
            found = [sender for sender, number in clients.items() if number <= job.id]
            for sender in found if last else ():
                del clients[sender]
            if not clients:
                self._clients.pop(job.path, None)
        return [] if self._reply is not None else found

    # EventListener

    def note(self, text: str) -> None:
        """Not sent: clients request `status`."""

    def event(self, name: str, text: str, **facts: object) -> None:
        """Not sent: clients request `status`."""

    def started(self, job: Job) -> None:
        """Not sent: `progress` follows."""

    def progress(self, job: Job, stage: str, share: float) -> None:
        """See `EventListener`."""
        last_stage, last = self._sent.get(job.id, ("", 0.0))
        if stage == last_stage and share < 1 and abs(share - last) < _STEP:
            return
        self._sent[job.id] = (stage, share)
        self._send_update(job, messages.PROGRESS, str(job.path), stage, float(share))

    def done(self, job: Job, manifest: Manifest) -> None:
        """See `EventListener`."""
        place = job.recipe.out_dir / (job.output_path or "") / MANIFEST
        self._send_update(job, messages.DONE, str(place), str(job.path), last=True)

    def skipped(self, job: Job) -> None:
        """See `EventListener`. `FAILED` means that no stems will come."""
        if job.has_no_stems:
            self._send_update(job, messages.FAILED, str(job.path), job.reason or "", last=True)
            return
        self._send_update(job, messages.DONE, str(job.manifest_path), str(job.path), last=True)

    def failed(self, job: Job, reason: str, *, retry: bool) -> None:
        """See `EventListener`."""
        address = messages.WAITING if retry else messages.FAILED
        self._send_update(job, address, str(job.path), reason, last=not retry)

    def released(self, job: Job, reason: str) -> None:
        """See `EventListener`.

        A bounce of the folder that is gone may come back and get a new job. A file outside the
        folder is not watched, so its job is final.
        """
        gone = not has_size_and_mtime(job.path, job.size, job.mtime_ns)
        lost = gone and job.source_path.is_absolute()
        address = messages.FAILED if lost else messages.WAITING
        self._send_update(job, address, str(job.path), reason, last=lost)


@contextmanager
def osc_control(settings: Settings) -> Iterator[Control | None]:
    """Context with the OSC server by the settings; None if they turn OSC off.

    Raises UsageError when the port is not available.
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
