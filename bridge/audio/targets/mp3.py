"""ID3 tag of an MP3: text tags, pictures, and markers as chapters.

Source: "ID3v2 Chapter Frame Addendum" 1.0. Chapter times are in milliseconds.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from mutagen import id3

from bridge.audio.metadata.id3 import write

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.audio.metadata.model import Metadata
    from bridge.audio.metadata.tags import Tags

_NO_OFFSET = 0xFFFFFFFF  # of a chapter in bytes: its times count


def put_tag(path: Path, metadata: Metadata, tags: Tags, rate_hz: int, frames: int) -> None:
    """Add the ID3 tag to an MP3 without one.

    Args:
        path: of the file.
        metadata: of the stem.
        tags: by the names of Vorbis comments.
        rate_hz: of the marks.
        frames: length of the file.
    """
    plain = write(tags, metadata.pictures)
    made: Any = id3.ID3(io.BytesIO(plain)) if plain else id3.ID3()
    starts = [mark.position_frames for mark in metadata.marks]
    ids = [f"chp{number}" for number in range(len(starts))]
    for number, mark in enumerate(metadata.marks):
        # As long as its region; a point lasts until the next one.
        following = starts[number + 1] if number + 1 < len(starts) else frames
        end = mark.position_frames + mark.length_frames if mark.length_frames else following
        made.add(
            id3.CHAP(
                element_id=ids[number],
                start_time=round(1000 * mark.position_frames / rate_hz),
                end_time=round(1000 * max(end, mark.position_frames) / rate_hz),
                start_offset=_NO_OFFSET,
                end_offset=_NO_OFFSET,
                sub_frames=[id3.TIT2(encoding=id3.Encoding.UTF8, text=[mark.name])],
            )
        )
    if ids:
        flags = id3.CTOCFlags.TOP_LEVEL | id3.CTOCFlags.ORDERED
        made.add(id3.CTOC(element_id="toc", flags=flags, child_element_ids=ids, sub_frames=[]))
    if made:
        made.save(path, v2_version=4, padding=lambda _: 0)
