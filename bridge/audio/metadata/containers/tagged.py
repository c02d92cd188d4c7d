"""Containers whose only metadata is a tag: MP3, Ogg, AU."""

from __future__ import annotations

from typing import Any, BinaryIO

from bridge.audio.chunks import MAX_CHUNK_BYTES
from bridge.audio.metadata import cues, id3, tags, vorbis
from bridge.audio.metadata.id3 import UNREADABLE
from bridge.audio.metadata.model import Mark, Metadata
from bridge.audio.metadata.tags import Tagged
from bridge.audio.metadata.wav_chunks import with_wav_chunks
from bridge.audio.text import decode_text, shown
from bridge.audio.views import size_bytes

_ID3V1_BYTES = 128


def read_mp3(file: BinaryIO, start: int, history: str) -> Metadata:
    """Read the ID3 tag of an open MP3 whose audio begins at byte `start`."""
    if start > MAX_CHUNK_BYTES:
        return Metadata(not_carried=(f"ID3 ({start:,} bytes)",))
    file.seek(0)
    tagged = id3.read(file.read(start))
    if not tagged.tags:
        tagged = Tagged(_of_id3v1(file), tagged.pictures, tagged.left)
    return _of_tags(tagged, _mp3_rate_hz(file, start), history)


def _mp3_rate_hz(file: BinaryIO, start: int) -> int:
    """Rate of the first frame header (ISO/IEC 11172-3 section 2.4.1.3); 0 without one."""
    file.seek(start)
    head = file.read(4)
    if len(head) < 4 or head[0] != 0xFF or head[2] >> 2 & 3 == 3:
        return 0
    rate_hz = (44_100, 48_000, 32_000)[head[2] >> 2 & 3]
    # Version 1; version 2 has half the rates, and 2.5 a quarter.
    return rate_hz // {3: 1, 2: 2, 0: 4}.get(head[1] >> 3 & 3, 1)


def _of_id3v1(file: BinaryIO) -> tags.Tags:
    """Tags of the last 128 bytes, if they are an ID3v1 tag: title, artist, album, year, comment."""
    at = max(size_bytes(file) - _ID3V1_BYTES, 0)
    file.seek(at)
    data = file.read(_ID3V1_BYTES)
    if data[:3] != b"TAG":
        return {}
    fields = {"TITLE": (3, 33), "ARTIST": (33, 63), "ALBUM": (63, 93), "DATE": (93, 97)}
    places = {**fields, "COMMENT": (97, 127)}
    return tags.collect_tags((name, decode_text(data[a:b])) for name, (a, b) in places.items())[0]


def read_ogg(file: BinaryIO, history: str) -> Metadata:
    """Read the tags of an open Ogg with Vorbis, Opus, FLAC or Speex."""
    from mutagen import File, MutagenError
    from mutagen.oggflac import OggFLAC
    from mutagen.oggopus import OggOpus
    from mutagen.oggspeex import OggSpeex
    from mutagen.oggvorbis import OggVorbis

    try:
        found: Any = File(_Rationed(file), options=[OggVorbis, OggOpus, OggFLAC, OggSpeex])
        tagged = vorbis.parse_pairs(list(found.tags or ())) if found is not None else Tagged()
        rate_hz = int(getattr(found.info, "sample_rate", 48_000)) if found is not None else 0
    except (MutagenError, *UNREADABLE, OSError):
        tagged, rate_hz = Tagged(left=("Vorbis comments (damaged)",)), 0
    return _of_tags(tagged, rate_hz, history)


def read_au(file: BinaryIO, history: str) -> Metadata:
    """Read the annotation of an open AU, between its header and its audio."""
    file.seek(4)
    offset = int.from_bytes(file.read(4), "big")
    if offset > MAX_CHUNK_BYTES:
        return Metadata(not_carried=(f"annotation ({offset:,} bytes)",))
    file.seek(24)
    note = decode_text(file.read(max(offset - 24, 0)))
    found = tags.collect_tags([("COMMENT", note)])[0]
    return with_wav_chunks(Metadata(tags=found), history)


def _of_tags(tagged: Tagged, rate_hz: int, history: str) -> Metadata:
    metadata = Metadata(
        tags=tagged.tags,
        marks=_chapters(tagged, rate_hz) or vorbis.chapters(tagged.tags, rate_hz),
        tempo_bpm=tags.tempo_bpm(tagged.tags),
        time_reference=tags.time_reference(tagged.tags),
        pictures=tagged.pictures,
        not_carried=tagged.left,
    )
    return with_wav_chunks(metadata, history)


def _chapters(tagged: Tagged, rate_hz: int) -> tuple[Mark, ...]:
    """Marks for the chapters of an ID3 tag; a chapter without length becomes a point."""
    places = (
        (round(start / 1000 * rate_hz), round(end / 1000 * rate_hz), title)
        for start, end, title in tagged.chapters
    )
    return cues.in_order(Mark(a, shown(title), b - a) for a, b, title in places if rate_hz)


class _Rationed:
    """Open file that limits reads to its end and to 32 MiB in all.

    A false length in a damaged header would otherwise be allocated before it is detected.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size_bytes = size_bytes(file)
        self._left_bytes = 2 * MAX_CHUNK_BYTES
        file.seek(0)

    def read(self, wanted: int = -1) -> bytes:
        """Read the next bytes. Raises EOFError when the limit is reached."""
        present = max(self._size_bytes - self._file.tell(), 0)
        count = present if wanted < 0 else min(wanted, present)
        self._left_bytes -= count
        if self._left_bytes < 0:
            raise EOFError("more metadata than is read")
        return self._file.read(count)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek, like a file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position, like a file."""
        return self._file.tell()
