"""Between the chunks of a WAV and the neutral form: one is made of the other, either way."""

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
    """The neutral form of the chunks of a WAV, little-endian, that are to be carried as they are.

    Where only iXML says when the file begins, a `bext` that says the same goes before it: most
    DAWs place a file by that alone.
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
    """What another container holds, with chunks that say the same in a WAV.

    broadcast: a `bext` that it has of its own, already with `history`. verbatim: chunks that go
    into a WAV as they are; with an `id3 ` among them, none is made of the tags.
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
    """Chunks for what those that are kept do not say."""
    told = cues.marks(b"", [], kept.get(b"smpl", b""))
    cue, labels = cues.encode_cues([mark for mark in found.marks if mark not in told])
    chunks = [
        Chunk(b"cue ", cue),
        Chunk(b"LIST", labels),
        Chunk(b"acid", tempo.encode_acid(found.tempo_bpm) if found.tempo_bpm else b""),
        Chunk(b"LIST", tags.encode_info(found.tags)),
        Chunk(b"id3 ", id3.write(found.tags, found.pictures) if b"id3 " not in kept else b""),
    ]
    return [chunk for chunk in chunks if chunk.data]
