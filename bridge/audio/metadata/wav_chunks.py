"""Conversion between the chunks of a WAV and the neutral form, in both directions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bridge.audio.chunks import Chunk
from bridge.audio.metadata import bext, cues, id3, ixml, tags, tempo
from bridge.audio.metadata.model import Metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.audio.metadata.bext import Bext

_LISTS = (b"LIST", b"list")


def from_wav_chunks(chunks: Sequence[Chunk], left: Sequence[str], history: str) -> Metadata:
    """Parse the chunks of a WAV that are copied into stems.

    Where only iXML has a time reference, a `bext` with the same value is put before it: most DAWs
    place a file by `bext` alone.

    Args:
        chunks: little-endian, in order.
        left: names of the chunks that are not copied.
        history: line for the coding history.
    """
    of_id = {chunk.id: chunk.data for chunk in reversed(chunks)}
    lists = [chunk.data for chunk in chunks if chunk.id in _LISTS]
    adtl = [data[4:] for data in lists if data[:4] == b"adtl"]
    infos = [tags.parse_info(data[4:]) for data in lists if data[:4] == b"INFO"]
    tagged = id3.read(of_id.get(b"id3 ") or of_id.get(b"ID3 ") or b"")
    found = tags.merge_tags(tagged.tags, *infos)
    xml = of_id.get(b"iXML", b"")
    time_reference = ixml.time_reference(xml)
    kept = tuple(chunks)
    if b"bext" in of_id:
        time_reference = bext.parse(of_id[b"bext"]).time_reference
    elif time_reference is not None:
        kept = (Chunk(b"bext", bext.new_bext(time_reference, history).to_bytes()), *kept)
    bpm = (
        tempo.tempo_of_acid(of_id.get(b"acid", b"")) or ixml.tempo_bpm(xml) or tags.tempo_bpm(found)
    )
    return Metadata(
        chunks=kept,
        tags=found,
        marks=cues.marks(of_id.get(b"cue ", b""), adtl, of_id.get(b"smpl", b"")),
        tempo_bpm=bpm,
        time_reference=time_reference,
        pictures=tagged.pictures,
        not_carried=tuple(dict.fromkeys(left)),
    )


def with_wav_chunks(
    found: Metadata, history: str, *, broadcast: Bext | None = None, verbatim: Sequence[Chunk] = ()
) -> Metadata:
    """Add WAV chunks with equal content to the metadata of another container.

    Args:
        found: metadata as read.
        history: line for the coding history.
        broadcast: the container's own `bext`, already with `history`.
        verbatim: chunks that are copied into a WAV; with an `id3 ` among them, none is made of the
            tags.
    """
    if broadcast is None and found.time_reference is not None:
        broadcast = bext.new_bext(found.time_reference, history)
    first = [Chunk(b"bext", broadcast.to_bytes())] if broadcast else []
    kept = [*first, *(chunk for chunk in verbatim if chunk.data)]
    lasting = replace(found, tags=tags.without_positions(found.tags))
    made = _made(lasting, {chunk.id: chunk.data for chunk in kept})
    beyond = sum(mark.position_frames > cues.LIMIT_FRAMES for mark in found.marks)
    lost = [f"{beyond} markers beyond frame {cues.LIMIT_FRAMES:,}"] if beyond else []
    return replace(lasting, chunks=(*kept, *made)).without(*lost)


def _made(found: Metadata, kept: Mapping[bytes, bytes]) -> list[Chunk]:
    """Chunks for the metadata that the kept chunks lack."""
    loop_marks = cues.marks(b"", [], kept.get(b"smpl", b""))
    cue, labels = cues.encode_cues([mark for mark in found.marks if mark not in loop_marks])
    chunks = [
        Chunk(b"cue ", cue),
        Chunk(b"LIST", labels),
        Chunk(b"acid", tempo.encode_acid(found.tempo_bpm) if found.tempo_bpm else b""),
        Chunk(b"LIST", tags.encode_info(found.tags)),
        Chunk(b"id3 ", id3.write(found.tags, found.pictures) if b"id3 " not in kept else b""),
    ]
    return [chunk for chunk in chunks if chunk.data]
