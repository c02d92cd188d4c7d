"""Core Audio Format: the chunk list, and the metadata of `info`, `mark` and `strg`.

Source: Apple "Core Audio Format Specification 1.0". Everything is big-endian.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.chunks import MAX_CHUNKS, ChunkRef
from bridge.audio.metadata import cues, tags
from bridge.audio.metadata.containers.chunk_data import MetadataBudget, load_chunks
from bridge.audio.metadata.model import Mark, Metadata
from bridge.audio.metadata.wav_chunks import with_wav_chunks
from bridge.audio.signatures import HEAD_BYTES, begins_file
from bridge.audio.text import decode_text, shown
from bridge.audio.views import size_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator


_STRUCTURAL = frozenset(
    {b"desc", b"data", b"pakt", b"kuki", b"free", b"chan", b"peak", b"edct", b"ovvw"}
)
_KNOWN = {b"info", b"mark", b"strg"}
_MARKER = ">IdI8sI"  # type, position in frames, id, SMPTE time, channel
_MARKER_BYTES = struct.calcsize(_MARKER)
# Names of the info chunk that differ from those of Vorbis comments.
_NAMES = {
    "TRACK NUMBER": "TRACKNUMBER",
    "YEAR": "DATE",
    "RECORDED DATE": "DATE",
    "COMMENTS": "COMMENT",
    "TEMPO": "BPM",
    "KEY SIGNATURE": "KEY",
    "SOURCE APPLICATION": "ENCODER",
    "ENCODING APPLICATION": "ENCODER",
}
_FALSE_FOR_STEMS = ("APPROXIMATE DURATION", "NOMINAL BIT RATE", "CHANNEL LAYOUT")


def chunk_list(file: BinaryIO) -> tuple[tuple[ChunkRef, ...], int]:
    """List the chunks, with those behind the audio if its size is known, and their end.

    A data chunk of size -1 extends to the end of the file: it is the last, with that size.
    """
    file_bytes = size_bytes(file)
    found: list[ChunkRef] = []
    at = 8
    while at + 12 <= file_bytes and len(found) < MAX_CHUNKS:
        file.seek(at)
        head = file.read(HEAD_BYTES)
        chunk_id, size = struct.unpack(">4sq", head[:12].ljust(12, b"\0"))
        if not all(0x20 <= byte < 0x7F for byte in chunk_id) or begins_file(head):
            break
        if size < 0:
            if chunk_id == b"data":
                found.append(ChunkRef(chunk_id, at + 12, size))
                at = file_bytes
            break
        if at + 12 + size > file_bytes and chunk_id not in {b"data", *_STRUCTURAL, *_KNOWN}:
            break  # text behind the last chunk: a tag, or what some program left
        found.append(ChunkRef(chunk_id, at + 12, size))
        at += 12 + size
    return tuple(found), min(at, file_bytes)


def refs(file: BinaryIO) -> tuple[ChunkRef, ...]:
    """List the chunks whose size is known."""
    return tuple(ref for ref in chunk_list(file)[0] if ref.size_bytes >= 0)


def read_metadata(file: BinaryIO, history: str) -> Metadata:
    """Read the metadata of an open CAF."""
    budget = MetadataBudget()
    of_id: dict[bytes, bytes] = {}
    for piece in load_chunks(file, refs(file), _STRUCTURAL):
        if piece.id not in _KNOWN or piece.id in of_id:
            budget.left.append(piece.name)
        elif budget.accepts(piece):
            of_id[piece.id] = piece.data
    found, false = tags.collect_tags(_info(of_id.get(b"info", b"")))
    names = dict(_strings(of_id.get(b"strg", b"")))
    metadata = Metadata(
        tags=found,
        marks=cues.in_order(_marks(of_id.get(b"mark", b""), names)),
        tempo_bpm=tags.tempo_bpm(found),
        time_reference=tags.time_reference(found),
    )
    return with_wav_chunks(metadata.without(*budget.left, *false), history)


def _info(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield keys and values, each ended by a NUL, behind a count that is ignored."""
    words = data[4:].split(b"\0", 2 * tags.MAX_TAGS)
    for key, value in zip(words[::2], words[1::2], strict=False):
        name = decode_text(key).upper()
        if not name.startswith(_FALSE_FOR_STEMS):
            yield _NAMES.get(name, name), decode_text(value)


def _strings(data: bytes) -> Iterator[tuple[int, str]]:
    """(id, text): a table of ids and offsets, then the texts."""
    count = min(int.from_bytes(data[:4], "big"), max(len(data) - 4, 0) // 12, cues.MAX_MARKS)
    texts = 4 + 12 * int.from_bytes(data[:4], "big")
    for at in range(4, 4 + 12 * count, 12):
        name, offset = struct.unpack(">Iq", data[at : at + 12])
        if 0 <= offset < len(data):
            start = texts + offset
            yield name, shown(decode_text(data[start : data.find(b"\0", start) + 1 or None]))


def _marks(data: bytes, names: dict[int, str]) -> Iterator[Mark]:
    count = min(int.from_bytes(data[4:8], "big"), max(len(data) - 8, 0) // _MARKER_BYTES)
    for at in range(8, 8 + _MARKER_BYTES * min(count, cues.MAX_MARKS), _MARKER_BYTES):
        _, position, name, _, _ = struct.unpack(_MARKER, data[at : at + _MARKER_BYTES])
        if math.isfinite(position) and 0 <= position < 1 << 48:
            yield Mark(round(position), names.get(name, ""))
