"""Cue points, their labels and regions, and sampler loops: parsed, encoded, byte-swapped.

Source: Microsoft "Multimedia Programming Interface and Data Specifications 1.0": `cue `, `LIST`
`adtl` (`labl`, `note`, `ltxt`), and the `smpl` chunk of its later revision. Data is little-endian
here; the `byteswapped_*` functions convert big-endian data.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.audio.metadata.model import Mark
from bridge.audio.text import decode_text, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MAX_MARKS = 10_000
"""Real files have dozens; a report with a million would be unreadable."""

POINT_BYTES = 24
SMPL_HEAD_BYTES = 36
LOOP_BYTES = 24
LIMIT_FRAMES = 0xFFFFFFFF
"""Largest position of a cue point: 32 bits."""

_REGION = b"rgn "  # the purpose that editors give to regions

LOOP_NAME = "Loop"
"""Name of a loop as a mark; loops of samplers have no names."""


@dataclass(frozen=True)
class Loop:
    """Sampler loop, from its first frame to its last."""

    id: int
    start_frames: int
    last_frames: int


def points(cue: bytes) -> list[tuple[int, int]]:
    """List (id, position in frames) of each cue point present, in the order of the chunk."""
    found = []
    for at in entries(cue, 4, POINT_BYTES, int.from_bytes(cue[:4], "little")):
        name, position, _, _, _, offset = struct.unpack("<II4sIII", cue[at : at + POINT_BYTES])
        # The offset is the place in the audio, and some writers only fill in the play position.
        found.append((name, offset or position))
    return found


def loops(smpl: bytes) -> list[Loop]:
    """List the loops of a `smpl` chunk."""
    count = int.from_bytes(smpl[28:32], "little")
    found = []
    for at in entries(smpl, SMPL_HEAD_BYTES, LOOP_BYTES, count):
        name, _, start, last = struct.unpack("<IIII", smpl[at : at + 16])
        found.append(Loop(name, start, last))
    return found


def entries(data: bytes, start: int, size: int, count: int) -> range:
    """Return the offsets of the complete entries of an array; `count` is the header's claim."""
    present = max(len(data) - start, 0) // size
    return range(start, start + size * min(count, present, MAX_MARKS), size)


