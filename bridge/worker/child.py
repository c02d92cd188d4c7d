"""The child process as its parent holds it: start, send, receive, end, and how it ended."""

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

# A manifest has a few kilobytes, a traceback at most 20; a line beyond this is no message.
LINE_BYTES = 1 << 20
# Of the child's standard error: a crash report of faulthandler has some 5 kB for 20 threads.
TAIL_BYTES = 1 << 14
# What an orderly end may take: removing half a download, ending the program that fetched it.
GRACE_S = 2.0
# What it takes at most to give its memory back. `Popen.wait` looks again after 1, 2, 4, ... 50 ms,
# up to as much too late; its line closes at once.
CLOSING_S = 0.1
# A killed process is gone at once, unless it waits for a dead disk; nobody can wait for that.
REAP_S = 1.0

# The child sees the modules that we see. `-m` would put the working folder first, and a file named
# like a module there would be run; `-P` against that came with Python 3.11.
_BOOT = "import sys; sys.path[:] = {path!a}; from bridge.worker.serve import main; main()"

# For glibc's malloc. As it is, each large array is memory that the kernel has to clear, taken and
# given back many times a segment: that is a tenth of the processor time. One heap for all threads
# keeps what is free at its end, up to half a gigabyte, for as long as there is work (see
# `serve.next_order`). Only the few largest arrays are mapped apart, weights' files among them: they
# would leave gaps that nothing else fits, a little more with every minute of music. Other systems
# ignore these names.
MALLOC = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(16 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(512 << 20),
}


class ChildExited(Exception):
    """The child is gone, or closed its end of the line."""


class Child:
    """One worker process. `messages()` are read by one thread, that of the caller.

    It ends by itself when this object goes, because its standard input is closed then.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable,
                *("-X", "faulthandler"),  # a crash leaves the Python stack in the log
                *("-X", f"utf8={sys.flags.utf8_mode}"),  # names must mean the same bytes to both
                *("-c", _BOOT.format(path=[str(path) for path in sys.path])),
                "stembridge worker",  # what a list of processes shows
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
        """Its process number."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def send(self, message: Message) -> None:
        """Raises Ended when nobody listens any more."""
        pipe = _pipe(self._process.stdin)
        try:
            pipe.write(encode(message))
            pipe.flush()
        except OSError as error:
            raise ChildExited from error

    def receive(self, timeout_s: float) -> Message | None:
        """The next message; None when none came in time. Raises Ended, and Garbage for nonsense."""
        try:
            got = self._messages.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(got, ChildExited | InvalidMessage):
            raise got
        return got

    def end(self, grace_s: float = GRACE_S) -> None:
        """Lets it go in order, and kills it when that takes longer. Never raises."""
        with contextlib.suppress(OSError):  # bytes may be left that nobody takes
            _pipe(self._process.stdin).close()  # it takes that as its end
        self._readers[0].join(min(grace_s, CLOSING_S))  # no longer: others may hold the line
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        self.kill()

    def kill(self) -> None:
        """Ends it at once. Never raises."""
        if self.is_alive:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(REAP_S)
        with contextlib.suppress(OSError):
            _pipe(self._process.stdin).close()

    def exit_report(self) -> tuple[int | None, str]:
        """Exit code (negative: minus the signal) and the end of its standard error.

        For a child that closed the line; one that does not end then is killed (code None).
        """
        try:
            code: int | None = self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            code = None
        self.kill()
        for reader in self._readers:
            reader.join(REAP_S)  # a program that it started may still hold the pipe
        return code, self._tail.text


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """The child's environment: ours, which may say otherwise of `MALLOC`."""
    return {**MALLOC, **ours}


def describe_exit(code: int | None, diagnosis: str, plugins: Sequence[str] = ()) -> str:
    """Describe an unexpected exit and its remedy; the text continues "the worker ".

    Args:
        code: exit code from `Child.exit_report`.
        diagnosis: the end of the child's standard error.
        plugins: names of the audio plugins that the job used.
    """
    if code is None:
        return "closed its line and did not end; please report it"
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
    shown = hex(code) if code > 255 else str(code)  # Windows has its crashes as large numbers
    lines = diagnosis.strip().splitlines()
    last = f": {lines[-1]}" if lines else ""
    return f"ended with code {shown}{last}; `stembridge doctor` says whether all is installed"


class _Tail:
    """The last TAIL_BYTES of a stream."""

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
    """Until the pipe ends. Takes nothing that would keep the child alive."""
    try:
        with pipe, contextlib.suppress(OSError, ValueError):
            while line := pipe.readline(LINE_BYTES):
                try:
                    messages.put(decode(line))
                except InvalidMessage as error:
                    messages.put(error)
    finally:
        messages.put(ChildExited())  # also when this thread dies: nobody else would end the waiting


def _read_tail(pipe: IO[bytes], tail: _Tail) -> None:
    with pipe, contextlib.suppress(OSError, ValueError):
        while data := pipe.read1(TAIL_BYTES):  # type: ignore[attr-defined]
            tail.add(data)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # all three were asked for
    return stream


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
