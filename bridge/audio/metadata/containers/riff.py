"""WAV, RIFX, RF64, BW64, and WAV chunks inside Wave64 and FLAC."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.chunks import Chunk, parse_layout
from bridge.audio.metadata import bext, cues, tempo
from bridge.audio.metadata.containers.chunk_data import LoadedChunk, MetadataBudget, load_chunks
from bridge.audio.metadata.containers.surrounding_tags import merge_chunks
from bridge.audio.metadata.wav_chunks import from_wav_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bridge.audio.metadata.bext import ByteOrder
    from bridge.audio.metadata.model import Metadata

# Positions in these are frames of the file, and a stem has the same frames; channels of the audio
# definition model (ITU-R BS.2076: axml, bxml, sxml, chna; dbmd) are those of the file, and a stem
# has the same channels.
_VERBATIM = {
    *(b"iXML", b"cue ", b"smpl", b"inst", b"acid", b"id3 ", b"ID3 ", b"_PMX", b"ubxt"),
    *(b"axml", b"bxml", b"sxml", b"chna", b"dbmd"),
}
# Lists with a meaning of their own: labels of the cue points, and title, artist and the like.
_LISTS = {b"adtl", b"INFO"}

# About the container, or derived from the audio and false for a stem: not reported as lost.
STRUCTURAL = frozenset(
    {
        *(b"fmt ", b"data", b"ds64", b"fact", b"PEAK", b"JUNK", b"junk", b"PAD ", b"FLLR", b"Fake"),
        *(b"levl", b"LGWV", b"MD5 "),
    }
)

# Bytes and text read the same in a big-endian file; numbers have to be turned around.
_ORDERLESS = {b"iXML", b"inst", b"id3 ", b"ID3 ", b"_PMX", b"axml"}
_TURNED: dict[bytes, Callable[[bytes], bytes]] = {
    b"cue ": cues.byteswapped_cue,
    b"smpl": cues.byteswapped_smpl,
    b"acid": tempo.byteswapped_acid,
}


def read_metadata(file: BinaryIO, history: str, front: Sequence[LoadedChunk] = ()) -> Metadata:
    """Read the metadata of an open RIFF-like file; `front`: tags in front of it.

    Raises what `chunks.parse_layout` raises.
    """
    layout = parse_layout(file)
    more, left = merge_chunks(layout.chunks, front)
    pieces = chain(load_chunks(file, layout.chunks, STRUCTURAL), more)
    return metadata_of_chunks(pieces, layout.byte_order, history).without(*left)


def metadata_of_chunks(pieces: Iterable[LoadedChunk], order: ByteOrder, history: str) -> Metadata:
    """Convert chunks, in the order in which stems get them, to the neutral form.

    `bext` is rebuilt with `history` added to its coding history; the others are copied,
    byte-swapped from a big-endian file.
    """
    chunks: list[Chunk] = []
    budget = MetadataBudget()
    states_loudness = False
    for piece in pieces:
        if piece.id == b"bext" and not any(chunk.id == b"bext" for chunk in chunks):
            parsed = bext.parse(piece.data, order)
            states_loudness = parsed.states_loudness
            chunks.append(Chunk(b"bext", parsed.for_stem(history).to_bytes()))
            continue
        data = _carried(piece, order)
        if data is None:
            big = order == "big" and _carried(piece, "little") is not None
            budget.left.append(f"{piece.name} (big-endian)" if big else piece.name)
        elif budget.accepts(piece):
            chunks.append(Chunk(piece.id, data))
    found = from_wav_chunks(chunks, budget.left, history)
    return replace(found, states_loudness=states_loudness)


def _carried(piece: LoadedChunk, order: ByteOrder) -> bytes | None:
    """The chunk's data, little-endian; None if it may be false for a stem, or is unreadable."""
    form = piece.data[:4]
    is_list = piece.id.upper() == b"LIST" and form in _LISTS
    if piece.id not in _VERBATIM and not is_list:
        return None
    if order == "little" or piece.id in _ORDERLESS:
        return piece.data
    if is_list:
        return form + cues.byteswapped_list(piece.data[4:])
    turn = _TURNED.get(piece.id)
    return turn(piece.data) if turn else None
