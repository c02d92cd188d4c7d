"""Which metadata of a bounce goes into each of its stems, and which cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio import bext, flac
from bridge.audio.chunks import (
    CONTAINERS,
    MAX_CHUNK_BYTES,
    Chunk,
    ChunkRef,
    WavLayout,
    read_chunk,
    read_layout,
    reading,
    size_bytes,
    walk,
)
from bridge.audio.headers import Kind, sniff
from bridge.audio.reader import open_container

if TYPE_CHECKING:
    from pathlib import Path

# Positions in these are frames of the file, and a stem has the same frames.
_VERBATIM = {b"iXML", b"cue ", b"smpl", b"inst", b"acid", b"id3 ", b"ID3 "}
# Lists with a meaning of their own: labels of the cue points, and title, artist and the like.
_LISTS = {b"adtl", b"INFO"}
# Bytes and text read the same in a big-endian file; numbers would have to be turned around.
_ORDERLESS = {b"iXML", b"inst", b"id3 ", b"ID3 "}
# About the container, or derived from the audio and false for a stem: not worth a word.
_STRUCTURAL = {
    *(b"fmt ", b"data", b"ds64", b"fact", b"PEAK", b"JUNK", b"junk", b"PAD ", b"FLLR", b"Fake"),
    *(b"levl", b"LGWV", b"MD5 "),
    *(b"COMM", b"SSND", b"FVER"),
}
_FLAC_BLOCKS = {2: "APPLICATION", 5: "CUESHEET", 6: "PICTURE"}


@dataclass(frozen=True)
class Carried:
    """`chunks` go into every stem; `not_carried` names the rest for the report.

    `time_reference` is the stems' position in frames since midnight, None where the bounce has
    none.
    """

    chunks: tuple[Chunk, ...]
    not_carried: tuple[str, ...]
    time_reference: int | None


def carried(path: Path, history_line: str) -> Carried:
    """Metadata of the bounce at `path` for its stems.

    `bext` is rebuilt with `history_line` added to its coding history; iXML, cue, LIST adtl and
    INFO, smpl, inst, acid and ID3 are taken as they are. 16 MiB are taken at most. Raises
    what reading the header raises (see `chunks.read_layout`).
    """
    with reading(path) as file:
        kind = sniff(file)
        if kind.container not in CONTAINERS.values():
            return Carried((), _left_behind(path, file, kind), None)
        layout = read_layout(path)
        chunks: list[Chunk] = []
        left: list[str] = []
        time_reference: int | None = None
        room_bytes = MAX_CHUNK_BYTES
        for ref in layout.chunks:
            if ref.id in _STRUCTURAL:
                continue
            data = read_chunk(file, ref)
            if ref.id == b"bext" and time_reference is None:
                parsed = bext.parse(data, layout.byte_order)
                time_reference = parsed.time_reference
                chunks.append(Chunk(b"bext", parsed.for_stem(history_line).to_bytes()))
            elif reason := _refused(ref, data, layout, room_bytes):
                left.append(reason)
            else:
                chunks.append(Chunk(ref.id, data))
                room_bytes -= len(data)
    return Carried(tuple(chunks), _unique(left), time_reference)


def _refused(ref: ChunkRef, data: bytes, layout: WavLayout, room_bytes: int) -> str | None:
    """What to call a chunk that cannot be carried, None for one that can."""
    name = ref.id.decode("ascii").strip()
    is_list = ref.id.upper() == b"LIST"  # recorders write both
    if is_list:
        name += " " + data[:4].decode("ascii", "replace").strip()
    known = ref.id in _VERBATIM or (is_list and data[:4] in _LISTS)
    if not known:
        return name
    if layout.byte_order == "big" and ref.id not in _ORDERLESS:
        return f"{name} (big-endian)"
    if ref.offset + ref.size_bytes > layout.file_bytes:
        return f"{name} (cut off)"
    if ref.size_bytes > room_bytes:
        return f"{name} ({ref.size_bytes:,} bytes)"
    return None


def _left_behind(path: Path, file: BinaryIO, kind: Kind) -> tuple[str, ...]:
    """Metadata of a bounce that is no WAV: there is no place for it in a stem yet."""
    file_bytes = size_bytes(file)
    if kind.container == "AIFF":
        refs = walk(file, 12, file_bytes, ">")
        names = [ref.id.decode("ascii").strip() for ref in refs if ref.id not in _STRUCTURAL]
        return _unique(names)
    with open_container(path, kind.container) as source:
        names = [f"tag {name}" for name in source.tags()]
    head = flac.read_head(file, kind.start) if kind.container == "FLAC" else None
    if head:
        names += [_FLAC_BLOCKS[block] for block in head.block_types if block in _FLAC_BLOCKS]
    return _unique(names)


def _unique(names: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
