"""Client of the worker process: sends requests and returns the result or raises the error."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from bridge.errors import InternalError, WorkerLost
from bridge.publish.manifest import Manifest
from bridge.worker.child import Child, ChildExited, describe_exit
from bridge.worker.protocol import (
    Announced,
    Defect,
    Done,
    Failed,
    Fetching,
    InvalidMessage,
    Load,
    Loaded,
    NonFatalError,
    Process,
    Stage,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bridge.render.model_request import ModelRequest
    from bridge.render.request import RenderRequest
    from bridge.worker.protocol import Message

    Answer: TypeAlias = Loaded | Done | Failed | Defect
    Listener = Callable[[str, float], None]

# How late a stop of the service may be noticed while the worker sends nothing.
TICK_S = 0.1
# The most that one tick counts as silence: a longer one means a suspended computer or process.
LONGEST_TICK_S = 1.0


class Worker:
    """The worker process, started on demand and again after it was lost.

    It runs one job at a time, in the caller's thread. Use it as a context manager, or `stop` it.

    Args:
        fetching: called with (bytes done, bytes in total, label) while weights are downloaded.
        announce: called with the licence of weights that are fetched for the first time.
        child: a process that runs already; this object ends it.
    """

    def __init__(
        self,
        fetching: Callable[[int, int | None, str], None] | None = None,
        announce: Callable[[str], None] | None = None,
        child: Child | None = None,
    ) -> None:
        self._fetching = fetching
        self._announce = announce
        self._child = child
        self._loaded: tuple[ModelRequest, tuple[str, ...]] | None = None
        self.hop_s = 0.0  # of the loaded model; see `Separator.hop_s`
        self.non_fatal_errors: list[NonFatalError] = []  # of the last job

    def __enter__(self) -> Worker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """Number of the running process; None without one."""
        return None if self._child is None else self._child.pid

    def start(self) -> None:
        """Start the process unless it runs; it imports torch while this returns at once."""
        if self._child is not None and not self._child.is_alive:
            self._drop()  # lost while idle, which costs no job
        if self._child is None:
            self._child = Child()

    def stop(self) -> None:
        """End the process; a later call starts another."""
        self._drop()

    def _drop(self) -> None:
        child, self._child, self._loaded = self._child, None, None
        if child is not None:
            child.end()

    def load(
        self,
        model: ModelRequest,
        *,
        stall_s: float,
        waiting: Callable[[], None] = lambda: None,
    ) -> tuple[str, ...]:
        """Load a model, and return the names of its outputs.

        Args:
            model: the model; one that is loaded already is kept.
            stall_s: seconds without a message after which the worker counts as hung.
            waiting: called several times a second; an exception of it ends the worker in order,
                so that no partial download is left, and is passed on.

        Raises:
            UsageError: the model or an option is unknown.
            ModelUnavailable: the weights cannot be fetched.
            ModelError: the weights are unusable.
            WorkerLost: the process crashed, was killed or hung.
        """
        self.start()
        if self._loaded is not None and self._loaded[0] == model:
            return self._loaded[1]
        self._loaded = None

        def on_message(message: Message | None) -> None:
            waiting()
            if isinstance(message, Fetching) and self._fetching is not None:
                self._fetching(message.done_bytes, message.total_bytes, message.label)
            elif isinstance(message, Announced) and self._announce is not None:
                self._announce(message.text)

        answer = self._ask(Load(model.to_json()), on_message, stall_s, give_up=Child.end)
        if not isinstance(answer, Loaded):
            self._defect(f"{type(answer).__name__} in place of a model", "")
        self._loaded = (model, tuple(answer.outputs))
        self.hop_s = answer.hop_s
        return self._loaded[1]

    def process(
        self,
        model: ModelRequest,
        order: RenderRequest,
        folder: Path,
        listener: Listener,
        *,
        stall_s: float,
    ) -> Manifest:
        """Make the files of one bounce; see `bridge.render.pipeline.render_bounce`.

        Args:
            model: the model; loaded first if it is not.
            order: the bounce, its preset and file names.
            folder: empty folder; after an error its content is undefined.
            listener: called with (stage, share done), several times a second; an exception of it
                kills the worker and is passed on.
            stall_s: as for `load`.

        Raises:
            InternalError: an unexpected exception in the worker.
            WorkerLost: the process crashed, was killed or hung.
            StembridgeError: as the pipeline.
        """
        last, begun = Stage("survey", 0.0), False
        self.non_fatal_errors = []

        def on_message(message: Message | None) -> None:
            nonlocal last, begun
            begun = begun or message is not None
            if isinstance(message, Stage):
                last = message
            elif isinstance(message, NonFatalError):
                self.non_fatal_errors.append(message)
            listener(last.name, last.share)

        def ask() -> Answer:
            self.load(model, stall_s=stall_s, waiting=lambda: on_message(None))
            request = Process(order.to_json(), str(folder))
            plugins = [file.name for file in order.preset.plugin_files]
            return self._ask(request, on_message, stall_s, give_up=Child.kill, plugins=plugins)

        was_loaded = self._loaded is not None
        try:
            answer = ask()
        except WorkerLost:
            if begun or not was_loaded:
                raise
            answer = ask()  # it had died unnoticed between two jobs
        if not isinstance(answer, Done):
            self._defect(f"{type(answer).__name__} in place of stems", "")
        return Manifest.from_json(answer.manifest)

    def _ask(
        self,
        request: Load | Process,
        on_message: Callable[[Message | None], None],
        stall_s: float,
        *,
        give_up: Callable[[Child], None],
        plugins: Sequence[str] = (),
    ) -> Answer:
        """Send a request and return the answer; ends the worker after an unexpected error."""
        child = self._child
        assert child is not None  # started by the caller
        try:
            answer = _converse(child, request, on_message, stall_s, plugins)
        except BaseException:
            self._child = self._loaded = None
            give_up(child)
            raise
        if isinstance(answer, Failed):
            raise answer.error
        if isinstance(answer, Defect):
            self._defect(answer.text, answer.traceback)
        return answer

    def _defect(self, text: str, traceback: str) -> NoReturn:
        """End the worker, whose state is undefined, and raise InternalError."""
        print(traceback, file=sys.stderr, flush=True)
        self._drop()
        raise InternalError(f"internal error: {text}; please report it")


def _converse(
    child: Child,
    request: Load | Process,
    on_message: Callable[[Message | None], None],
    stall_s: float,
    plugins: Sequence[str],
) -> Answer:
    """Send a request and receive messages until its answer.

    Args:
        child: the process.
        request: the request.
        on_message: called with each message, and with None at each tick without one.
        stall_s: seconds without a message after which the worker counts as hung.
        plugins: names of the plugins of the job, for the error message.

    Raises:
        WorkerLost: the process ended, hung or sent an invalid message.
    """
    doing, silence = "loading the model", Silence(time.monotonic())
    if isinstance(request, Process):
        doing = "survey"
    try:
        child.send(request)
        while silence.lasts_s < stall_s:
            message = child.receive(TICK_S)
            silence.tick(time.monotonic(), message)
            on_message(message)
            if isinstance(message, Loaded | Done | Failed | Defect):
                return message
            if isinstance(message, Stage):
                doing = message.name
    except InvalidMessage as error:
        raise WorkerLost(
            f"the worker sent an invalid message ({error}); please report it"
        ) from error
    except ChildExited:
        on_message(None)  # raises if the service is stopping, which may have ended the worker too
        raise _lost(*child.exit_report(), doing, plugins) from None
    raise WorkerLost(
        f"the worker made no progress for {stall_s:g} s (at: {doing}) and was ended; raise "
        "`stall_s` in the settings if this computer is that slow"
    )


def _lost(code: int | None, diagnosis: str, doing: str, plugins: Sequence[str]) -> WorkerLost:
    error = WorkerLost(f"the worker {describe_exit(code, diagnosis, plugins)} (at: {doing})")
    error.diagnosis = diagnosis
    return error


class Silence:
    """Duration without a message, time of suspension excluded.

    now_s: monotonic time.
    """

    def __init__(self, now_s: float) -> None:
        self.lasts_s = 0.0
        self._now_s = now_s
        self._excused = False

    def tick(self, now_s: float, message: Message | None) -> None:
        """Count the time since the last tick; `message` is the one received, if any."""
        if message is not None:
            self.lasts_s = 0.0
            self._excused = isinstance(message, Fetching) and message.waits
        elif not self._excused:
            self.lasts_s += min(now_s - self._now_s, LONGEST_TICK_S)
        self._now_s = now_s
