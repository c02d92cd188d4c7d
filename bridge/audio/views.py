"""Byte ranges of an open file as files of their own."""

from __future__ import annotations

import io
import os
from typing import BinaryIO, cast


class View(io.RawIOBase):
    """`size_bytes` of an open file from byte `start` on; errors of the system are raised."""

    def __init__(self, file: BinaryIO, start: int, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.file = file
        self.start = start
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size_bytes}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self.file.seek(self.start + self._at)
        data = self.file.read(max(min(len(buffer), self.size_bytes - self._at), 0))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def size_bytes(file: BinaryIO) -> int:
    """Return the current size of an open file or of a view of one."""
    if isinstance(file, View):
        return file.size_bytes
    return os.fstat(file.fileno()).st_size


def bytes_at(file: BinaryIO, at: int, count: int) -> bytes:
    """Read up to `count` bytes of an open file from byte `at` on."""
    file.seek(at)
    return file.read(count)


def state_of(file: BinaryIO) -> tuple[int, ...] | None:
    """Return a key that changes with the file, and identifies a view; None if it is no file."""
    if isinstance(file, View):
        state = state_of(file.file)
        return None if state is None else (*state, file.start, file.size_bytes)
    try:
        now = os.fstat(file.fileno())
    except (OSError, ValueError):
        return None
    return now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns


def view(file: BinaryIO, start: int, end: int) -> BinaryIO:
    """Return the bytes `start` to `end` of an open file as a file; `file` itself if that is all."""
    if start == 0 and end >= size_bytes(file):
        return file
    return cast("BinaryIO", View(file, start, max(end - start, 0)))
