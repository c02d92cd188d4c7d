"""Walk over a stream of frames that each begin with a sync word and state their own length.

The frames need nothing around them: such a stream can be cut and joined anywhere, and begin or end
with tags, zeros or other data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from bridge.audio.streams.gaps import Gap
from bridge.audio.streams.tag_blocks import leading
from bridge.errors import BounceChanged, UnsupportedBounce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bridge.audio.streams.buffer import Buffer

_CHAIN = 3
"""Frames that must follow each other before bytes behind a gap are taken for frames: the bits of
one sync word alone occur by chance in every few kilobytes."""

_MAX_CANDIDATES = 1 << 20  # places of a possible header in gaps; a second of searching


class Header(Protocol):
    """Frame header.

    size_bytes: of the whole frame. frames: of audio in it. channels: None if stated elsewhere.
    """

    @property
    def size_bytes(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def rate_hz(self) -> int: ...
    @property
    def channels(self) -> int | None: ...
    @property
    def form(self) -> object:
        """Format key: equal for frames that can belong to one stream."""


H = TypeVar("H", bound=Header)


@dataclass(frozen=True)
class Syntax(Generic[H]):
    """Frame syntax of a stream.

    name: for messages. sync: possible first bytes of a frame. head_bytes: number that `parse`
    needs, which returns None for anything but a header.
    """

    name: str
    sync: bytes
    head_bytes: int
    parse: Callable[[bytes], H | None]


@dataclass(frozen=True)
class Frame(Generic[H]):
    """Complete frame and its place in the file."""

    at: int
    header: H

    @property
    def end(self) -> int:
        """Offset of the next frame."""
        return self.at + self.header.size_bytes


class Places:
    """Places of the walked frames, stored compactly: consecutive frames form runs."""

    def __init__(self) -> None:
        self.start = self.end = 0
        self._jumps: dict[int, int] = {}

    def add(self, frame: Frame[H]) -> None:
        """Add the next frame."""
        if not self.end:
            self.start = frame.at
        elif frame.at != self.end:
            self._jumps[self.end] = frame.at
        self.end = frame.end

    def headers(self, buffer: Buffer, syntax: Syntax[H]) -> Iterator[tuple[int, H]]:
        """Read the place and header of each frame again; raises BounceChanged if one is gone."""
        at = self.start
        while at < self.end:
            header = syntax.parse(buffer.at(at, syntax.head_bytes))
            if header is None:
                raise BounceChanged("changed while it was read; let the render finish, then retry")
            yield at, header
            at += header.size_bytes
            at = self._jumps.get(at, at)


def frames_of(buffer: Buffer, syntax: Syntax[H]) -> Iterator[Frame[H] | Gap]:
    """Yield frames and the gaps between them, in the order of the file; tags are skipped.

    Raises UnsupportedBounce if too many bytes were searched between the frames.
    """
    at = buffer.start
    form: object = None
    trusted = False
    search = _Search(buffer, syntax)
    while at < buffer.end:
        header = search.header(at)
        if header is None or not (trusted or header.form == form):
            tag_bytes, zeros_end = leading(buffer, at), buffer.zeros_end(at)
            found = max(at + tag_bytes, zeros_end)
            trusted = found == at
            if trusted:
                found = search.next_frame(at)
            if found > at and not tag_bytes:
                yield Gap(at, found, zeros=found == zeros_end)
            at = found
            continue
        trusted, form = False, header.form
        end = at + header.size_bytes
        following = end if search.is_followed(end, header) else search.next_frame(at + 1)
        if following < end or end > buffer.end:
            yield Gap(at, following, incomplete=True)
            at, trusted = following, True
        else:
            yield Frame(at, header)
            at = end


class _Search(Generic[H]):
    """Search for frames in gaps, with a limit on the number of candidates."""

    def __init__(self, buffer: Buffer, syntax: Syntax[H]) -> None:
        self._buffer = buffer
        self._syntax = syntax
        self._candidates = 0

    def header(self, at: int) -> H | None:
        """Return the header at an offset; None if there is none."""
        return self._syntax.parse(self._buffer.at(at, self._syntax.head_bytes))

    def next_frame(self, at: int) -> int:
        """Return where a chain of frames begins from `at` on; the end of the buffer if nowhere."""
        place = self._buffer.find(self._syntax.sync, at)
        while place is not None:
            self._candidates += 1
            if self._candidates > _MAX_CANDIDATES:
                raise UnsupportedBounce(
                    f"damaged: too little of it is {self._syntax.name}; export it again"
                )
            if self._is_chain(place):
                return place
            place = self._buffer.find(self._syntax.sync, place + 1)
        return self._buffer.end

    def is_followed(self, at: int, header: H) -> bool:
        """Whether a frame that ends at `at` is followed by its like, a tag or the end."""
        following = self.header(at)
        if following is not None and following.form == header.form:
            return True
        return at == self._buffer.end or leading(self._buffer, at) > 0

    def _is_chain(self, at: int) -> bool:
        first = header = self.header(at)
        for count in range(_CHAIN):
            if first is None or header is None or header.form != first.form:
                return False
            at += header.size_bytes
            if at >= self._buffer.end or leading(self._buffer, at):
                return count > 0 or at <= self._buffer.end
            header = self.header(at)
        return True
