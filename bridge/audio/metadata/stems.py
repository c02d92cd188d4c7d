"""Selection of the bounce's metadata that goes into each of its stems."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.chunks import CONTAINERS, open_bounce
from bridge.audio.headers import sniff
from bridge.audio.joined_files import READ_IN_PARTS
from bridge.audio.metadata.containers import (
    aiff,
    caf,
    flac,
    media,
    riff,
    surrounding_tags,
    tagged,
    w64,
)
from bridge.audio.metadata.model import Metadata
from bridge.audio.views import size_bytes, view

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bridge.audio.metadata.containers.chunk_data import LoadedChunk

# Of a file from where its sound file begins.
_READERS: dict[str, Callable[[BinaryIO, str], Metadata]] = {
    "CAF": caf.read_metadata,
    "FLAC": flac.read_metadata,
    "OGG": tagged.read_ogg,
    "AU": tagged.read_au,
    "ASF": partial(media.read_metadata, "asf"),
    "MATROSKA": partial(media.read_metadata, "matroska"),
    "MP4": partial(media.read_metadata, "mov"),
    "WAVPACK": partial(media.read_metadata, "wv"),
}
# These have a place for an ID3 tag, also for one in front of them.
_WITH_ID3: dict[str, Callable[[BinaryIO, str, Sequence[LoadedChunk]], Metadata]] = {
    **dict.fromkeys(CONTAINERS.values(), riff.read_metadata),
    "AIFF": aiff.read_metadata,
    "SVX": aiff.read_metadata,
    "W64": w64.read_metadata,
}


def stem_metadata(path: Path, history_line: str) -> Metadata:
    """Read the metadata of the bounce at `path` for its stems.

    `bext` is rebuilt with `history_line` added to its coding history; iXML, cue, LIST adtl and
    INFO, smpl, inst, acid, ID3, XMP and the audio definition model are copied, and metadata of
    other containers is translated into these. At most 16 MiB are read.

    Raises what reading the header raises (see `chunks.read_layout`); unreadable metadata is not an
    error.
    """
    with open_bounce(path) as file:
        kind = sniff(file)
        if kind.container in {"MP3", "AAC", "AC3"}:  # the tag in front of it is its own
            return tagged.read_mp3(file, kind.start, history_line)
        sound_file = view(file, kind.start, size_bytes(file))
        before = surrounding_tags.leading_tags(file, kind.start)
        behind = (
            surrounding_tags.trailing_tag_names(file) if kind.container in READ_IN_PARTS else []
        )
        if kind.container in _WITH_ID3:
            found = _WITH_ID3[kind.container](sound_file, history_line, before)
            return found.without(*behind)
        reader = _READERS.get(kind.container)
        found = reader(sound_file, history_line) if reader else Metadata()
        return found.without(*(surrounding_tags.tag_name(piece) for piece in before), *behind)
