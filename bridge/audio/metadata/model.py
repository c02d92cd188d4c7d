"""Neutral form of a bounce's metadata, independent of its container.

Positions count from the first frame of the file, in its frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from bridge.audio.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.audio.chunks import Chunk

FRONT_COVER = 3
"""ID3v2.4 section 4.14, and RFC 9639 section 8.8 after it: the kind of picture most files have."""

_LAST_KIND = 20
_MIME_CHARACTERS = 64  # the longest in use has 24


@dataclass(frozen=True)
class Mark:
    """Cue point, marker or region; length_frames of a point is 0."""

    position_frames: int
    name: str = ""
    length_frames: int = 0


@dataclass(frozen=True)
class Picture:
    """Cover art. `kind` is a number of ID3v2.4 section 4.14, `mime` like image/jpeg."""

    mime: str
    data: bytes
    kind: int = FRONT_COVER
    description: str = ""

    @classmethod
    def sanitised(cls, mime: str, data: bytes, kind: int, description: str) -> Picture:
        """Create a picture from untrusted fields, limited to values that every format can hold."""
        plain = mime.isascii() and mime.isprintable() and len(mime) <= _MIME_CHARACTERS
        known = 0 <= kind <= _LAST_KIND
        return cls(mime if plain else "image/", data, kind if known else 0, shown(description))


@dataclass(frozen=True)
class Metadata:
    """Metadata of a bounce, for its stems.

    Attributes:
        chunks: all chunks of a WAV stem, in order: `bext` has this job's line in its coding
            history, and metadata of other containers is translated into chunks. Other targets use
            the fields below, and read only `bext` and `iXML` from here.
        tags: names of Vorbis comments in upper case (TITLE, ARTIST, ALBUM, DATE, GENRE, COMMENT,
            TRACKNUMBER, ISRC, BPM, ...), each with one value or more.
        marks: in the order of their positions.
        tempo_bpm: quarter notes per minute; None if unknown.
        time_reference: position of the first frame in frames since midnight; None if unknown.
        cuesheet: body of a FLAC's CUESHEET block (RFC 9639 section 8.7); its tracks are in `marks`,
            too.
        not_carried: user-facing names of metadata that is in none of these fields.
        states_loudness: the `bext` of the bounce gives loudness values. Those in `chunks` are "not
            set" until a file's own are measured.
    """

    chunks: tuple[Chunk, ...] = ()
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    marks: tuple[Mark, ...] = ()
    tempo_bpm: float | None = None
    time_reference: int | None = None
    pictures: tuple[Picture, ...] = ()
    cuesheet: bytes | None = None
    not_carried: tuple[str, ...] = ()
    states_loudness: bool = False

    def find(self, chunk_id: bytes) -> bytes | None:
        """Return the data of the first chunk with that id; None without one."""
        return next((chunk.data for chunk in self.chunks if chunk.id == chunk_id), None)

    def without(self, *reasons: str) -> Metadata:
        """Return a copy with more entries in `not_carried`."""
        return replace(self, not_carried=tuple(dict.fromkeys((*self.not_carried, *reasons))))


def shift_marks(marks: tuple[Mark, ...], start_frame: int, frames: int) -> tuple[Mark, ...]:
    """Return the marks of a file of `frames` frames that begins at `start_frame` of the bounce.

    Points outside fall away; regions are cut to the file. A point at the very end stays: DAWs mark
    the end of the song there.
    """
    found = (_shifted(mark, start_frame, frames) for mark in marks)
    return tuple(mark for mark in found if mark is not None)


def _shifted(mark: Mark, start_frame: int, frames: int) -> Mark | None:
    start = mark.position_frames - start_frame
    end = start + mark.length_frames
    if mark.length_frames:
        start, end = max(start, 0), min(end, frames)
        return Mark(start, mark.name, end - start) if start < end else None
    return Mark(start, mark.name) if 0 <= start <= frames else None
