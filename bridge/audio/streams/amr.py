"""AMR in a file of its own: RFC 4867 section 5."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bridge.audio import libav
from bridge.audio.streams.buffer import Buffer
from bridge.audio.streams.model import Run, Walk
from bridge.errors import BounceError, NoFrames, NotAudio, TruncatedBounce, UnsupportedBounce

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from av.audio.frame import AudioFrame

# Bytes of a frame behind its first one, by frame type; -1: reserved (3GPP TS 26.101 and 26.201).
_NARROW = (12, 13, 15, 17, 19, 20, 26, 31, 5, -1, -1, -1, -1, -1, -1, 0)
_WIDE = (17, 23, 32, 36, 40, 46, 50, 58, 60, 5, -1, -1, -1, -1, 0, 0)
_FRAME_S = 0.02
_KINDS = (
    (b"#!AMR\n", 8_000, _NARROW, "libopencore_amrnb", "AMR_NB"),
    (b"#!AMR-WB\n", 16_000, _WIDE, "libopencore_amrwb", "AMR_WB"),
)


def walk(file: BinaryIO, start: int, end: int) -> Walk:
    """Walk all frames between two byte offsets of a file.

    Raises UnsupportedBounce for several channels, NoFrames, and BounceError for a frame of a
    reserved type.
    """
    buffer = Buffer(file, start, end)
    head = buffer.at(start, 16)
    kind = next((kind for kind in _KINDS if head.startswith(kind[0])), None)
    if kind is None:
        if head.startswith((b"#!AMR_MC1.0\n", b"#!AMR-WB_MC1.0")):
            raise UnsupportedBounce("an AMR of several channels, which is not read; export WAV")
        raise NotAudio("damaged: an AMR without its header; export it again")
    magic, rate_hz, sizes, codec, subtype = kind
    count, last = 0, 0
    for _, last in _places(buffer, magic, sizes):
        count += last <= end
    if not count:
        raise NoFrames("a header without audio; export it again")
    cut = None
    if last > end:
        cut = TruncatedBounce(
            "cut off: its last AMR frame is incomplete; export it again, or take what is there "
            "with --accept-truncated",
            present_bytes=end - start,
        )
    frames = count * round(rate_hz * _FRAME_S)
    decode = partial(_decoded, codec, buffer, magic, sizes)
    return Walk((Run(rate_hz, 1, decode, coded_frames=frames, frames=frames),), subtype, cut)


def _places(buffer: Buffer, magic: bytes, sizes: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Start and end of each frame; the last one may end behind the file.

    The header of another file that was joined is skipped.
    """
    at = buffer.start
    while head := buffer.at(at, 1):
        if buffer.at(at, len(magic)) == magic:
            at += len(magic)
            continue
        size = sizes[head[0] >> 3 & 15]
        if size < 0:
            raise BounceError(f"damaged: no AMR frame begins at byte {at:,}; export it again")
        yield at, at + 1 + size
        at += 1 + size


def _decoded(
    codec: str, buffer: Buffer, magic: bytes, sizes: tuple[int, ...]
) -> Iterator[AudioFrame]:
    return libav.decode_packets(codec, _packets(buffer, magic, sizes))


def _packets(buffer: Buffer, magic: bytes, sizes: tuple[int, ...]) -> Iterator[bytes]:
    for at, end in _places(buffer, magic, sizes):
        if end <= buffer.end:
            yield buffer.at(at, end - at)
