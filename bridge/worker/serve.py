"""The child's side of the line: takes orders from standard input, until that closes.

What a terminal or a service manager sends to the whole group of processes is for the parent: it
decides what becomes of the job, and closes the line or kills us. When it dies, the line closes too.
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

# Imports make 170,000 objects that stay; looking for garbage among them costs a tenth more.
GARBAGE_OBJECTS = 50_000
# A service that has more to do asks for it within milliseconds; the end of a command comes as soon.
IDLE_S = 1.0
# Of a traceback in a message.
TRACEBACK_CHARACTERS = 20_000
# The kernel adds this many thousandths of the memory to our size when it looks for whom to kill, so
# that it takes the worker and not the service (proc(5), oom_score_adj).
OOM_SCORE = 500


def main() -> NoReturn:
    """The whole life of the process; ends it."""
    over = threading.Event()
    standard_streams.guard()  # what a library prints must not fail the job
    _settle_in(over)
    line = ParentConnection()
    logging.getLogger("bridge").addHandler(ParentLogHandler(line))
    orders: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
    threading.Thread(target=_take_orders, args=(line.orders, orders, over), daemon=True).start()
    threading.Thread(target=warm_up, daemon=True).start()
    code = 0
    try:
        import_all(FIRST)
        serve_requests(line, orders)
    except SystemExit:
        code = 1
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(code)  # nothing is open, and taking torch down in order takes a while


class ParentConnection:
    """Both directions, on descriptors of their own.

    Whatever a library prints goes to standard error, and what it reads is empty.
    """

    def __init__(self) -> None:
        self.orders: IO[bytes] = os.fdopen(os.dup(0), "rb")
        self._answers = os.dup(1)
        self._lock = threading.Lock()
        with open(os.devnull, "rb") as nothing:  # noqa: PTH123 a device, not a path of ours
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)

    def send(self, message: Message) -> None:
        """Ends this process when nobody listens any more."""
        data = memoryview(encode(message))
        try:
            with self._lock:
                while data:
                    data = data[os.write(self._answers, data) :]
        except OSError:
            sys.exit(1)


class ParentLogHandler(logging.Handler):
    """Sends records with an exception to the parent, whose log keeps them."""

    def __init__(self, line: ParentConnection) -> None:
        super().__init__(level=logging.ERROR)
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        lines = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        self._line.send(NonFatalError(record.getMessage(), lines[-TRACEBACK_CHARACTERS:]))


def serve_requests(line: ParentConnection, orders: queue.SimpleQueue[Message | None]) -> None:
    """Does what is asked for, one thing after another; every request has one answer."""
    loaded: Separator | None = None
    while (request := next_request(orders)) is not None:
        try:
            if isinstance(request, Load):
                loaded = None  # two models at once may not fit into the memory
                loaded = _load(request, line)
                line.send(Loaded(list(loaded.outputs), loaded.hop_s))
            elif isinstance(request, Process) and loaded is not None:
                line.send(_process(request, loaded, line))
            else:
                raise RuntimeError(f"a {type(request).__name__} out of turn")
        except StembridgeError as error:
            line.send(Failed.of(error))
        except SeparatorError as error:
            line.send(Failed.of(from_separation(error)))
        except Exception as error:  # noqa: BLE001 the parent says what it means for the job
            text = traceback.format_exc()[-TRACEBACK_CHARACTERS:]
            line.send(Defect(f"{type(error).__name__}: {error}", text))


def next_request(orders: queue.SimpleQueue[Message | None]) -> Message | None:
    """Waits for it; when none comes at once, memory that is free goes back to the system."""
    with contextlib.suppress(queue.Empty):
        return orders.get(timeout=IDLE_S)
    give_back_memory()
    return orders.get()


def give_back_memory() -> None:
    """What malloc has kept for later, where it can be told to: glibc."""
    import ctypes

    with contextlib.suppress(AttributeError, OSError, TypeError):  # TypeError: Windows
        ctypes.CDLL(None).malloc_trim(0)


def _load(request: Load, line: ParentConnection) -> Separator:
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
        progress=lambda done, total, label: line.send(Fetching(done, total, label)),
        announce=lambda text: line.send(Announced(text)),
    )


def _process(request: Process, loaded: Separator, line: ParentConnection) -> Done:
    from bridge.render.pipeline import render_bounce
    from bridge.render.request import RenderRequest
    from bridge.render.stopwatch import Stopwatch

    watch = Stopwatch(lambda name, share: line.send(Stage(name, share)))
    order = RenderRequest.from_json(request.order)
    return Done(render_bounce(order, loaded, Path(request.folder), watch).to_json())


def _settle_in(over: threading.Event) -> None:
    """Priorities of the process, and signals: all but our own are the parent's business."""

    def end(*_: object) -> None:
        if over.is_set():
            sys.exit(1)  # on the way out, what is half done is cleared away

    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end)
    gc.set_threshold(GARBAGE_OBJECTS, 50, 50)
    place = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError, ValueError):  # another system, or a sandbox
        place.write_text(str(max(OOM_SCORE, int(place.read_text()))), encoding="ascii")


def _take_orders(
    pipe: IO[bytes], orders: queue.SimpleQueue[Message | None], over: threading.Event
) -> None:
    """Until the line closes: the parent has ended, or wants us to end."""
    with contextlib.suppress(Exception):  # whatever ends this thread ends the process
        for text in pipe:
            orders.put(decode(text))
    over.set()
    orders.put(None)  # ends us at once if we have nothing to do
    if hasattr(signal, "pthread_kill"):
        # A real signal, because it also wakes the main thread from a wait for another program.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    else:
        _thread.interrupt_main(signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(1)
