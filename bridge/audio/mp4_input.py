"""Audio streams of MP4 files, read and decoded by FFmpeg's libraries (PyAV).

The library gets an open file, and only its MP4 demuxer is used: neither a playlist in disguise nor
a name that looks like an address opens anything else.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bridge.errors import BounceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av import AudioCodecContext, AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from numpy.typing import NDArray

_FULL_SCALE = {"u8": 2**7, "s16": 2**15, "s32": 2**31}


@dataclass(frozen=True)
class StreamInfo:
    """Header fields of an audio stream.

    codec: as FFmpeg names it. length_s: after its edit list, None if not stated.
    """

    codec: str
    rate_hz: int
    channels: int
    time_base: Fraction
    length_s: Fraction | None

    @property
    def frames(self) -> int | None:
        """Length in frames, to the nearest."""
        return None if self.length_s is None else round(self.length_s * self.rate_hz)


def list_streams(path: Path) -> tuple[StreamInfo, ...]:
    """List the audio streams of a file in order. Raises BounceError if it cannot be read."""
    with _opened(path) as container:
        return tuple(_info(path, stream) for stream in container.streams.audio)


def decode_stream(
    path: Path, index: int = 0, *, frames: int | None = None
) -> Iterator[NDArray[np.float32]]:
    """Decode one stream to blocks of (channels, frames) float32, ±1.0 full scale.

    The edit list is applied at the start; at the end, the library returns the whole last packet.

    Args:
        path: of the file.
        index: of the stream among the audio streams.
        frames: where to stop; None for the end of the last packet.

    Raises:
        BounceError: it cannot be read or decoded, or its channels change.
    """
    left = frames
    with _opened(path) as container:
        stream = container.streams.audio[index]
        channels = _info(path, stream).channels
        for frame in container.decode(stream):
            block = _values(frame)
            if len(block) != channels:
                raise BounceError(f"{path}: the channels of stream {index} change; is it whole?")
            yield block if left is None else block[:, :left]
            if left is not None:
                left -= min(left, block.shape[1])
                if not left:
                    return


def _info(path: Path, stream: AudioStream) -> StreamInfo:
    context: AudioCodecContext | None = getattr(stream, "codec_context", None)
    if context is None:
        raise BounceError(f"{path}: the coding of stream {stream.index} is not known")
    time_base = stream.time_base or Fraction(0)
    return StreamInfo(
        codec=context.name,
        rate_hz=context.sample_rate,
        channels=context.channels,
        time_base=time_base,
        length_s=(stream.duration or 0) * time_base or None,
    )


def _values(frame: AudioFrame) -> NDArray[np.float32]:
    """(channels, frames) of a frame in any of FFmpeg's sample formats."""
    values, kind = frame.to_ndarray(), frame.format.name
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    full_scale = _FULL_SCALE.get(kind.removesuffix("p"))
    if full_scale is None:
        return np.ascontiguousarray(values, np.float32)
    centred = values.astype(np.float64) - (full_scale if kind.startswith("u") else 0)
    return (centred / full_scale).astype(np.float32)


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    import av  # late: most commands and jobs read no MP4

    try:
        with path.open("rb") as file, av.open(file, "r", format="mp4") as container:
            yield container
    except OSError as error:  # also those of FFmpeg that have a number of the system
        raise BounceError(f"{path}: cannot be read ({error.strerror}); is it whole?") from error
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BounceError(f"{path}: cannot be decoded ({reason}); is it whole?") from error
