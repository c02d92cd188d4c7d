"""Walk and decoder for each container of coded audio."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.libav import CodedReader
from bridge.audio.streams import ac3, adts, amr, asf, matroska, mp4, mpeg, mpegts, ogg, wavpack
from bridge.audio.views import size_bytes, view
from bridge.errors import NoFrames, TruncatedBounce

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.audio.headers import DetectedContainer
    from bridge.audio.streams.model import Walk

_WALKS: dict[str, Callable[[BinaryIO, int, int], Walk]] = {
    "MP3": mpeg.walk,
    "OGG": ogg.walk,
    "AAC": adts.walk,
    "AC3": ac3.walk,
    "AMR": amr.walk,
    "ASF": asf.walk,
    "MATROSKA": matroska.walk,
    "MP4": mp4.walk,
    "MPEG-TS": mpegts.walk,
    "WAVPACK": wavpack.walk,
}

CODED = frozenset(_WALKS)
"""The containers, as `headers.sniff` names them, whose sound is decoded by ffmpeg's libraries."""


def walk_container(file: BinaryIO, kind: DetectedContainer) -> Walk:
    """Count an open file's audio without its decoder. Raises what the walks raise."""
    end = size_bytes(file)
    if kind.start > end:
        raise TruncatedBounce(
            f"cut off: a tag in front of its audio claims {kind.start:,} bytes, {end:,} are there; "
            "export it again from the DAW"
        )
    if kind.start == end:
        raise NoFrames("a tag without audio; export it again from the DAW")
    shown = view(file, kind.start, end)  # places in a container count from its own first byte
    return _WALKS[kind.container](shown, 0, end - kind.start)


def open_coded(file: BinaryIO, kind: DetectedContainer) -> CodedReader:
    """Open a file's audio. Raises what the walks and `CodedReader` raise."""
    return CodedReader(walk_container(file, kind))
