"""What a bounce says about itself beside its audio, whichever container it came in.

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
    """A cue point, a marker, or a region; of a point, length_frames is 0."""

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
    def of_stranger(cls, mime: str, data: bytes, kind: int, description: str) -> Picture:
        """With a type, a kind and a text that every format can hold, whatever the file says."""
        plain = mime.isascii() and mime.isprintable() and len(mime) <= _MIME_CHARACTERS
        known = 0 <= kind <= _LAST_KIND
        return cls(mime if plain else "image/", data, kind if known else 0, shown(description))


@dataclass(frozen=True)
class Metadata:
    """Read from a bounce, for its stems.

    chunks: what goes into a WAV, in its order, all of it: `bext` has the line of this job in its
    coding history, and what came from another container has become chunks here. A target that is
    no WAV takes the other fields, and what it wants of `bext` and `iXML` from here.
    tags: names of Vorbis comments in upper case (TITLE, ARTIST, ALBUM, DATE, GENRE, COMMENT,
    TRACKNUMBER, ISRC, BPM, ...), each with one value or more.
    marks: in the order of their positions.
    tempo_bpm: quarter notes per minute; None where nothing says.
    time_reference: position of the first frame in frames since midnight; None where nothing says.
    cuesheet: the body of a FLAC's CUESHEET block (RFC 9639 section 8.7); its tracks are in
    `marks` too.
    not_carried: what is in none of these, named as a user would.
    states_loudness: the `bext` of the bounce gives loudness values. Those in `chunks` are "not
    set", until a file's own are known.
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
        """The data of the first chunk of that id."""
        return next((chunk.data for chunk in self.chunks if chunk.id == chunk_id), None)

    def without(self, *reasons: str) -> Metadata:
        """This, with more that is not carried."""
        return replace(self, not_carried=tuple(dict.fromkeys((*self.not_carried, *reasons))))


def shift_marks(marks: tuple[Mark, ...], start_frame: int, frames: int) -> tuple[Mark, ...]:
    """The marks of a file that begins at `start_frame` of the bounce and has `frames` frames.

    Points outside fall away; regions are cut to what is inside. A point at the very end stays:
    DAWs write the end of the song there.
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
