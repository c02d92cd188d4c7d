"""Sound files that were joined into one, and the data around them.

`cat a.wav b.wav` and recorders that restart make files of which other programs play only the first
part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import BinaryIO

from bridge.audio import flac
from bridge.audio.extents.locate import LOCATED, locate
from bridge.audio.headers import DetectedContainer, sniff, with_article
from bridge.audio.signatures import HEAD_BYTES, begins_file
from bridge.audio.streams.buffer import Buffer
from bridge.audio.streams.tag_blocks import skip_padding, sound_end, unread_bytes
from bridge.audio.views import size_bytes, view
from bridge.errors import BounceError, UnsupportedBounce

MAX_PARTS = 1000
"""A day of one recording a minute would be 1440; a crafted file could have millions."""

READ_IN_PARTS = LOCATED | {"FLAC"}


@dataclass(frozen=True)
class Part:
    """Sound file within a file, from byte `start` to `end`; open_ended: of unknown length."""

    container: str
    start: int
    end: int
    open_ended: bool = False

    def of(self, file: BinaryIO) -> BinaryIO:
        """Return the part as a file of its own."""
        return view(file, self.start, self.end)


@dataclass(frozen=True)
class Parts:
    """All sound files within a file, in order; `unread_bytes` belong to none of them."""

    parts: tuple[Part, ...]
    unread_bytes: int = 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings for the report."""
        count = len(self.parts)
        joined = f"{count} files joined into one: read as one, with the metadata of the first"
        return (*([joined] if count > 1 else []), *unread_warning(self.unread_bytes))


def unread_warning(unread_bytes: int) -> tuple[str, ...]:
    """Return the warning for bytes behind a sound file that are no tag; none for 0."""
    if not unread_bytes:
        return ()
    text = f"{unread_bytes:,} bytes behind the end of its sound are not read"
    return (f"{text}; if something is missing there, export it again",)


def parts_of(file: BinaryIO, kind: DetectedContainer) -> Parts:
    """Find the parts of an open file.

    Args:
        file: open for reading.
        kind: result of `sniff`; one of READ_IN_PARTS.

    Raises:
        BounceError: the header of a part is invalid.
        UnsupportedBounce: a file of another container follows the first: which files belong
            together is ambiguous then.
    """
    file_bytes = size_bytes(file)
    buffer = Buffer(file, 0, file_bytes)
    found: list[Part] = []
    following: DetectedContainer | None = kind
    while following is not None:
        if following.container != kind.container:
            raise UnsupportedBounce(
                f"{with_article(kind.container)} file with {with_article(following.container)} "
                "file behind it; export one file"
            )
        if len(found) == MAX_PARTS:
            raise UnsupportedBounce(f"more than {MAX_PARTS} files joined into one; split them")
        part = _part(file, buffer, following)
        found.append(part)
        following = _next(file, buffer, part.end)
    last = found[-1]
    if last.open_ended:
        return Parts(tuple(found))
    found[-1] = replace(last, end=file_bytes)
    return Parts(tuple(found), unread_bytes(buffer, last.end))


def _part(file: BinaryIO, buffer: Buffer, kind: DetectedContainer) -> Part:
    """Part that begins at `kind.start`, up to the end by its header."""
    rest = view(file, kind.start, buffer.end)
    if kind.container == "FLAC":
        return Part("FLAC", kind.start, kind.start + flac.stream_end(rest))
    sound = locate(rest, kind.container)
    end = kind.start + sound.end
    if sound.open_ended and end == buffer.end:
        end = max(sound_end(buffer), kind.start)  # tags behind audio of unknown length
    return Part(kind.container, kind.start, end, sound.open_ended)


def _next(file: BinaryIO, buffer: Buffer, end: int) -> DetectedContainer | None:
    """Sound file that begins behind byte `end` and the tags there."""
    at = skip_padding(buffer, end)
    if not begins_file(buffer.at(at, HEAD_BYTES)):
        return None
    try:
        kind = sniff(view(file, at, buffer.end))
    except BounceError:
        return None
    return DetectedContainer(kind.container, at)
