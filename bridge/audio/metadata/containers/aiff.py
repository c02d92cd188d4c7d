"""AIFF and AIFF-C, and the text chunks of the older IFF sound files.

Source: Apple "Audio Interchange File Format 1.3", sections on the optional chunks.
"""

from __future__ import annotations

import re
import struct
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.chunks import Chunk, list_chunks
from bridge.audio.metadata import bext, cues, id3, ixml, tags
from bridge.audio.metadata.containers.chunk_data import LoadedChunk, MetadataBudget, load_chunks
from bridge.audio.metadata.containers.surrounding_tags import merge_chunks
from bridge.audio.metadata.model import Mark, Metadata
from bridge.audio.metadata.wav_chunks import with_wav_chunks
from bridge.audio.text import decode_text, shown
from bridge.audio.views import size_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

STRUCTURAL = frozenset({b"COMM", b"SSND", b"FVER", b"VHDR", b"BODY", b"CHAN", b"LGWV", b"PEAK"})
"""About the container, or derived from the audio and false for a stem."""

_TEXTS = {b"NAME": "TITLE", b"AUTH": "ARTIST", b"(c) ": "COPYRIGHT", b"ANNO": "COMMENT"}
_KNOWN = {*_TEXTS, b"MARK", b"COMT", b"INST", b"ID3 ", b"id3 ", b"bext", b"iXML"}

# AIFF has no field for the time reference: by convention it is the name of a marker.
_TIMESTAMP = re.compile(r"Timestamp: (\d{1,20})")
_NO_LOOP = 0


def read_metadata(file: BinaryIO, history: str, front: Sequence[LoadedChunk] = ()) -> Metadata:
    """Read the metadata of an open AIFF; `front`: tags in front of it."""
    refs = list_chunks(file, 12, size_bytes(file), ">")
    more, left = merge_chunks(refs, front)
    return metadata_of_chunks(chain(load_chunks(file, refs, STRUCTURAL), more), history).without(
        *left
    )


def metadata_of_chunks(pieces: Iterable[LoadedChunk], history: str) -> Metadata:
    """Convert the chunks of an AIFF to the neutral form."""
    budget = MetadataBudget()
    kept = list(_known(pieces, budget))
    of_id = {piece.id: piece.data for piece in reversed(kept)}
    ids = dict(_points(of_id.get(b"MARK", b"")))
    time_reference, points = _without_timestamp(ids.values())
    loops = tuple(_loops(of_id.get(b"INST", b""), ids))
    tag, xml = of_id.get(b"ID3 ") or of_id.get(b"id3 ") or b"", of_id.get(b"iXML", b"")
    tagged = id3.read(tag)
    broadcast = _broadcast(of_id.get(b"bext"))
    if broadcast:
        time_reference = broadcast.time_reference
    elif time_reference is None:
        time_reference = ixml.time_reference(xml)
    found = tags.merge_tags(tagged.tags, tags.collect_tags(_texts(kept))[0])
    metadata = Metadata(
        tags=found,
        marks=cues.in_order([*points, *loops]),
        tempo_bpm=ixml.tempo_bpm(xml) or tags.tempo_bpm(found),
        time_reference=time_reference,
        pictures=tagged.pictures,
    )
    verbatim = {
        b"iXML": xml,
        b"inst": _inst(of_id.get(b"INST", b"")),
        b"smpl": cues.encode_smpl(loops),
        b"id3 ": tag,
    }
    return with_wav_chunks(
        metadata.without(*budget.left),
        history,
        broadcast=broadcast.for_stem(history) if broadcast else None,
        verbatim=[Chunk(chunk_id, data) for chunk_id, data in verbatim.items()],
    )


def _known(pieces: Iterable[LoadedChunk], budget: MetadataBudget) -> Iterator[LoadedChunk]:
    for piece in pieces:
        if piece.id not in _KNOWN:
            budget.left.append(piece.name)
        elif budget.accepts(piece):
            yield piece


def _texts(kept: Sequence[LoadedChunk]) -> Iterator[tuple[str, str]]:
    for piece in kept:
        if piece.id in _TEXTS:
            yield _TEXTS[piece.id], decode_text(piece.data)
        elif piece.id == b"COMT":
            for text in _comments(piece.data):
                yield "COMMENT", text


def _comments(data: bytes) -> Iterator[str]:
    """Texts of a comments chunk: time stamp, marker, length, text."""
    at = 2
    for _ in range(min(int.from_bytes(data[:2], "big"), tags.MAX_TAGS)):
        if at + 8 > len(data):
            return
        size = int.from_bytes(data[at + 6 : at + 8], "big")
        yield decode_text(data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2


def _points(data: bytes) -> Iterator[tuple[int, Mark]]:
    """(id, mark) of each marker: id, position, and a name with its length before it."""
    at = 2
    for _ in range(min(int.from_bytes(data[:2], "big"), cues.MAX_MARKS)):
        if at + 7 > len(data):
            return
        name, position, size = struct.unpack(">hIB", data[at : at + 7])
        yield name, Mark(position, shown(decode_text(data[at + 7 : at + 7 + size])))
        at += 7 + size + (size + 1) % 2


def _without_timestamp(points: Iterable[Mark]) -> tuple[int | None, list[Mark]]:
    """Split off the marker whose name holds the time reference."""
    rest, found = [], None
    for mark in points:
        stamp = _TIMESTAMP.fullmatch(mark.name)
        if stamp:
            found = int(stamp[1]) % (1 << 64)
        else:
            rest.append(mark)
    return found, rest


def _loops(inst: bytes, ids: dict[int, Mark]) -> Iterator[Mark]:
    """The sustain and the release loop of an instrument chunk: play mode, first and last marker."""
    for at in (8, 14):
        if len(inst) < at + 6:
            return
        mode, first, last = struct.unpack(">hhh", inst[at : at + 6])
        if mode == _NO_LOOP or first not in ids or last not in ids:
            continue
        start, end = ids[first].position_frames, ids[last].position_frames
        if start < end:
            yield Mark(start, cues.LOOP_NAME, end - start)


def _inst(inst: bytes) -> bytes:
    """Convert an instrument chunk to a WAV's: note, detune, gain, then keys and velocities."""
    if len(inst) < 8:
        return b""
    gain_db = max(-64, min(int.from_bytes(inst[6:8], "big", signed=True), 64))
    return inst[:2] + struct.pack("b", gain_db) + inst[2:6]


def _broadcast(data: bytes | None) -> bext.Bext | None:
    """Parse a `bext` in a big-endian file, which writers store in either byte order.

    The version number, 0 to 2, identifies the order.
    """
    if not data or len(data) < bext.FIXED_BYTES:
        return None
    big, little = bext.parse(data, "big"), bext.parse(data, "little")
    return big if big.version <= little.version else little
