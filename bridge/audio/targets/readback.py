"""Decoding of encoded files, to check them: libsndfile's, and for an M4A FFmpeg's."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from bridge.audio import mp4_input
from bridge.errors import BounceError, PromiseBroken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_BLOCK_FRAMES = 65_536


@dataclass(frozen=True)
class DecodedAudio:
    """Length and linear peak of a decoded file; the peak may be above 1."""

    frames: int
    peak: float


def decode_file(path: Path) -> DecodedAudio:
    """Decode all of a file. Raises soundfile.LibsndfileError; of an M4A PromiseBroken."""
    frames, peak = 0, 0.0
    for block in _blocks_of_m4a(path) if path.suffix == ".m4a" else _blocks(path):
        frames += block.shape[1]
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
    return DecodedAudio(frames, peak)


def m4a_properties(path: Path) -> tuple[int, int, int, str]:
    """Return frames, rate, channels and codec as the file states them. Raises PromiseBroken.

    Its time base is the rate, so that the length counts frames.
    """
    with _own(path):
        streams = mp4_input.list_streams(path)
    if len(streams) != 1:
        raise PromiseBroken(f"{path.name} has {len(streams)} audio streams; please report it")
    stream = streams[0]
    if stream.time_base != Fraction(1, stream.rate_hz):
        raise PromiseBroken(f"{path.name} counts in {stream.time_base} s, not in frames")
    return stream.frames or 0, stream.rate_hz, stream.channels, stream.codec.upper()


def _blocks(path: Path) -> Iterator[NDArray[np.float32]]:
    with path.open("rb") as file, soundfile.SoundFile(file.fileno(), closefd=False) as opened:
        for block in opened.blocks(_BLOCK_FRAMES, dtype="float32", always_2d=True):
            yield block.T


def _blocks_of_m4a(path: Path) -> Iterator[NDArray[np.float32]]:
    """Yield the audio up to the end of the edit list; the last packet is longer."""
    frames, *_ = m4a_properties(path)
    with _own(path):
        yield from mp4_input.decode_stream(path, frames=frames)


@contextmanager
def _own(path: Path) -> Iterator[None]:
    """Raise PromiseBroken if a file that this program wrote cannot be read."""
    try:
        yield
    except BounceError as error:
        raise PromiseBroken(
            f"{path.name} does not read back ({error}); please report it"
        ) from error
