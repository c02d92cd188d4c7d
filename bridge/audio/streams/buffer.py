"""Buffered random access to an open file, for walks that read small pieces."""

from __future__ import annotations

from typing import BinaryIO

_PIECE_BYTES = 1 << 18


class Buffer:
    """Bytes `start` to `end` of a file, of which one piece is kept: walks go forward.

    piece_bytes: size of a read; smaller for a walk that skips most of the file.
    """

    def __init__(
        self, file: BinaryIO, start: int, end: int, piece_bytes: int = _PIECE_BYTES
    ) -> None:
        self.file = file
        self.start = start
        self.end = end
        self._piece_bytes = piece_bytes
        self._piece = b""
        self._piece_at = start

    def at(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset` on: fewer at the end, none before the start."""
        count = min(count, self.end - offset)
        if count <= 0 or offset < self.start:
            return b""
        first = offset - self._piece_at
        if first < 0 or first + count > len(self._piece):
            self.file.seek(offset)
            self._piece = self.file.read(min(max(count, self._piece_bytes), self.end - offset))
            self._piece_at, first = offset, 0
        return self._piece[first : first + count]

    def find(self, wanted: bytes, offset: int) -> int | None:
        """Return the first offset of `wanted` from `offset` on; None if it does not occur."""
        while offset + len(wanted) <= self.end:
            piece = self.at(offset, _PIECE_BYTES)
            found = piece.find(wanted)
            if found >= 0:
                return offset + found
            offset += max(len(piece) - len(wanted) + 1, 1)
        return None

    def zeros_end(self, offset: int) -> int:
        """Return the offset of the first non-zero byte from `offset` on; the end without one."""
        while piece := self.at(offset, _PIECE_BYTES):
            rest = piece.lstrip(b"\0")
            if rest:
                return offset + len(piece) - len(rest)
            offset += len(piece)
        return max(offset, self.end)  # a tag may claim to end behind the file

    def is_zero(self, start: int, end: int) -> bool:
        """Return whether all bytes between two offsets are zero."""
        return self.zeros_end(start) >= end
