"""The worker as the service uses it: ask for work, hear how it goes, get a result or one error."""

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

# How late the end of the service may be noticed while the worker is silent.
TICK_S = 0.1
# A tick that took longer than this is a computer that slept or a process that was held, not a
# worker that is silent.
LONGEST_TICK_S = 1.0


class Worker:
    """A process that does the work. It is started when it is needed, and again when it was lost.

    One job at a time; the caller owns the thread. Use it as a context manager, or `stop` it.

    fetching: hears of weights on their way (bytes done, bytes in all, label).
    announce: gets the licence of weights that are fetched for the first time.
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
        self.hop_s = 0.0  # of the model that was loaded last; see `Separator.hop_s`
        self.non_fatal_errors: list[NonFatalError] = []  # of the job that was done last

    def __enter__(self) -> Worker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The number of the running process; None while there is none."""
        return None if self._child is None else self._child.pid

    def start(self) -> None:
        """Starts the process, which imports torch at once; does not wait. One that runs is kept."""
        if self._child is not None and not self._child.is_alive:
            self._drop()  # lost while it had nothing to do: costs no job
        if self._child is None:
            self._child = Child()

    def stop(self) -> None:
        """Ends the process; a later call starts another."""
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
        """Has a model ready; returns the names of its outputs.

        Args:
            model: what is loaded already is kept.
            stall_s: the worker is lost when nothing is heard of it for so long.
            waiting: is called several times a second; what it raises ends the worker in order, so
                that no half of a download is left, and is passed on.

        Raises:
            UsageError: no such model or option. ModelUnavailable: no weights. ModelError: they are
            unusable. WorkerLost: the process crashed, was killed or hung.
        """
        self.start()
        if self._loaded is not None and self._loaded[0] == model:
            return self._loaded[1]
        self._loaded = None

        def hear(message: Message | None) -> None:
            waiting()
            if isinstance(message, Fetching) and self._fetching is not None:
                self._fetching(message.done_bytes, message.total_bytes, message.label)
            elif isinstance(message, Announced) and self._announce is not None:
                self._announce(message.text)

        answer = self._ask(Load(model.to_json()), hear, stall_s, give_up=Child.end)
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
        """Makes the files of one bounce; see `bridge.render.pipeline.render_bounce`.

        Args:
            model: loaded first where it is not.
            order: what to make.
            folder: empty. After an error it may hold anything, and nobody writes there any more.
            listener: hears (stage, share done), and the last one again several times a second; what
                it raises kills the worker and is passed on.
            stall_s: as of `load`.

        Raises:
            StembridgeError: as the pipeline; InternalError for what nobody foresaw; WorkerLost when
            the process crashed, was killed or hung.
        """
        last, begun = Stage("survey", 0.0), False
        self.non_fatal_errors = []

        def hear(message: Message | None) -> None:
            nonlocal last, begun
            begun = begun or message is not None
            if isinstance(message, Stage):
                last = message
            elif isinstance(message, NonFatalError):
                self.non_fatal_errors.append(message)
            listener(last.name, last.share)

        def ask() -> Answer:
            self.load(model, stall_s=stall_s, waiting=lambda: hear(None))
            request = Process(order.to_json(), str(folder))
            plugins = [file.name for file in order.preset.plugin_files]
            return self._ask(request, hear, stall_s, give_up=Child.kill, plugins=plugins)

        was_loaded = self._loaded is not None
        try:
            answer = ask()
        except WorkerLost:
            if begun or not was_loaded:
                raise
            answer = ask()  # it died between two jobs, and nobody had noticed
        if not isinstance(answer, Done):
            self._defect(f"{type(answer).__name__} in place of stems", "")
        return Manifest.from_json(answer.manifest)

    def _ask(
        self,
        request: Load | Process,
        hear: Callable[[Message | None], None],
        stall_s: float,
        *,
        give_up: Callable[[Child], None],
        plugins: Sequence[str] = (),
    ) -> Answer:
        """The answer, if it is none of the errors. The worker stays only after what it expects."""
        child = self._child
        assert child is not None  # started by the caller
        try:
            answer = _converse(child, request, hear, stall_s, plugins)
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
        """What is in the memory of that process is not to be trusted any more."""
        print(traceback, file=sys.stderr, flush=True)
        self._drop()
        raise InternalError(f"internal error: {text}; please report it")


def _converse(
    child: Child,
    request: Load | Process,
    hear: Callable[[Message | None], None],
    stall_s: float,
    plugins: Sequence[str],
) -> Answer:
    """Sends a request and listens until it is answered. Raises WorkerLost.

    plugins: names of those that the work needs, for whom it may concern.
    """
    doing, silence = "loading the model", Silence(time.monotonic())
    if isinstance(request, Process):
        doing = "survey"
    try:
        child.send(request)
        while silence.lasts_s < stall_s:
            message = child.receive(TICK_S)
            silence.tick(time.monotonic(), message)
            hear(message)
            if isinstance(message, Loaded | Done | Failed | Defect):
                return message
            if isinstance(message, Stage):
                doing = message.name
    except InvalidMessage as error:
        raise WorkerLost(f"the worker spoke nonsense ({error}); please report it") from error
    except ChildExited:
        hear(None)  # who ends us may have ended the worker too: then it is no loss
        raise _lost(*child.exit_report(), doing, plugins) from None
    raise WorkerLost(
        f"the worker gave no sign of life for {stall_s:g} s (at: {doing}) and was ended; raise "
        "`stall_s` in the settings if this computer is that slow"
    )


def _lost(code: int | None, diagnosis: str, doing: str, plugins: Sequence[str]) -> WorkerLost:
    error = WorkerLost(f"the worker {describe_exit(code, diagnosis, plugins)} (at: {doing})")
    error.diagnosis = diagnosis
    return error


class Silence:
    """How long nothing was heard, as far as we were awake to hear it.

    now_s: of a clock that never goes back.
    """

    def __init__(self, now_s: float) -> None:
        self.lasts_s = 0.0
        self._now_s = now_s
        self._excused = False

    def tick(self, now_s: float, message: Message | None) -> None:
        """After each look for a message, whether one came or not."""
        if message is not None:
            self.lasts_s = 0.0
            self._excused = isinstance(message, Fetching) and message.waits
        elif not self._excused:
            self.lasts_s += min(now_s - self._now_s, LONGEST_TICK_S)
        self._now_s = now_s
