"""Wave64: the chunk list. Ids are 16 bytes; most are those of a WAV with a fixed ending.

Source: Sony Pictures Digital "Wave64 File Format", and libsndfile's list of its ids.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.chunks import MAX_CHUNKS, ChunkRef
from bridge.audio.metadata.containers import riff
from bridge.audio.metadata.containers.chunk_data import LoadedChunk, load_chunks
from bridge.audio.metadata.containers.surrounding_tags import merge_chunks
from bridge.audio.signatures import begins_file
from bridge.audio.views import size_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.audio.metadata.model import Metadata

_OF_WAV = bytes.fromhex("f3acd3118cd100c04f8edb8a")
# The list's own ending, and that of the whole file, which some writers give it.
_OF_LIST = {bytes.fromhex(f"{first}91cf11a5d628db04c10000") for first in ("2f", "2e")}
_SPECIAL = {
    bytes.fromhex("5662f7ab2d39d21186c700c04f8edb8a"): b"mark",
    bytes.fromhex("bc945f925a52d21186dc00c04f8edb8a"): b"summ",
}
_UNKNOWN = b"????"
_HEAD_BYTES = 24


def chunk_list(file: BinaryIO) -> tuple[tuple[ChunkRef, ...], int]:
    """List the chunks under their ids in a WAV, with their claimed sizes, and their end."""
    file_bytes = size_bytes(file)
    found: list[ChunkRef] = []
    at = 40
    while at + _HEAD_BYTES <= file_bytes and len(found) < MAX_CHUNKS:
        file.seek(at)
        head = file.read(_HEAD_BYTES)
        size = int.from_bytes(head[16:], "little")  # with these 24 bytes
        if begins_file(head):
            break
        if size < _HEAD_BYTES:
            # A size of nothing, in the place of one that was never filled in.
            found += [ChunkRef(b"data", at + _HEAD_BYTES, 0)] * (_id(head[:16]) == b"data")
            break
        if at + size > file_bytes and _id(head[:16]) == _UNKNOWN:
            break  # no chunk, but what some program left behind the last one
        found.append(ChunkRef(_id(head[:16]), at + _HEAD_BYTES, size - _HEAD_BYTES))
        at += -(-size // 8) * 8  # chunks begin at multiples of 8
    return tuple(found), min(at, file_bytes)


def refs(file: BinaryIO) -> tuple[ChunkRef, ...]:
    """List the chunks of `chunk_list` without their end."""
    return chunk_list(file)[0]


def _id(guid: bytes) -> bytes:
    if guid[4:] == _OF_WAV:
        return guid[:4]
    if guid[4:] in _OF_LIST:
        return b"LIST"
    return _SPECIAL.get(guid, _UNKNOWN)


def read_metadata(file: BinaryIO, history: str, front: Sequence[LoadedChunk] = ()) -> Metadata:
    """Read the metadata of an open Wave64 from its WAV chunks; `front`: tags in front of it."""
    chunks = refs(file)
    more, left = merge_chunks(chunks, front)
    pieces = chain(load_chunks(file, chunks, riff.STRUCTURAL), more)
    return riff.metadata_of_chunks(pieces, "little", history).without(*left)
