"""FLAC: comments, pictures, cue sheet, and the chunks of the WAV or AIFF that it was made from.

Source: RFC 9639 section 8, and Xiph.Org's registry of application ids ("foreign metadata": a
chunk of the first file in each block).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio import flac
from bridge.audio.chunks import ChunkRef
from bridge.audio.metadata import cues, tags, vorbis
from bridge.audio.metadata.containers import aiff, riff
from bridge.audio.metadata.containers.chunk_data import LoadedChunk, MetadataBudget, load_chunk
from bridge.audio.metadata.model import Metadata
from bridge.audio.metadata.tags import Tagged
from bridge.audio.metadata.wav_chunks import with_wav_chunks
from bridge.audio.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.audio.metadata.model import Picture

_STRUCTURAL = {0, 1, 3}  # STREAMINFO, PADDING, SEEKTABLE
_APPLICATION, _COMMENTS, _SHEET, _PICTURE = 2, 4, 5, 6
_NAMES = {
    _APPLICATION: "APPLICATION",
    _COMMENTS: "comments",
    _SHEET: "CUESHEET",
    _PICTURE: "PICTURE",
}
_RIFF, _AIFF = b"riff", b"aiff"
# The other foreign chunks repeat the comments.
_FROM_WAV = {b"bext", b"iXML", b"smpl", b"inst", b"acid", b"axml", b"chna", b"dbmd", b"_PMX"}


def read_metadata(file: BinaryIO, history: str) -> Metadata:
    """Read the metadata of an open FLAC."""
    budget = MetadataBudget()
    bodies: dict[int, list[bytes]] = {}
    for block in flac.blocks(file, 0) or ():
        if block.type in _STRUCTURAL:
            continue
        name = _NAMES.get(block.type, f"FLAC block {block.type}")
        ref = ChunkRef(name.encode(), block.offset, block.size_bytes)
        piece = load_chunk(file, ref)
        if block.type not in _NAMES:
            budget.left.append(name)
        elif budget.accepts(piece):
            bodies.setdefault(block.type, []).append(piece.data)
    head = flac.read_head(file, 0)
    return metadata_of_blocks(bodies, budget, head.rate_hz if head else 0, history)


def metadata_of_blocks(
    bodies: dict[int, list[bytes]], budget: MetadataBudget, rate_hz: int, history: str
) -> Metadata:
    """Convert the bodies of metadata blocks, by type, to the neutral form.

    Args:
        bodies: of the blocks, by block type.
        budget: budget that is left for foreign chunks.
        rate_hz: of the file.
        history: line for the coding history.
    """
    comments = bodies.get(_COMMENTS, [])
    tagged = vorbis.parse_comments(comments[0]) if comments else Tagged()
    pictures = (*tagged.pictures, *_pictures(bodies.get(_PICTURE, ()), budget))
    first = _foreign(bodies.get(_APPLICATION, ()), budget, history)
    sheets = bodies.get(_SHEET, [])
    # The same places are often stored twice: the chunks of the first file have lengths, too.
    marks = (
        first.marks
        or vorbis.chapters(tagged.tags, rate_hz)
        or (vorbis.sheet_marks(sheets[0]) if sheets else ())
    )
    found = tags.merge_tags(tagged.tags, first.tags)
    time_reference = first.time_reference
    if time_reference is None:
        time_reference = tags.time_reference(found)
    metadata = Metadata(
        tags=found,
        marks=cues.in_order(marks),
        tempo_bpm=first.tempo_bpm or tags.tempo_bpm(found),
        time_reference=time_reference,
        pictures=tuple(pictures) or first.pictures,
        cuesheet=sheets[0] if sheets else None,
        not_carried=tagged.left,
    )
    made = with_wav_chunks(metadata.without(*budget.left, *first.not_carried), history)
    return _with(made, first)


def _with(made: Metadata, first: Metadata) -> Metadata:
    """Add the foreign chunks that hold more than the chunks made from the comments."""
    kept = [chunk for chunk in first.chunks if chunk.id in _FROM_WAV]
    ids = {chunk.id for chunk in kept}
    if any(chunk.id == b"cue " for chunk in first.chunks):
        kept += [c for c in first.chunks if c.id == b"cue " or c.data[:4] == b"adtl"]
        made = replace(
            made,
            chunks=tuple(c for c in made.chunks if c.id != b"cue " and c.data[:4] != b"adtl"),
        )
    rest = [chunk for chunk in made.chunks if chunk.id not in ids]
    return replace(made, chunks=(*kept, *rest), states_loudness=first.states_loudness)


def _pictures(blocks: Sequence[bytes], budget: MetadataBudget) -> list[Picture]:
    found = [vorbis.parse_picture(block) for block in blocks]
    budget.left += ["PICTURE (damaged or a link)"] * (None in found)
    return [picture for picture in found if picture]


def _foreign(blocks: Sequence[bytes], budget: MetadataBudget, history: str) -> Metadata:
    """Metadata of the original WAV or AIFF: its chunks, each behind the application's id."""
    pieces: dict[bytes, list[LoadedChunk]] = {_RIFF: [], _AIFF: []}
    for block in blocks:
        kind, head, data = block[:4], block[4:12], block[12:]
        if kind not in pieces or len(head) < 8:
            budget.left.append(f"APPLICATION {shown(kind.decode('ascii', 'replace'))}")
            continue
        size = int.from_bytes(head[4:], "little" if kind == _RIFF else "big")
        if head[:4] in {b"RIFF", b"RF64", b"FORM", b"data", b"SSND"}:
            continue  # the whole file, and the audio
        pieces[kind].append(LoadedChunk(head[:4], data[:size], size, whole=len(data) >= size))
    if pieces[_AIFF]:
        known = (p for p in pieces[_AIFF] if p.id not in aiff.STRUCTURAL)
        return aiff.metadata_of_chunks(known, history)
    known = (p for p in pieces[_RIFF] if p.id not in riff.STRUCTURAL)
    return riff.metadata_of_chunks(known, "little", history)
