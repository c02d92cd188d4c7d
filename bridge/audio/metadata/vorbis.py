"""Vorbis comments, pictures and cue sheets of FLAC and Ogg, parsed by mutagen.

Source: RFC 9639 sections 8.6 to 8.8. mutagen gets bytes that are already in memory, so that a false
length in them cannot cause a large allocation.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

from bridge.audio.metadata import cues
from bridge.audio.metadata.id3 import UNREADABLE
from bridge.audio.metadata.model import Mark, Picture
from bridge.audio.metadata.tags import Tagged, collect_tags
from bridge.audio.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PICTURE_NAMES = ("METADATA_BLOCK_PICTURE", "COVERART")
# CHAPTER001=00:01:02.500 and CHAPTER001NAME=Verse: how chapters are written in Vorbis comments.
_CHAPTER = re.compile(r"CHAPTER(\d{1,4})")
_TIME = re.compile(r"(\d{1,3}):(\d{1,2}):(\d{1,2}(?:\.\d{1,9})?)")
_LEAD_OUT = {170, 255}  # section 8.7: the number of the lead-out track of a CD, and of others


def parse_comments(block: bytes) -> Tagged:
    """Parse the body of a VORBIS_COMMENT block."""
    from mutagen import MutagenError
    from mutagen.flac import VCFLACDict

    try:
        found: Any = VCFLACDict(block, framing=False)
        return parse_pairs(list(found))
    except (MutagenError, *UNREADABLE):
        return Tagged(left=("Vorbis comments (damaged)",))


def parse_pairs(pairs: Iterable[tuple[str, str]]) -> Tagged:
    """Collect tags and embedded pictures from (name, value) pairs."""
    rest, pictures, left = [], [], []
    for name, value in pairs:
        if name.upper() not in _PICTURE_NAMES:
            rest.append((name, value))
            continue
        found = _embedded(value) if name.upper() == _PICTURE_NAMES[0] else None
        if found:
            pictures.append(found)
        else:
            left.append(f"tag {name.upper()}")
    tags, false = collect_tags(rest)
    return Tagged(tags, tuple(pictures), tuple(dict.fromkeys((*left, *false))))


def _embedded(value: str) -> Picture | None:
    try:
        return parse_picture(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        return None


def parse_picture(block: bytes) -> Picture | None:
    """Parse the body of a PICTURE block; None if it is damaged or only a link."""
    from mutagen import MutagenError
    from mutagen.flac import Picture as Block

    try:
        found: Any = Block(block)
    except (MutagenError, *UNREADABLE):
        return None
    if not found.data or found.mime == "-->":
        return None
    return Picture.sanitised(str(found.mime), bytes(found.data), int(found.type), str(found.desc))


def sheet_marks(block: bytes) -> tuple[Mark, ...]:
    """Convert the tracks of a CUESHEET block's body to marks; empty if it is damaged."""
    from mutagen import MutagenError
    from mutagen.flac import CueSheet

    try:
        found: Any = CueSheet(block)
    except (MutagenError, *UNREADABLE):
        return ()
    marks = []
    for track in found.tracks:
        if track.track_number in _LEAD_OUT:
            continue
        first = next((index for index in track.indexes if index.index_number == 1), None)
        start = track.start_offset + (first.index_offset if first else 0)
        marks.append(Mark(int(start), f"Track {track.track_number:02}"))
    return cues.in_order(marks)


def chapters(tags: Mapping[str, tuple[str, ...]], rate_hz: int) -> tuple[Mark, ...]:
    """Convert the chapters among the tags to marks."""
    marks = []
    for name, values in tags.items():
        chapter = _CHAPTER.fullmatch(name)
        time = _TIME.fullmatch(values[0].strip()) if chapter else None
        if time:
            seconds = int(time[1]) * 3600 + int(time[2]) * 60 + float(time[3])
            label = tags.get(f"{name}NAME", ("",))[0]
            marks.append(Mark(round(seconds * rate_hz), shown(label)))
    return cues.in_order(marks)
