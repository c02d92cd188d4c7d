"""Which metadata of a bounce goes into each of its stems, and which cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.chunks import CONTAINERS, read_layout, reading
from bridge.audio.containers import aiff, caf, flac, riff, tagged, w64
from bridge.audio.containers.pieces import read
from bridge.audio.headers import Kind, sniff
from bridge.audio.metadata import Metadata
from bridge.audio.reader import open_container

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_READERS: dict[str, Callable[[BinaryIO, Kind, str], Metadata]] = {
    "AIFF": lambda file, _, line: aiff.of_file(file, line),
    "SVX": lambda file, _, line: aiff.of_file(file, line),
    "CAF": lambda file, _, line: caf.of_file(file, line),
    "W64": lambda file, _, line: w64.of_file(file, line),
    "FLAC": lambda file, kind, line: flac.of_file(file, kind.start, line),
    "MP3": lambda file, kind, line: tagged.of_mp3(file, kind.start, line),
    "OGG": lambda file, _, line: tagged.of_ogg(file, line),
    "AU": lambda file, _, line: tagged.of_au(file, line),
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
        if kind.container in CONTAINERS.values():
            layout = read_layout(path)
            pieces = read(file, layout.chunks, riff.STRUCTURAL)
            return riff.gather(pieces, layout.byte_order, history_line)
        reader = _READERS.get(kind.container)
        if reader:
            return reader(file, kind, history_line)
    with open_container(path, kind.container) as source:
        return Metadata(not_carried=tuple(f"tag {name}" for name in source.tags()))
