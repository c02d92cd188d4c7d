"""Guarded standard output and error: printing never raises.

`guard` runs before anything else opens a file or starts a process. From then on

- a closed descriptor is opened on the null device: otherwise the next file that is opened, such as
  the ledger, would get its number and all output;
- a character that the stream's encoding lacks is written in ASCII;
- a failed write (disk full, reader gone, terminal gone) is recorded and the program continues.

`finish` turns a failed write to standard output into the exit code.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import select
import sys
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from _typeshed import ReadableBuffer

ERRORS = "stembridge"
"""Name of the codec error handler that `guard` registers; see `in_ascii`."""

READER_GONE = 141
"""Exit code when the reader of a pipe is gone: 128 + SIGPIPE, as in shells."""

# Windows reports a pipe without a reader as an invalid argument.
_GONE = frozenset({errno.EPIPE, errno.EINVAL} if os.name == "nt" else {errno.EPIPE})
_CLOSED = "it is closed"

_ASCII = {"→": "->", "←": "<-", "…": "..."} | dict(
    zip("×–—−µ‘’“”•·█░", "x---u''\"\"*.#.", strict=True)
)
_BOX_DRAWING = range(0x2500, 0x2580)
_LINES = {"HORIZONTAL": "-", "LEFT": "-", "RIGHT": "-", "VERTICAL": "|", "UP": "|", "DOWN": "|"}


class Device(io.RawIOBase):
    """Raw stream whose writes never raise.

    Writes are tried even after one has failed, as a full disk may have room again.

    Attributes:
        lost: error of the first failed write; None while there is none.
        on_loss: called with that error.
    """

    def __init__(self, raw: io.RawIOBase, *, closed: bool = False) -> None:
        """closed: the program was started without this stream; `raw` is the null device."""
        self._raw = raw
        self._closed = closed
        self.lost: Exception | None = None
        self.on_loss: Callable[[Exception], None] | None = None

    def writable(self) -> bool:
        """Always true."""
        return True

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._raw.isatty()

    def fileno(self) -> int:
        """The descriptor."""
        return self._raw.fileno()

    def write(self, data: ReadableBuffer, /) -> int:
        """Write bytes or record the error; returns the number of bytes done with."""
        try:
            if self._closed:
                raise OSError(errno.EBADF, _CLOSED)
            return self._write(data)
        except (OSError, ValueError) as error:
            if self.lost is None:
                self.lost = error
                if self.on_loss is not None:
                    self.on_loss(error)
            return memoryview(data).nbytes

    def _write(self, data: ReadableBuffer) -> int:
        # None comes from a full pipe that another program has set to non-blocking.
        while (count := self._raw.write(data)) is None:
            select.select([], [self._raw.fileno()], [])
        return count


_output: Device | None = None
"""Standard output, once it is guarded."""


def guard() -> None:
    """Replace standard output and standard error by guarded streams."""
    global _output
    codecs.register_error(ERRORS, in_ascii)
    _open_missing()
    sys.stdout, _output = _guarded(sys.stdout)
    sys.stderr, _ = _guarded(sys.stderr)


def keep_exit_code() -> None:
    """Ignore a loss of standard output in the exit code; print a warning instead."""
    if _output is not None:
        _output.on_loss = lambda error: _tell(f"{_loss(error)}; the work goes on")
        if _output.lost is not None:
            _output.on_loss(_output.lost)


def finish(code: int) -> int:
    """Flush both streams and return the exit code of the program.

    code: exit code of the command. If its output was lost, 0 becomes 1 with a message on standard
    error, or READER_GONE without one; unchanged after `keep_exit_code`.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    lost = None if _output is None or _output.on_loss is not None else _output.lost
    if lost is None:
        return code
    if isinstance(lost, OSError) and lost.errno in _GONE:
        return code or READER_GONE
    _tell(_loss(lost))
    return code or 1


def in_ascii(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler that replaces characters by similar ASCII ones.

    Others are escaped as by "backslashreplace".
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(map(_ascii, lacking)), error.end


def _ascii(character: str) -> str:
    if ord(character) in _BOX_DRAWING:
        name = unicodedata.name(character)
        return "+" if " AND " in name else _LINES.get(name.rpartition(" ")[2], "+")
    return _ASCII.get(character) or character.encode("ascii", "backslashreplace").decode()


def _open_missing() -> None:
    """Open the null device for each standard descriptor that is closed."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)  # for child processes as well


def _guarded(stream: TextIO | None) -> tuple[TextIO, Device]:
    """The stream over a `Device`, and the device."""
    if stream is None:
        nothing = io.FileIO(os.devnull, "wb")
        device = Device(nothing, closed=True)
        return io.TextIOWrapper(io.BufferedWriter(device), "utf-8", ERRORS), device
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
    buffer: Any = stream.buffer
    device = Device(getattr(buffer, "raw", buffer))  # without a buffer (python -u) it is raw
    made = io.TextIOWrapper(
        io.BufferedWriter(device),
        stream.encoding,
        ERRORS,
        line_buffering=bool(stream.line_buffering or getattr(stream, "write_through", False)),
    )
    return made, device


def _loss(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error)
    return f"standard output cannot be written ({reason})"


def _tell(text: str) -> None:
    print(f"stembridge: {text}", file=sys.stderr, flush=True)
