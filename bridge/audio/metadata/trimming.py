"""Metadata of one output file: in a trimmed file, every position moves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bridge.audio.chunks import Chunk
from bridge.audio.metadata import bext, ixml, tempo
from bridge.audio.metadata.cue_moves import Moves
from bridge.audio.metadata.model import shift_marks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bridge.audio.metadata.model import Metadata

# The audio definition model has times of the whole programme, in several places.
_LOST = frozenset({b"axml", b"bxml", b"sxml", b"chna", b"dbmd"})
_WORD = 1 << 64


def of_whole_file(metadata: Metadata, frames: int, rate_hz: int) -> Metadata:
    """Return the metadata of a file with all `frames` of the bounce, with its beats counted."""
    chunks = tuple(
        Chunk(c.id, tempo.with_beat_count(c.data, frames, rate_hz, anew=False))
        if c.id == b"acid"
        else c
        for c in metadata.chunks
    )
    return replace(metadata, chunks=chunks)


def of_trimmed_file(metadata: Metadata, start_frame: int, frames: int, rate_hz: int) -> Metadata:
    """Return the metadata of a file that begins at `start_frame` of the bounce.

    Markers and loops outside fall away; the time reference moves; see `lost_by_trimming`.

    Args:
        metadata: of the bounce.
        start_frame: first frame of the file in the bounce.
        frames: length of the file.
        rate_hz: of the bounce.
    """
    reference = metadata.time_reference
    return replace(
        metadata,
        chunks=tuple(_chunks(metadata.chunks, start_frame, frames, rate_hz)),
        marks=shift_marks(metadata.marks, start_frame, frames),
        time_reference=None if reference is None else (reference + start_frame) % _WORD,
        cuesheet=None,
    )


def lost_by_trimming(metadata: Metadata) -> tuple[str, ...]:
    """List the user-facing names of metadata that a trimmed file cannot hold."""
    names = [chunk.id.decode().strip() for chunk in metadata.chunks if chunk.id in _LOST]
    return tuple(f"{name} (the files are trimmed)" for name in dict.fromkeys(names))


def _chunks(
    chunks: Sequence[Chunk], start_frame: int, frames: int, rate_hz: int
) -> Iterator[Chunk]:
    moves = _moves(chunks, start_frame, frames)
    changed: dict[bytes, Callable[[bytes], bytes]] = {
        b"bext": lambda data: _later(data, start_frame),
        b"iXML": lambda data: ixml.with_later_start(data, start_frame),
        b"acid": lambda data: tempo.with_beat_count(data, frames, rate_hz, anew=True),
        b"cue ": moves.cue,
        b"smpl": moves.smpl,
    }
    for chunk in chunks:
        data = chunk.data
        if chunk.id in _LOST:
            continue
        if data[:4] == b"adtl":
            labels = moves.adtl(data[4:])
            data = data[:4] + labels if labels else b""
        elif chunk.id in changed:
            data = changed[chunk.id](data)
        if data:
            yield Chunk(chunk.id, data)


def _moves(chunks: Sequence[Chunk], start_frame: int, frames: int) -> Moves:
    of_id = {chunk.id: chunk.data for chunk in reversed(chunks)}
    adtl = [chunk.data[4:] for chunk in chunks if chunk.data[:4] == b"adtl"]
    cue, smpl = of_id.get(b"cue ", b""), of_id.get(b"smpl", b"")
    return Moves(cue, adtl, smpl, start_frame, frames)


def _later(data: bytes, start_frame: int) -> bytes:
    parsed = bext.parse(data)
    moved = (parsed.time_reference + start_frame) % _WORD
    return replace(parsed, time_reference=moved).to_bytes()
