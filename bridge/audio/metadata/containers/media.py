"""MP4, Matroska, Windows Media and WavPack: tags and chapters as read by FFmpeg's libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from bridge.audio import libav
from bridge.audio.metadata import cues, tags
from bridge.audio.metadata.model import Mark, Metadata, Picture
from bridge.audio.metadata.wav_chunks import with_wav_chunks
from bridge.audio.streams.demuxing import open_demuxer
from bridge.audio.text import shown
from bridge.errors import UnsupportedBounce

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from av.container import InputContainer

# Tags that describe the file or its writer, and would be false for a stem.
_TECHNICAL = {
    *("MAJOR_BRAND", "MINOR_VERSION", "COMPATIBLE_BRANDS", "HANDLER_NAME", "VENDOR_ID"),
    *("CREATION_TIME", "DURATION", "DEVICEMANUFACTURER", "DEVICECONFORMANCETEMPLATE", "ISVBR"),
}
_NAMES = {"TRACK": "TRACKNUMBER", "DISC": "DISCNUMBER", "ALBUM_ARTIST": "ALBUMARTIST"}
_MIMES = {"png": "image/png", "mjpeg": "image/jpeg"}


def read_metadata(container: str, file: BinaryIO, history: str) -> Metadata:
    """Read the metadata of an open file.

    Args:
        container: ffmpeg's name of its format.
        file: open for reading.
        history: line for the coding history, see `wav_chunks.with_wav_chunks`.
    """
    try:
        with open_demuxer(file, container) as found:
            return with_wav_chunks(_metadata(found), history)
    except (UnsupportedBounce, libav.failure()):
        return Metadata(not_carried=("tags (damaged)",))


def _metadata(found: InputContainer) -> Metadata:
    read, false = tags.collect_tags(_pairs(found.metadata))
    pictures, left = _pictures(found)
    return Metadata(
        tags=read,
        marks=_chapters(found),
        tempo_bpm=tags.tempo_bpm(read),
        time_reference=tags.time_reference(read),
        pictures=pictures,
        not_carried=(*false, *left),
    )


def _pairs(metadata: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in metadata.items():
        key = name.upper()
        if key not in _TECHNICAL:
            yield _NAMES.get(key, key), value


def _chapters(found: InputContainer) -> tuple[Mark, ...]:
    contexts: list[Any] = [stream.codec_context for stream in found.streams.audio]
    rate_hz = next((context.sample_rate for context in contexts if context is not None), 0)
    chapters: list[Any] = list(found.chapters())
    return cues.in_order(
        Mark(
            round(chapter["start"] * chapter["time_base"] * rate_hz),
            shown(chapter["metadata"].get("title", "")),
            round((chapter["end"] - chapter["start"]) * chapter["time_base"] * rate_hz),
        )
        for chapter in chapters
        if chapter["start"] >= 0 and chapter["end"] >= chapter["start"]
    )


def _pictures(found: InputContainer) -> tuple[tuple[Picture, ...], tuple[str, ...]]:
    """Cover art, and the names of attachments that are not copied."""
    from av.stream import Disposition

    pictures, left = [], []
    for stream in found.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            continue
        context: Any = stream.codec_context
        mime = _MIMES.get(context.name) if context is not None else None
        packet = next((one for one in found.demux(stream) if one.size), None)
        if mime and packet:
            pictures.append(Picture.sanitised(mime, bytes(packet), 3, ""))
        else:
            left.append("cover art of an unknown kind")
    return tuple(pictures), tuple(left)
