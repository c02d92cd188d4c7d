"""The boxes of an MP4 file, walked by a reader of our own (ISO/IEC 14496-12 section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CONTAINERS = frozenset({"moov", "trak", "mdia", "minf", "stbl", "edts", "udta"})


@dataclass(frozen=True)
class Box:
    """path: the names from the outermost box to this one. data: without the header."""

    path: tuple[str, ...]
    data: bytes

    def word(self, offset: int) -> int:
        """Four bytes, most significant first."""
        return int.from_bytes(self.data[offset : offset + 4], "big")


def boxes(path: Path) -> list[Box]:
    """All of a file, a box before those inside it; asserts that they fill it."""
    return [*_walk(path.read_bytes(), ())]


def _walk(data: bytes, above: tuple[str, ...]) -> Iterator[Box]:
    start = 0
    while start < len(data):
        size, name = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        assert 8 <= size <= len(data) - start, (above, name, size)
        box = Box((*above, name.decode("latin-1")), data[start + 8 : start + size])
        yield box
        if box.path[-1] in _CONTAINERS:
            yield from _walk(box.data, box.path)
        start += size


def of(found: list[Box], *path: str) -> list[Box]:
    """Those with that path."""
    return [box for box in found if box.path == path]
