"""Wave64: the chunk list. Ids are 16 bytes; most are those of a WAV with a fixed ending.

Source: Sony Pictures Digital "Wave64 File Format", and libsndfile's list of its ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.chunks import (
    MAX_CHUNKS,
    ChunkRef,
    WavLayout,
    parse_fmt,
    read_chunk,
    reading,
    size_bytes,
)
from bridge.audio.containers import riff
from bridge.audio.containers.pieces import read

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.audio.metadata import Metadata

_OF_WAV = bytes.fromhex("f3acd3118cd100c04f8edb8a")
# The list's own ending, and that of the whole file, which some writers give it.
_OF_LIST = {bytes.fromhex(f"{first}91cf11a5d628db04c10000") for first in ("2f", "2e")}
_SPECIAL = {
    bytes.fromhex("5662f7ab2d39d21186c700c04f8edb8a"): b"mark",
    bytes.fromhex("bc945f925a52d21186dc00c04f8edb8a"): b"summ",
}
_HEAD_BYTES = 24
_FMT_BYTES = 16


def refs(file: BinaryIO) -> tuple[ChunkRef, ...]:
    """Every chunk under the id that it has in a WAV; sizes are claims."""
    file_bytes = size_bytes(file)
    found: list[ChunkRef] = []
    at = 40
    while at + _HEAD_BYTES <= file_bytes and len(found) < MAX_CHUNKS:
        file.seek(at)
        head = file.read(_HEAD_BYTES)
        size = int.from_bytes(head[16:], "little")  # with these 24 bytes
        if size < _HEAD_BYTES:
            break
        found.append(ChunkRef(_id(head[:16]), at + _HEAD_BYTES, size - _HEAD_BYTES))
        at += -(-size // 8) * 8  # chunks begin at multiples of 8
    return tuple(found)


def layout(path: Path) -> WavLayout | None:
    """Where its audio lies; None for a codec that is not one value per frame and channel.

    libsndfile takes what follows the audio for more of it.
    """
    with reading(path) as file:
        found = {ref.id: ref for ref in reversed(refs(file))}
        head, data = found.get(b"fmt "), found.get(b"data")
        if head is None or data is None or head.size_bytes < _FMT_BYTES:
            return None
        fmt = parse_fmt(read_chunk(file, head))
        file_bytes = size_bytes(file)
    if not fmt.subtype or fmt.block_bytes != fmt.value_bytes * fmt.channels:
        return None
    chunks = tuple(found.values())
    return WavLayout("W64", file_bytes, file_bytes, fmt, data.offset, data.size_bytes, chunks)


def _id(guid: bytes) -> bytes:
    if guid[4:] == _OF_WAV:
        return guid[:4]
    if guid[4:] in _OF_LIST:
        return b"LIST"
    return _SPECIAL.get(guid, b"????")


def of_file(file: BinaryIO, history: str) -> Metadata:
    """The metadata of an open Wave64: that of the WAV chunks in it."""
    return riff.gather(read(file, refs(file), riff.STRUCTURAL), "little", history)