def parts(body: bytes, order: str = "<") -> Iterator[tuple[bytes, bytes]]:
    """Yield (id, data) of each chunk within a list, as far as present."""
    at = 0
    while at + 8 <= len(body):
        chunk_id, size = struct.unpack(order + "4sI", body[at : at + 8])
        yield chunk_id, body[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def marks(cue: bytes, adtl: Sequence[bytes], smpl: bytes) -> tuple[Mark, ...]:
    """Convert cue points and loops to marks, in the order of their positions.

    A loop that shares id and place with a cue point is its length: REAPER writes regions so (their
    last frame is the first one behind them). Other loops are marks of their own.

    Args:
        cue: data of the `cue ` chunk.
        adtl: bodies of the `adtl` lists, without the form type.
        smpl: data of the `smpl` chunk.

    Returns:
        At most MAX_MARKS marks.
    """
    labels: dict[int, str] = {}
    for kind, data in (one for body in adtl for one in parts(body)):
        if kind == b"labl":
            labels[cue_id(data)] = shown(decode_text(data[4:]))
    known = lengths(cue, adtl, smpl)
    found = [Mark(at, labels.get(name, ""), known.get(name, 0)) for name, at in points(cue)]
    places = dict(points(cue))
    for loop in loops(smpl):
        if places.get(loop.id) != loop.start_frames and loop.last_frames > loop.start_frames:
            length = loop.last_frames + 1 - loop.start_frames
            found.append(Mark(loop.start_frames, LOOP_NAME, length))
    return in_order(found)


def lengths(cue: bytes, adtl: Sequence[bytes], smpl: bytes) -> dict[int, int]:
    """Return the lengths in frames, by id, of the cue points that are regions; see `marks`."""
    places = dict(points(cue))
    known = {
        loop.id: max(loop.last_frames - loop.start_frames, 0)
        for loop in loops(smpl)
        if places.get(loop.id) == loop.start_frames
    }
    for kind, data in (one for body in adtl for one in parts(body)):
        if kind == b"ltxt" and len(data) >= 8:
            known[cue_id(data)] = int.from_bytes(data[4:8], "little")
    return known


def cue_id(data: bytes) -> int:
    """Return the id of the cue point that an entry of an `adtl` list belongs to."""
    return int.from_bytes(data[:4], "little")


def in_order(found: Iterable[Mark]) -> tuple[Mark, ...]:
    """Sort marks by position and keep the first MAX_MARKS."""
    return tuple(sorted(found, key=lambda mark: mark.position_frames)[:MAX_MARKS])


def encode_cues(found: Sequence[Mark]) -> tuple[bytes, bytes]:
    """Encode marks as the data of a `cue ` chunk and of its `LIST` `adtl`; empty without marks."""
    kept = [mark for mark in found if mark.position_frames <= LIMIT_FRAMES]
    if not kept:
        return b"", b""
    cue, adtl = struct.pack("<I", len(kept)), b""
    for number, mark in enumerate(kept, 1):
        at = mark.position_frames
        cue += struct.pack("<II4sIII", number, at, b"data", 0, 0, at)
        if mark.name:
            adtl += part(b"labl", struct.pack("<I", number) + mark.name.encode() + b"\0")
        if mark.length_frames:
            length = min(mark.length_frames, LIMIT_FRAMES)
            adtl += part(b"ltxt", struct.pack("<II4sHHHH", number, length, _REGION, 0, 0, 0, 0))
    return cue, b"adtl" + adtl if adtl else b""


def encode_smpl(found: Sequence[Mark]) -> bytes:
    """Encode marks with a length as the loops of a `smpl` chunk; empty without any."""
    kept = [m for m in found if m.position_frames + m.length_frames <= LIMIT_FRAMES]
    if not kept:
        return b""
    middle_c = 60
    smpl = struct.pack("<9I", 0, 0, 0, middle_c, 0, 0, 0, len(kept), 0)
    for number, mark in enumerate(kept):
        at = mark.position_frames
        smpl += struct.pack("<6I", number, 0, at, at + mark.length_frames - 1, 0, 0)
    return smpl


def part(chunk_id: bytes, data: bytes) -> bytes:
    """Encode one chunk of a list."""
    return struct.pack("<4sI", chunk_id, len(data)) + data + bytes(len(data) % 2)


def byteswapped_cue(cue: bytes) -> bytes:
    """Convert a big-endian `cue ` chunk to little-endian; the chunk ids in it are text and stay."""
    count = int.from_bytes(cue[:4], "big")
    found = [
        struct.unpack(">II4sIII", cue[at : at + POINT_BYTES])
        for at in entries(cue, 4, POINT_BYTES, count)
    ]
    return struct.pack("<I", len(found)) + b"".join(struct.pack("<II4sIII", *p) for p in found)


def byteswapped_smpl(smpl: bytes) -> bytes:
    """Convert a big-endian `smpl` chunk to little-endian; data behind the loops stays."""
    if len(smpl) < SMPL_HEAD_BYTES:
        return smpl
    count = int.from_bytes(smpl[28:32], "big")
    end = entries(smpl, SMPL_HEAD_BYTES, LOOP_BYTES, count).stop
    words = struct.unpack(f">{end // 4}I", smpl[:end])
    return struct.pack(f"<{end // 4}I", *words) + smpl[end:]


def byteswapped_list(body: bytes) -> bytes:
    """Convert a big-endian `adtl` or `INFO` list, without its form type, to little-endian."""
    return b"".join(part(kind, _turned_part(kind, data)) for kind, data in parts(body, ">"))


def _turned_part(kind: bytes, data: bytes) -> bytes:
    if kind in {b"labl", b"note"} and len(data) >= 4:
        return data[3::-1] + data[4:]
    if kind == b"ltxt" and len(data) >= 20:
        return struct.pack("<II4sHHHH", *struct.unpack(">II4sHHHH", data[:20])) + data[20:]
    return data
