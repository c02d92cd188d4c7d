"""Chunks loaded into memory, within a budget of bytes."""

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

    `size_bytes` is the claimed size; `whole`: the file holds that many bytes.
    """

    id: bytes
    data: bytes
    size_bytes: int
    whole: bool = True

    @property
    def name(self) -> str:
        """User-facing name."""
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
    """Load all chunks but the structural ones, one at a time."""
    for ref in refs:
        if ref.id not in structural:
            yield load_chunk(file, ref)


def load_chunk(file: BinaryIO, ref: ChunkRef) -> LoadedChunk:
    """Load one chunk."""
    whole = ref.offset + ref.size_bytes <= size_bytes(file)
    return LoadedChunk(ref.id, read_chunk(file, ref), ref.size_bytes, whole)


class MetadataBudget:
    """Limit of 16 MiB of metadata per bounce; names the chunks that exceed it or are cut off."""

    def __init__(self) -> None:
        self.left: list[str] = []
        self._bytes = MAX_CHUNK_BYTES

    def accepts(self, piece: LoadedChunk) -> bool:
        """Reserve budget for a chunk; False if it is cut off or too large."""
        if not piece.whole:
            self.left.append(f"{piece.name} (cut off)")
            return False
        if piece.size_bytes > self._bytes:
            self.left.append(f"{piece.name} ({piece.size_bytes:,} bytes)")
            return False
        self._bytes -= piece.size_bytes
        return True
