"""libsndfile as a forward-only reader, of files that this package opened itself.

- Audio with one value per frame and channel is decoded from the place that our own header check
found (`bridge.audio.extents`): libsndfile's less strict header parser is bypassed.
- Forward only: soundfile seeks after every read, which a FLAC of unknown length does not allow.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Protocol

import numpy as np
import soundfile

from bridge.audio.chunks import open_binary
from bridge.errors import BounceError, UnsupportedBounce

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from bridge.audio.extents.model import SoundData


class Window(io.RawIOBase):
    """Byte range of an open file, as a file of its own.

    Python errors cannot cross libsndfile: a read error is kept in `error` and appears as the end of
    the file.
    """

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._at = 0
        self.error: OSError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = min(max(base + offset, 0), self._size)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), self._size - self._at)
        try:
            self._file.seek(self._start + self._at)
            data = self._file.read(wanted)
        except OSError as error:
            self.error = error
            return 0
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    def seekable(self) -> bool:
        return False


class SoundReader(Protocol):
    """Interface of an open sound file: its format, and its frames in order.

    claimed_frames: length by the decoder or by our own count; None if unknown. located: place and
    length of the audio come from our own header check.
    """

    @property
    def subtype(self) -> str: ...
    @property
    def rate_hz(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def claimed_frames(self) -> int | None: ...
    @property
    def located(self) -> bool: ...

    def read(self, frames: int) -> NDArray[np.float32]:
        """Read the next block: (channels, up to `frames`) float32, empty at the end.

        PCM is value / 2**(bits - 1). Raises BounceError for a damaged stream and OSError for a file
        that cannot be read.
        """


class SndfileReader:
    """Reader of a sound file opened by libsndfile; see `SoundReader`."""

    def __init__(self, file: _Forward, window: Window | None) -> None:
        self._file = file
        self._window = window
        self.subtype: str = file.subtype
        self.rate_hz: int = file.samplerate
        self.channels: int = file.channels
        self.claimed_frames: int = file.frames
        self.located = window is not None
        self._read_frames = 0

    def read(self, frames: int) -> NDArray[np.float32]:
        """Read the next block; see `SoundReader.read`."""
        try:
            block = self._file.read(frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            self._raise_read_error()
            raise BounceError(
                f"damaged after frame {self._read_frames:,} ({_word(error)}); "
                "export it again from the DAW"
            ) from error
        self._raise_read_error()
        self._read_frames += len(block)
        return np.ascontiguousarray(block.T)

    def tags(self) -> tuple[str, ...]:
        """Return the names of the text tags that libsndfile found (title, artist, ...)."""
        return tuple(sorted(self._file.copy_metadata()))

    def _raise_read_error(self) -> None:
        if self._window is not None and self._window.error is not None:
            raise self._window.error


@contextmanager
def open_container(path: Path, name: str) -> Iterator[SndfileReader]:
    """Open a sound file whose header libsndfile parses.

    `name` is the container's, for messages. Opened by descriptor: libsndfile guesses the format
    from some file names (".raw"), and a name need not be valid text. Raises UnsupportedBounce when
    libsndfile refuses it.
    """
    with open_binary(path, buffering=0) as file:
        try:
            opened = _Forward(file.fileno(), "r", closefd=False)
        except soundfile.LibsndfileError as error:
            raise UnsupportedBounce(
                f"this {name} file cannot be decoded ({_word(error)}); export WAV, AIFF or FLAC"
            ) from error
        with opened:
            yield SndfileReader(opened, None)


@contextmanager
def open_view(file: BinaryIO, size_bytes: int, name: str) -> Iterator[SndfileReader]:
    """Open a sound file that lies within another; see `open_container`."""
    window = Window(file, 0, size_bytes)
    try:
        opened = _Forward(window, "r")
    except soundfile.LibsndfileError as error:
        raise UnsupportedBounce(
            f"this {name} file cannot be decoded ({_word(error)}); export WAV, AIFF or FLAC"
        ) from error
    with opened:
        source = SndfileReader(opened, window)
        source.located = False
        yield source


@contextmanager
def open_pcm(window: Window, sound: SoundData) -> Iterator[SndfileReader]:
    """Open the raw values in a window, in the format of `sound`."""
    with _Forward(
        window,
        "r",
        format="RAW",
        subtype=sound.subtype,
        endian=sound.byte_order.upper(),
        samplerate=sound.rate_hz,
        channels=sound.channels,
    ) as opened:
        yield SndfileReader(opened, window)


def _word(error: soundfile.LibsndfileError) -> str:
    return " ".join(error.error_string.removeprefix("Error :").split()).rstrip(". ")
