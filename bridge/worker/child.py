"""Child process of the worker, seen from its parent: start, send, receive, end, exit report."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING

from bridge.worker.protocol import InvalidMessage, decode, encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.worker.protocol import Message

# A manifest takes a few kB, a traceback at most 20 kB; a longer line is no message.
LINE_BYTES = 1 << 20
# Kept of the standard error: a report of faulthandler takes about 5 kB for 20 threads.
TAIL_BYTES = 1 << 14
# Time for an orderly end: removing a partial download, ending the program that fetches it.
GRACE_S = 2.0
# Time to free its memory. `Popen.wait` polls after 1, 2, 4, ... 50 ms and so returns late; the pipe
# closes at once.
CLOSING_S = 0.1
# A killed process ends at once, unless it waits for a dead disk.
REAP_S = 1.0

# The child gets the parent's module path. `-m` would put the working folder first, so that a file
# named like a module there would be run; `-P` prevents that from Python 3.11 on.
_BOOT = "import sys; sys.path[:] = {path!a}; from bridge.worker.serve import main; main()"

# Settings of glibc's malloc. By default each large array is mapped, cleared by the kernel and
# unmapped many times a segment, which takes a tenth of the processor time. One heap for all threads
# keeps up to 512 MB of free memory at its end while there are jobs (see `serve.next_request`). Only
# the largest arrays, weights among them, are mapped separately: in the heap they would leave gaps
# that grow with the length of the bounce. Other systems ignore these variables.
MALLOC = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(16 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(512 << 20),
}


class ChildExited(Exception):
    """The child has ended, or closed its end of the pipe."""


class Child:
    """One worker process, used by one thread.

    The process ends when this object is deleted, because its standard input closes then.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable,
                *("-X", "faulthandler"),  # a crash prints the Python stack
                *("-X", f"utf8={sys.flags.utf8_mode}"),  # file names must be encoded alike
                *("-c", _BOOT.format(path=[str(path) for path in sys.path])),
                "stembridge worker",  # shown in process lists
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(os.environ),
        )
        self._messages: queue.SimpleQueue[Message | InvalidMessage | ChildExited] = (
            queue.SimpleQueue()
        )
        self._tail = _Tail()
        self._readers = (
            threading.Thread(
                target=_read_lines, args=(_pipe(self._process.stdout), self._messages), daemon=True
            ),
            threading.Thread(
                target=_read_tail, args=(_pipe(self._process.stderr), self._tail), daemon=True
            ),
        )
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """Process number."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def send(self, message: Message) -> None:
        """Send a message. Raises ChildExited when the child no longer reads."""
        pipe = _pipe(self._process.stdin)
        try:
            pipe.write(encode(message))
            pipe.flush()
        except OSError as error:
            raise ChildExited from error

    def receive(self, timeout_s: float) -> Message | None:
        """The next message; None after `timeout_s`. Raises ChildExited or InvalidMessage."""
        try:
            got = self._messages.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(got, ChildExited | InvalidMessage):
            raise got
        return got

    def end(self, grace_s: float = GRACE_S) -> None:
        """Let the process end in order; kill it after `grace_s`. Never raises."""
        with contextlib.suppress(OSError):  # unsent bytes may be left
            _pipe(self._process.stdin).close()  # the child ends at that
        self._readers[0].join(
            min(grace_s, CLOSING_S)
        )  # no longer: its own children may hold the pipe
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        self.kill()

    def kill(self) -> None:
        """End the process at once. Never raises."""
        if self.is_alive:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(REAP_S)
        with contextlib.suppress(OSError):
            _pipe(self._process.stdin).close()

    def exit_report(self) -> tuple[int | None, str]:
        """Exit code (negative: minus the signal) and the end of the standard error.

        For a child that closed its pipe; one that does not end by itself is killed (code None).
        """
        try:
            code: int | None = self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            code = None
        self.kill()
        for reader in self._readers:
            reader.join(REAP_S)  # its own children may still hold the pipe
        return code, self._tail.text


def environment(parent: Mapping[str, str]) -> dict[str, str]:
    """Environment of the child: `MALLOC`, overridden by the parent's."""
    return {**MALLOC, **parent}


def describe_exit(code: int | None, diagnosis: str, plugins: Sequence[str] = ()) -> str:
    """Describe an unexpected exit and its remedy; the text follows "the worker ".

    Args:
        code: exit code from `Child.exit_report`.
        diagnosis: the end of the child's standard error.
        plugins: names of the audio plugins that the job used.
    """
    if code is None:
        return "closed its pipe but did not end; please report it"
    if code < 0:
        name = _signal_name(-code)
        if name == "SIGKILL":
            return (
                "was killed (SIGKILL): most likely the system ran out of memory; close other "
                "programs, or choose a smaller model or a shorter --segment"
            )
        suspect = f"a plug-in ({', '.join(plugins)})" if plugins else "a plug-in"
        return (
            f"crashed with {name}: {suspect}, an effect or a decoder may be at fault; try the "
            "preset stems, or render the bounce again"
        )
    shown = hex(code) if code > 255 else str(code)  # Windows reports crashes as large numbers
    lines = diagnosis.strip().splitlines()
    last = f": {lines[-1]}" if lines else ""
    return f"ended with code {shown}{last}; `stembridge doctor` checks the installation"


class _Tail:
    """Last `TAIL_BYTES` of a stream."""

    def __init__(self) -> None:
        self._data = b""

    def add(self, data: bytes) -> None:
        self._data = (self._data + data)[-TAIL_BYTES:]

    @property
    def text(self) -> str:
        return self._data.decode("utf-8", "replace")


def _read_lines(
    pipe: IO[bytes], messages: queue.SimpleQueue[Message | InvalidMessage | ChildExited]
) -> None:
    """Queue the messages of a pipe until it ends; holds no reference to the Child."""
    try:
        with pipe, contextlib.suppress(OSError, ValueError):
            while line := pipe.readline(LINE_BYTES):
                try:
                    messages.put(decode(line))
                except InvalidMessage as error:
                    messages.put(error)
    finally:
        messages.put(ChildExited())  # also if this thread fails, so that `receive` returns


def _read_tail(pipe: IO[bytes], tail: _Tail) -> None:
    with pipe, contextlib.suppress(OSError, ValueError):
        while data := pipe.read1(TAIL_BYTES):  # type: ignore[attr-defined]
            tail.add(data)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # all three are pipes
    return stream


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
