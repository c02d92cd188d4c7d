"""Title, artist and other tags under one set of names, and the `LIST` `INFO` of a WAV.

The names are those of Vorbis comments, in upper case. Sources: Xiph.Org "Ogg Vorbis I format
specification: comment field"; Microsoft "Multimedia Programming Interface and Data Specifications
1.0", INFO list; the field names that players agree on beyond them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridge.audio.metadata import tempo
from bridge.audio.metadata.cues import parts
from bridge.audio.text import decode_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bridge.audio.metadata.model import Picture

Tags = dict[str, tuple[str, ...]]

MAX_TAGS = 1000  # real files have fewer than 50
_DIGITS = 20  # of the largest number of 64 bits
_MAX_VALUES = 100  # under one name
_SIZE_LIMIT = 1 << 20  # characters of one value; the longest lyrics have a few thousand

_INFO = {
    b"INAM": "TITLE",
    b"IART": "ARTIST",
    b"IPRD": "ALBUM",
    b"ICRD": "DATE",
    b"IGNR": "GENRE",
    b"ICMT": "COMMENT",
    b"ITRK": "TRACKNUMBER",
    b"ICOP": "COPYRIGHT",
    b"IENG": "ENGINEER",
    b"ISFT": "ENCODER",
    b"IMUS": "COMPOSER",
    b"IWRI": "LYRICIST",
    b"ILNG": "LANGUAGE",
    b"ITCH": "ENCODEDBY",
    b"IPUB": "ORGANIZATION",
    b"IBPM": "BPM",
    b"ISRC": "SOURCE",  # who supplied it; not the code of a recording
    b"ISBJ": "DESCRIPTION",
    b"IKEY": "KEYWORDS",
}
_INFO_ALSO = {b"IPRT": "TRACKNUMBER"}  # used by some writers
_INFO_OF = {name: chunk_id for chunk_id, name in _INFO.items()}

_OF_THE_FILE = "WAVEFORMATEXTENSIBLE_CHANNEL_MASK"  # read with the header
# The level of the bounce, and where its encoder put the first frame: false for a stem.
_FALSE_FOR_STEMS = ("REPLAYGAIN_", "R128_", "ITUNSMPB", "ITUNNORM", "ITUNPGAP")
_TEMPOS = ("BPM", "TBPM", "TEMPO")
_TIME_REFERENCES = ("TIME_REFERENCE", "TIMEREFERENCE")  # names of ffmpeg for the field of `bext`


@dataclass
class Tagged:
    """Contents of a tag; `left` names the rest; `chapters` is (start, end) in ms and a title."""

    tags: Tags = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()
    left: tuple[str, ...] = ()
    chapters: tuple[tuple[int, int, str], ...] = ()


def collect_tags(found: Iterable[tuple[str, str]]) -> tuple[Tags, tuple[str, ...]]:
    """Collect values by name; also return the names of values that would be false for a stem."""
    tags: Tags = {}
    false: list[str] = []
    for name, value in found:
        key = _key(name)
        text = value.replace("\0", " ").encode("utf-8", "replace").decode()[:_SIZE_LIMIT].strip()
        if (
            not key
            or not text
            or key == _OF_THE_FILE
            or (len(tags) >= MAX_TAGS and key not in tags)
        ):
            continue
        if key.startswith(_FALSE_FOR_STEMS):
            false.append(f"tag {key} (true of the bounce alone)")
            continue
        values = tags.get(key, ())
        if text not in values and len(values) < _MAX_VALUES:
            tags[key] = (*values, text)
    return tags, tuple(dict.fromkeys(false))


def _key(name: str) -> str:
    """Convert to a name that Vorbis comments allow: printable ASCII without "="."""
    return "".join(c for c in name.upper() if " " <= c <= "}" and c != "=").strip()[:255]


def merge_tags(
    first: Mapping[str, tuple[str, ...]], *others: Mapping[str, tuple[str, ...]]
) -> Tags:
    """Merge mappings of tags; the earlier one wins where two have one name."""
    tags = dict(first)
    for other in others:
        for name, values in other.items():
            tags.setdefault(name, values)
    return tags


def tempo_bpm(tags: Mapping[str, tuple[str, ...]]) -> float | None:
    """Tempo of the tags in quarter notes per minute; None if absent."""
    found = (tempo.parse_tempo(tags[name][0]) for name in _TEMPOS if name in tags)
    return next((bpm for bpm in found if bpm), None)


def time_reference(tags: Mapping[str, tuple[str, ...]]) -> int | None:
    """Position of the first frame in frames since midnight, under the name that ffmpeg gives it."""
    for name in _TIME_REFERENCES:
        text = tags.get(name, ("",))[0]
        if text.isascii() and text.isdigit() and len(text) <= _DIGITS:
            return int(text) % (1 << 64)
    return None


def without_positions(tags: Mapping[str, tuple[str, ...]]) -> Tags:
    """Remove positions, which `Metadata` has fields for and which trimming would make false."""
    return {
        name: values
        for name, values in tags.items()
        if name not in _TIME_REFERENCES and not name.startswith("CHAPTER")
    }


def parse_info(body: bytes) -> Tags:
    """Parse the tags of an `INFO` list, given without its form type."""
    names = {**_INFO, **_INFO_ALSO}
    found = ((names[kind], decode_text(data)) for kind, data in parts(body) if kind in names)
    return collect_tags(found)[0]


def encode_info(tags: Mapping[str, tuple[str, ...]]) -> bytes:
    """Encode the tags that an `INFO` list has an id for; empty without any."""
    body = b""
    for name, values in tags.items():
        if name in _INFO_OF:
            text = ", ".join(values).encode() + b"\0"
            body += struct.pack("<4sI", _INFO_OF[name], len(text)) + text + bytes(len(text) % 2)
    return b"INFO" + body if body else b""
