"""Reader of .stem.mp4 files.

Native Instruments' Stem format: an MP4 with the mix as first audio stream and the stems as four
more; their names are in a JSON box, moov/udta/stem (boxes: ISO/IEC 14496-12, section 4.2). MUSDB18
uses this format.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from bridge.audio.mp4_input import decode_stream, list_streams
from bridge.errors import BounceError, TruncatedBounce, UnsupportedBounce

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SUFFIXES = (".stem.mp4", ".stem.m4a")
MUSDB_STEMS = ("drums", "bass", "other", "vocals")  # names for files without the JSON box
_NAMES_PATH = (b"moov", b"udta", b"stem")
_CODER_FRAMES = 4096  # delay and padding of AAC, which a file's length may or may not include
_NAMES_MOST_BYTES = 1 << 20  # limit of the JSON; a kilobyte in practice


@dataclass(frozen=True)
class StemFile:
    """A .stem.mp4; names and claimed_frames are those of the stems, in the order of the streams."""

    path: Path
    names: tuple[str, ...]
    rate_hz: int
    channels: int
    claimed_frames: tuple[int, ...]

    def read(self) -> list[NDArray[np.float32]]:
        """All stems, (channels, frames) float32 each.

        Raises:
            TruncatedBounce: a stem is shorter than the file's header states.
            BounceError: a stem cannot be decoded.
        """
        stems = [self._stream(1 + index) for index in range(len(self.names))]
        for name, stem, claimed in zip(self.names, stems, self.claimed_frames, strict=True):
            if stem.shape[1] < claimed - _CODER_FRAMES:
                raise TruncatedBounce(
                    f"{self.path}: cut off: {stem.shape[1]:,} of {claimed:,} frames of {name} "
                    "are there; copy it again"
                )
        return stems

    def _stream(self, index: int) -> NDArray[np.float32]:
        nothing = np.zeros((self.channels, 0), np.float32)
        return np.concatenate([nothing, *decode_stream(self.path, index)], axis=1)


def open_stem_file(path: Path) -> StemFile:
    """Read the headers of a .stem.mp4.

    Raises:
        UnsupportedBounce: the streams are not a mix and its stems.
        BounceError: the file cannot be read.
    """
    streams = list_streams(path)
    kinds = {(stream.rate_hz, stream.channels) for stream in streams}
    names = _names(path) or MUSDB_STEMS
    if len(streams) != 1 + len(names) or len(kinds) != 1:
        raise UnsupportedBounce(
            f"{path}: {len(streams)} audio streams; a stem file has a mix and {len(names)} stems "
            "of one rate and channel count"
        )
    ((rate_hz, channels),) = kinds
    claimed = tuple(stream.frames or 0 for stream in streams[1:])
    return StemFile(path, names, rate_hz, channels, claimed)


def _names(path: Path) -> tuple[str, ...] | None:
    try:
        with path.open("rb") as file:
            text = _find_box(file, _NAMES_PATH, 0, path.stat().st_size)
    except OSError as error:
        raise BounceError(f"{path}: cannot be read ({error.strerror})") from error
    if text is None:
        return None
    try:
        content: Any = json.loads(text)
        return tuple(str(stem["name"]) for stem in content["stems"])
    except (ValueError, KeyError, TypeError):
        raise BounceError(f"{path}: the box with the names of its stems is damaged") from None


def _find_box(file: BinaryIO, names: tuple[bytes, ...], start: int, end: int) -> bytes | None:
    """Content of the first box with the path `names` between two offsets, or None."""
    while start + 8 <= end:
        file.seek(start)
        head = file.read(16)
        size, header = int.from_bytes(head[:4], "big"), 8
        if size == 1:  # a 64-bit size follows
            size, header = int.from_bytes(head[8:16], "big"), 16
        elif size == 0:  # to the end
            size = end - start
        if size < header or start + size > end:
            return None
        if head[4:8] == names[0]:
            if len(names) > 1:
                return _find_box(file, names[1:], start + header, start + size)
            file.seek(start + header)
            return file.read(min(size - header, _NAMES_MOST_BYTES))
        start += size
    return None
