"""Chunks as they were found, and the limit on what of them is held in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.chunks import MAX_CHUNK_BYTES, ChunkRef, read_chunk
from bridge.audio.text import shown
from bridge.audio.views import size_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True)
class LoadedChunk:
    """A chunk's id and its data, as far as it is held in memory.

    `size_bytes` is what it claims, and `whole` whether the file has that much.
    """

    id: bytes
    data: bytes
    size_bytes: int
    whole: bool = True

    @property
    def name(self) -> str:
        """As a user would call it."""
        name = shown(self.id.decode("ascii", "replace"))
        if self.id.upper() == b"LIST":  # recorders write both
            name += " " + shown(self.data[:4].decode("ascii", "replace"))
        meaning = _MEANINGS.get(name)
        return f"{name} ({meaning})" if meaning else name


_MEANINGS = {
    "regn": "Pro Tools region",
    "elm1": "Pro Tools overview",
    "minf": "Pro Tools session",
    "umid": "Pro Tools identifier",
    "DGDA": "Pro Tools state",
    "ovvw": "waveform overview",
    "plst": "playlist of cue points",
    "tlst": "FL Studio triggers",
    "strc": "ACID stretch points",
    "AFAn": "Apple analysis",
    "AFmd": "Apple metadata",
    "basc": "Apple Loops",
    "trns": "Apple Loops transients",
    "cate": "Apple Loops category",
    "APPL": "an application's own",
}


def load_chunks(
    file: BinaryIO, refs: Iterable[ChunkRef], structural: frozenset[bytes]
) -> Iterator[LoadedChunk]:
    """The data of all chunks but the structural ones, one at a time."""
    for ref in refs:
        if ref.id not in structural:
            yield load_chunk(file, ref)


def load_chunk(file: BinaryIO, ref: ChunkRef) -> LoadedChunk:
    """One chunk, read."""
    whole = ref.offset + ref.size_bytes <= size_bytes(file)
    return LoadedChunk(ref.id, read_chunk(file, ref), ref.size_bytes, whole)


class MetadataBudget:
    """16 MiB of metadata for one bounce, and the names of what did not fit or was cut off."""

    def __init__(self) -> None:
        self.left: list[str] = []
        self._bytes = MAX_CHUNK_BYTES

    def takes(self, piece: LoadedChunk) -> bool:
        """Whether it is whole and there is room for it; it is taken then."""
        if not piece.whole:
            self.left.append(f"{piece.name} (cut off)")
            return False
        if piece.size_bytes > self._bytes:
            self.left.append(f"{piece.name} ({piece.size_bytes:,} bytes)")
            return False
        self._bytes -= piece.size_bytes
        return True
