"""Which metadata of a bounce goes into each of its stems, and which cannot."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.chunks import CONTAINERS, reading
from bridge.audio.headers import sniff
from bridge.audio.metadata.containers import aiff, caf, flac, front, media, riff, tagged, w64
from bridge.audio.metadata.model import Metadata
from bridge.audio.parts import READ_IN_PARTS
from bridge.audio.views import size_bytes, view

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bridge.audio.metadata.containers.pieces import Piece

# Of a file from where its sound file begins.
_READERS: dict[str, Callable[[BinaryIO, str], Metadata]] = {
    "CAF": caf.of_file,
    "FLAC": flac.of_file,
    "OGG": tagged.of_ogg,
    "AU": tagged.of_au,
    "ASF": partial(media.of_media, "asf"),
    "MATROSKA": partial(media.of_media, "matroska"),
    "MP4": partial(media.of_media, "mov"),
    "WAVPACK": partial(media.of_media, "wv"),
}
# These have a place for an ID3 tag, also for one in front of them.
_WITH_ID3: dict[str, Callable[[BinaryIO, str, Sequence[Piece]], Metadata]] = {
    **dict.fromkeys(CONTAINERS.values(), riff.of_file),
    "AIFF": aiff.of_file,
    "SVX": aiff.of_file,
    "W64": w64.of_file,
}


def carried(path: Path, history_line: str) -> Metadata:
    """Metadata of the bounce at `path` for its stems.

    `bext` is rebuilt with `history_line` added to its coding history; iXML, cue, LIST adtl and
    INFO, smpl, inst, acid, ID3, XMP and the audio definition model are taken as they are, and
    what another container holds is said in those. 16 MiB are taken at most. Raises what reading
    the header raises (see `chunks.read_layout`); metadata that cannot be read is never an error.
    """
    with reading(path) as file:
        kind = sniff(file)
        if kind.container in {"MP3", "AAC", "AC3"}:  # the tag in front of it is its own
            return tagged.of_mp3(file, kind.start, history_line)
        sound_file = view(file, kind.start, size_bytes(file))
        before = front.tags(file, kind.start)
        behind = front.behind(file) if kind.container in READ_IN_PARTS else []
        if kind.container in _WITH_ID3:
            found = _WITH_ID3[kind.container](sound_file, history_line, before)
            return found.without(*behind)
        reader = _READERS.get(kind.container)
        found = reader(sound_file, history_line) if reader else Metadata()
        return found.without(*(front.name(piece) for piece in before), *behind)
