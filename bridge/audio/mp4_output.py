"""MP4 files with audio streams, encoded and written by FFmpeg's libraries (PyAV).

The same audio gives the same bytes: the file contains no clock and no library version, and one
thread encodes. Lengths count frames, because the time scale of the movie is the rate (ISO/IEC
14496-12 section 8.2.2); the edit list (section 8.6.6) skips the encoder delay.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

from bridge.system.disk import disk_errors, output_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from av import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.container.core import Chapter
    from numpy.typing import NDArray

    from bridge.audio.metadata.model import Mark

_LAYOUTS = {1: "mono", 2: "stereo"}
# FFmpeg's names of sample formats with a plane for each channel.
_DTYPES: dict[str, Any] = {"fltp": np.float32, "s16p": np.int16, "s32p": np.int32}


class EncodingFailed(Exception):
    """The encoder or the MP4 writer of the library failed."""


@dataclass(frozen=True)
class StreamEncoding:
    """Encoding of one stream.

    sample_format: of the arrays that are written: "fltp" is float32, ±1.0 full scale; "s16p" is
    int16; "s32p" is int32, of which ALAC stores the upper 24 bits. bit_rate: of AAC, in bit/s.
    """

    codec: Literal["aac", "alac"]
    sample_format: Literal["fltp", "s16p", "s32p"]
    bit_rate: int | None = None


class Mp4Output:
    """New MP4 file: `write` to its streams in turn, then `close` or `discard` it.

    As a context manager it is closed at the end, and discarded after an error. Each method raises
    OutputError for write errors of the system, and EncodingFailed.
    """

    def __init__(
        self,
        path: Path,
        streams: Sequence[StreamEncoding],
        *,
        container: Literal["ipod", "mp4"],
        rate_hz: int,
        channels: int,
        chapters: Sequence[Mark] = (),
    ) -> None:
        """Create the file and write its head.

        Args:
            path: of a file that does not exist yet.
            streams: one entry for each; a player without stems plays the first.
            container: as FFmpeg names it; "ipod" is M4A.
            rate_hz: of all streams.
            channels: of all streams, 1 or 2.
            chapters: stretches of the file, in the order of their positions.
        """
        import av  # late: most commands and jobs write no MP4

        self.path = path
        self._codings = tuple(streams)
        self._rate_hz, self._layout = rate_hz, _LAYOUTS[channels]
        self._frames = [0] * len(streams)
        with disk_errors(path):
            self._sink = _Sink(path.open("xb"))
        self._container: OutputContainer | None = None
        try:
            with self._errors():
                options = {"movie_timescale": str(rate_hz), "fflags": "+bitexact"}
                opened = av.open(self._sink, "w", format=container, container_options=options)
                self._container = opened
                self._streams = [self._add(opened, coding) for coding in self._codings]
                opened.set_chapters(_numbered(chapters, rate_hz))
                opened.start_encoding()
        except BaseException:
            self.discard()
            raise

    def __enter__(self) -> Mp4Output:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.close()
        except BaseException:
            self.discard()
            raise
        if kind is not None:
            self.discard()

    def write(self, stream: int, block: NDArray[np.generic]) -> None:
        """Append (channels, frames) to the stream of that number, in its sample format."""
        import av

        if not block.shape[1]:
            return
        sample_format = self._codings[stream].sample_format
        values = np.ascontiguousarray(block, _DTYPES[sample_format])
        with self._errors():
            frame = av.AudioFrame.from_ndarray(values, sample_format, self._layout)
            frame.sample_rate = self._rate_hz
            frame.time_base = Fraction(1, self._rate_hz)
            frame.pts = self._frames[stream]
            self._encode(stream, frame)
        self._frames[stream] += block.shape[1]

    def close(self) -> None:
        """End every stream and the file."""
        assert self._container is not None
        with self._errors():
            for stream in range(len(self._streams)):
                self._encode(stream, None)
            self._container.close()
        with disk_errors(self.path):
            self._sink.close()

    def discard(self) -> None:
        """Close and remove the file, also after `close`."""
        import av

        self._sink.closing = True
        with suppress(av.FFmpegError):
            if self._container is not None:
                self._container.close()
        with suppress(OSError):  # a full disk cannot take what is left
            self._sink.close()
        with disk_errors(self.path):
            self.path.unlink(missing_ok=True)

    def _add(self, container: OutputContainer, coding: StreamEncoding) -> AudioStream:
        # FFmpeg 8 encodes AAC and ALAC in one thread anyway; a later one must not change the file.
        options = {"threads": "1", "flags": "+bitexact"}
        stream = container.add_stream(coding.codec, rate=self._rate_hz, options=options)
        stream.codec_context.format = coding.sample_format
        stream.codec_context.layout = self._layout
        stream.time_base = Fraction(1, self._rate_hz)
        if coding.bit_rate is not None:
            stream.codec_context.bit_rate = coding.bit_rate
        return stream

    def _encode(self, stream: int, frame: AudioFrame | None) -> None:
        assert self._container is not None
        self._container.mux(self._streams[stream].encode(frame))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise errors of the system as OutputError, those of the library as EncodingFailed."""
        import av

        try:
            yield
        except (av.FFmpegError, ValueError) as error:
            self._sink.check(self.path)
            raise EncodingFailed(str(error)) from error
        self._sink.check(self.path)


class _Sink:
    """File for the library to write to; keeps its first error for `check`.

    The library reports a failed write late, without the system's reason, and not at all if it is
    the last one. closing: discard further writes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | KeyboardInterrupt | None = None
        self.closing = False

    def write(self, data: bytes) -> int:
        """Write like a file, but without raising."""
        if self._error is None and not self.closing:
            try:
                self._file.write(data)
            except (OSError, KeyboardInterrupt) as error:  # an interrupt would be lost in C
                self._error = error
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek like a file, but without raising."""
        if self._error is None and not self.closing:
            try:
                return self._file.seek(offset, whence)
            except (OSError, KeyboardInterrupt) as error:
                self._error = error
        return offset

    def tell(self) -> int:
        """Return the position, like a file."""
        return self._file.tell()

    def check(self, path: Path) -> None:
        """Raise the first error: the system's as OutputError."""
        if isinstance(self._error, OSError):
            raise output_error(self._error, path) from self._error
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Close the file; raises OSError when the rest of it cannot be written."""
        self._file.close()


def _numbered(chapters: Sequence[Mark], rate_hz: int) -> list[Chapter]:
    return [
        {
            "id": number,
            "start": mark.position_frames,
            "end": mark.position_frames + mark.length_frames,
            "time_base": Fraction(1, rate_hz),
            "metadata": {"title": mark.name.encode("utf-8", "replace").decode()},
        }
        for number, mark in enumerate(chapters)
    ]
