"""Tags in front of and behind a sound file whose format has its own place for metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.chunks import ChunkRef
from bridge.audio.metadata.containers.chunk_data import LoadedChunk, load_chunk
from bridge.audio.streams.buffer import Buffer
from bridge.audio.streams.tag_blocks import padding_end, sound_end
from bridge.audio.views import size_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ID3 = {b"id3 ", b"ID3 "}


def leading_tags(file: BinaryIO, start: int) -> list[LoadedChunk]:
    """List the tags in the first `start` bytes of an open file, under the ids of chunks.

    An ID3 tag gets the id of its chunk in a WAV. Zeros are skipped.
    """
    return list(_tags(file, Buffer(file, 0, start)))


def _tags(file: BinaryIO, buffer: Buffer) -> Iterator[LoadedChunk]:
    at = 0
    while at < buffer.end:
        head, end = buffer.at(at, 4), padding_end(buffer, at)
        if end <= at:
            return
        if head[:3] == b"ID3":
            yield load_chunk(file, ChunkRef(b"id3 ", at, end - at))
        elif head.strip(b"\0"):
            yield load_chunk(file, ChunkRef(head, at, end - at))
        at = end


def trailing_tag_names(file: BinaryIO) -> list[str]:
    """Return the name of the tags at the end of an open file; empty if there are none."""
    buffer = Buffer(file, 0, size_bytes(file))
    return ["tag behind the file"] if sound_end(buffer) < buffer.end else []


def merge_chunks(
    inside: Sequence[ChunkRef], front: Sequence[LoadedChunk]
) -> tuple[list[LoadedChunk], list[str]]:
    """Merge tags in front of a file with its chunks; also return the names of the others.

    Only the first ID3 tag is merged, and only if the chunks hold none.
    """
    has_id3 = any(ref.id in _ID3 for ref in inside)
    taken = [piece for piece in front if piece.id in _ID3 and not has_id3][:1]
    return taken, [tag_name(piece) for piece in front if piece not in taken]


def tag_name(piece: LoadedChunk) -> str:
    """User-facing name of a tag in front of a file."""
    kind = {b"id3 ": "ID3", b"APET": "APE", b"LYRI": "Lyrics3"}.get(piece.id, "ID3v1")
    return f"{kind} tag in front of the file"
