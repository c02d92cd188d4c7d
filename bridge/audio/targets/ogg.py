"""Tags of Ogg files, and serial numbers that are the same every time (RFC 3533)."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from mutagen.ogg import OggPage

from bridge.audio.targets.flac_blocks import picture_block

if TYPE_CHECKING:
    from pathlib import Path

    from mutagen.ogg import OggFileType

    from bridge.audio.metadata.model import Metadata
    from bridge.audio.metadata.tags import Tags


def put_tags(file: OggFileType, metadata: Metadata, tags: Tags) -> None:
    """Replaces the tags and saves them. Pictures as METADATA_BLOCK_PICTURE, which players know."""
    for name, values in tags.items():
        file[name] = list(values)
    if metadata.pictures:
        blocks = [picture_block(picture).write() for picture in metadata.pictures]
        file["METADATA_BLOCK_PICTURE"] = [base64.b64encode(block).decode() for block in blocks]
    file.save(padding=lambda _: 0)


def serial_of(name: str) -> int:
    """A serial number for a file's name: files of a set differ, as they should when chained."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:4], "little")


def renumber(path: Path, serial: int) -> None:
    """Gives every page of a file with one stream that serial number, and its checksum anew."""
    with path.open("rb+") as file:
        while True:
            start = file.tell()
            try:
                page = OggPage(file)
            except EOFError:
                return
            page.serial = serial
            end = file.tell()
            file.seek(start)
            file.write(page.write())
            file.seek(end)
