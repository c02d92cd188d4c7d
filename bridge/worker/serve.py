"""Main program of the worker process: serves requests from standard input until that closes.

Signals that a terminal or service manager sends to the process group are left to the parent, which
closes the pipe or kills this process. When the parent dies, the pipe closes as well.
"""

from __future__ import annotations

import _thread
import contextlib
import gc
import logging
import os
import queue
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

from bridge.errors import StembridgeError, from_separation
from bridge.system import standard_streams
from bridge.worker.child import GRACE_S
from bridge.worker.protocol import (
    Announced,
    Defect,
    Done,
    Failed,
    Fetching,
    Load,
    Loaded,
    Message,
    NonFatalError,
    Process,
    Stage,
    decode,
    encode,
)
from bridge.worker.torch_startup import FIRST, import_all, warm_up
from separator.errors import SeparatorError

if TYPE_CHECKING:
    from separator.separator import Separator

# Imports create 170,000 lasting objects; the default threshold makes importing a tenth slower.
GARBAGE_OBJECTS = 50_000
# A service with another job sends it within milliseconds, and a command ends as soon.
IDLE_S = 1.0
# Longest traceback in a message.
TRACEBACK_CHARACTERS = 20_000
# The kernel adds this many thousandths of the memory to the size of this process when memory runs
# out, so that it kills the worker and not the service (proc(5), oom_score_adj).
OOM_SCORE = 500


def main() -> NoReturn:
    """Run the process, and end it."""
    over = threading.Event()
    standard_streams.guard()  # output of a library must not fail the job
    _configure_process(over)
    connection = ParentConnection()
    logging.getLogger("bridge").addHandler(ParentLogHandler(connection))
    requests: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
    threading.Thread(
        target=_read_requests, args=(connection.requests, requests, over), daemon=True
    ).start()
    threading.Thread(target=warm_up, daemon=True).start()
    code = 0
    try:
        import_all(FIRST)
        serve_requests(connection, requests)
    except SystemExit:
        code = 1
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(code)  # nothing is open, and an orderly exit of torch is slow


class ParentConnection:
    """Pipe to the parent, on duplicates of standard input and output.

    Libraries then print to standard error and read from the null device.
    """

    def __init__(self) -> None:
        self.requests: IO[bytes] = os.fdopen(os.dup(0), "rb")
        self._answers = os.dup(1)
        self._lock = threading.Lock()
        with open(os.devnull, "rb") as nothing:  # noqa: PTH123 a device
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)

    def send(self, message: Message) -> None:
        """Send a message; exits when the parent no longer reads."""
        data = memoryview(encode(message))
        try:
            with self._lock:
                while data:
                    data = data[os.write(self._answers, data) :]
        except OSError:
            sys.exit(1)


class ParentLogHandler(logging.Handler):
    """Log handler that sends records to the parent for its log."""

    def __init__(self, connection: ParentConnection) -> None:
        super().__init__(level=logging.ERROR)
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        lines = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        self._connection.send(NonFatalError(record.getMessage(), lines[-TRACEBACK_CHARACTERS:]))


def serve_requests(
    connection: ParentConnection, requests: queue.SimpleQueue[Message | None]
) -> None:
    """Handle requests in order; each gets exactly one answer."""
    loaded: Separator | None = None
    while (request := next_request(requests)) is not None:
        try:
            if isinstance(request, Load):
                loaded = None  # two models may not fit into memory
                loaded = _load(request, connection)
                connection.send(Loaded(list(loaded.outputs), loaded.hop_s))
            elif isinstance(request, Process) and loaded is not None:
                connection.send(_process(request, loaded, connection))
            else:
                raise RuntimeError(f"unexpected request {type(request).__name__}")
        except StembridgeError as error:
            connection.send(Failed.of(error))
        except SeparatorError as error:
            connection.send(Failed.of(from_separation(error)))
        except Exception as error:  # noqa: BLE001 the parent decides about the job
            text = traceback.format_exc()[-TRACEBACK_CHARACTERS:]
            connection.send(Defect(f"{type(error).__name__}: {error}", text))


def next_request(requests: queue.SimpleQueue[Message | None]) -> Message | None:
    """Wait for the next request; after `IDLE_S` without one, release free memory."""
    with contextlib.suppress(queue.Empty):
        return requests.get(timeout=IDLE_S)
    release_memory()
    return requests.get()


def release_memory() -> None:
    """Return free memory of malloc to the system; glibc only."""
    import ctypes

    with contextlib.suppress(AttributeError, OSError, TypeError):  # TypeError: Windows
        ctypes.CDLL(None).malloc_trim(0)


def _load(request: Load, connection: ParentConnection) -> Separator:
    import separator
    from bridge.render.model_request import ModelRequest
    from separator.weights.store import Store

    order = ModelRequest.from_json(request.order)
    return separator.load(
        order.model,
        order.device,
        order.precision,
        **order.options,
        store=Store(order.cache_dir),
        progress=lambda done, total, label: connection.send(Fetching(done, total, label)),
        announce=lambda text: connection.send(Announced(text)),
    )


def _process(request: Process, loaded: Separator, connection: ParentConnection) -> Done:
    from bridge.render.pipeline import render_bounce
    from bridge.render.request import RenderRequest
    from bridge.render.stopwatch import Stopwatch

    watch = Stopwatch(lambda name, share: connection.send(Stage(name, share)))
    order = RenderRequest.from_json(request.order)
    return Done(render_bounce(order, loaded, Path(request.folder), watch).to_json())


def _configure_process(over: threading.Event) -> None:
    """Set signal handlers, garbage collection and the priority for the OOM killer."""

    def end(*_: object) -> None:
        if over.is_set():
            sys.exit(1)  # context managers remove partial files

    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end)
    gc.set_threshold(GARBAGE_OBJECTS, 50, 50)
    place = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError, ValueError):  # another system, or a sandbox
        place.write_text(str(max(OOM_SCORE, int(place.read_text()))), encoding="ascii")


def _read_requests(
    pipe: IO[bytes], requests: queue.SimpleQueue[Message | None], over: threading.Event
) -> None:
    """Queue requests until the pipe closes, then end the process."""
    with contextlib.suppress(Exception):  # any error here ends the process
        for text in pipe:
            requests.put(decode(text))
    over.set()
    requests.put(None)  # ends an idle process at once
    if hasattr(signal, "pthread_kill"):
        # A real signal also interrupts a wait of the main thread for another program.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    else:
        _thread.interrupt_main(signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(1)
