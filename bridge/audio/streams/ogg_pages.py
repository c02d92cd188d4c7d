"""The pages of an Ogg file (RFC 3533), each with its checksum, and the packets in them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.audio.streams.gaps import Gap
from bridge.audio.streams.tag_blocks import leading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bridge.audio.streams.buffer import Buffer

_HEAD_BYTES = 27
_CONTINUED, _BEGINS, _ENDS = 1, 2, 4
_NO_POSITION = -1  # section 6: no packet ends on this page
_WRAP, _ALL = 1 << 32, 0xFFFFFFFF

# zlib's CRC-32 has Ogg's polynomial, but takes the bits of a byte from the other end.
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class Page:
    """Page at byte `at`.

    position: of the last frame that ends on it, None if none does. lacing: the segment table.
    """

    at: int
    flags: int
    position: int | None
    serial: int
    number: int
    lacing: bytes

    @property
    def begins(self) -> bool:
        """Whether a logical stream begins with it."""
        return bool(self.flags & _BEGINS)

    @property
    def ends(self) -> bool:
        """Whether its logical stream ends with it."""
        return bool(self.flags & _ENDS)

    @property
    def continues(self) -> bool:
        """Whether its first packet began on an earlier page."""
        return bool(self.flags & _CONTINUED)

    @property
    def data_at(self) -> int:
        """Offset of its data in the file."""
        return self.at + _HEAD_BYTES + len(self.lacing)

    @property
    def end(self) -> int:
        """Offset of the next page."""
        return self.data_at + sum(self.lacing)

    def follows(self, other: Page) -> bool:
        """Return whether no page of the stream is missing between `other` and this one."""
        return self.number == (other.number + 1) % _WRAP


def pages(buffer: Buffer) -> Iterator[Page | Gap]:
    """Yield pages and the gaps between them, in the order of the file; tags are skipped.

    A page that breaks off with the file is an incomplete gap.
    """
    at = buffer.start
    while at < buffer.end:
        page = _page(buffer, at)
        if page is not None and page.end <= buffer.end:
            yield page
            at = page.end
            continue
        tag_bytes = leading(buffer, at)
        if tag_bytes:
            at += tag_bytes
            continue
        found = buffer.find(b"OggS", at + 1)
        end = buffer.end if found is None else found
        incomplete = buffer.at(at, 4) == b"OggS"[: buffer.end - at]
        yield Gap(at, end, incomplete=incomplete, zeros=buffer.is_zero(at, end))
        at = end


def _page(buffer: Buffer, at: int) -> Page | None:
    head = buffer.at(at, _HEAD_BYTES)
    if len(head) < _HEAD_BYTES or head[:5] != b"OggS\0":
        return None
    lacing = buffer.at(at + _HEAD_BYTES, head[26])
    if len(lacing) < head[26]:
        return None
    position = int.from_bytes(head[6:14], "little", signed=True)
    return Page(
        at=at,
        flags=head[5],
        position=None if position == _NO_POSITION else position,
        serial=int.from_bytes(head[14:18], "little"),
        number=int.from_bytes(head[18:22], "little"),
        lacing=lacing,
    )


def is_intact(buffer: Buffer, page: Page) -> bool:
    """Return whether the page matches its checksum (section 6)."""
    data = buffer.at(page.at, page.end - page.at)
    crc = zlib.crc32((data[:22] + bytes(4) + data[26:]).translate(_REVERSED), _ALL) ^ _ALL
    return crc.to_bytes(4, "big").translate(_REVERSED) == data[22:26]


def packets(buffer: Buffer, stream: Iterable[Page]) -> Iterator[tuple[bytes, Page | None]]:
    """Yield the packets of one logical stream, given its pages.

    With each comes the page on which it is the last one that ends, else None.
    """
    held = b""
    for page in stream:
        at, size = page.data_at, 0
        last = max((n for n, segment in enumerate(page.lacing) if segment < 255), default=None)
        held = held if page.continues else b""
        for number, segment in enumerate(page.lacing):
            size += segment
            if segment < 255:
                yield held + buffer.at(at, size), page if number == last else None
                held, at, size = b"", at + size, 0
        held += buffer.at(at, size)
