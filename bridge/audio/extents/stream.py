"""Extents of a file's audio as one run of bytes, and the decoder for them."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.sndfile import SndfileReader, Window, open_pcm

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from bridge.audio.extents.model import Extent, SoundData


class ExtentStream(Window):
    """Concatenation of extents as a file; a read error is kept in `error`, as in a `Window`."""

    def __init__(self, file: BinaryIO, extents: Sequence[Extent], frame_bytes: int) -> None:
        sizes = [extent.size_bytes or extent.held_frames * frame_bytes for extent in extents]
        super().__init__(file, 0, sum(sizes))
        self._starts = [0, *accumulate(sizes)]
        self._extents = extents
        self._frame_bytes = frame_bytes

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        done = 0
        try:
            while done < len(buffer) and self._at < self._size:
                data = self._within_one(len(buffer) - done)
                if not data:
                    break
                buffer[done : done + len(data)] = data
                done += len(data)
                self._at += len(data)
        except OSError as error:
            self.error = error
            return 0
        return done

    def _within_one(self, count: int) -> bytes:
        """Up to `count` bytes of the current extent."""
        index = bisect_right(self._starts, self._at) - 1
        extent, at = self._extents[index], self._at - self._starts[index]
        count = min(count, self._starts[index + 1] - self._at)
        if extent.size_bytes:
            self._file.seek(extent.offset + at)
            return self._file.read(count)
        first = at % self._frame_bytes
        return (self._held_frame(index) * (count // self._frame_bytes + 2))[first : first + count]

    def _held_frame(self, index: int) -> bytes:
        """Frame that an extent of silence repeats."""
        before = next((e for e in reversed(self._extents[:index]) if e.size_bytes), None)
        if before is None:
            return self._extents[index].silent_value * self._frame_bytes
        self._file.seek(before.offset + before.size_bytes - self._frame_bytes)
        return self._file.read(self._frame_bytes).ljust(self._frame_bytes, b"\0")


def open_extents(file: BinaryIO, sound: SoundData) -> AbstractContextManager[SndfileReader]:
    """Decode audio with one value per frame and channel from its extents."""
    return open_pcm(ExtentStream(file, sound.extents, sound.frame_bytes), sound)
