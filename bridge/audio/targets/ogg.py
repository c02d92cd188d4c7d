"""Tags and reproducible serial numbers of Ogg files (RFC 3533)."""

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
    """Replace the tags and save them; pictures as METADATA_BLOCK_PICTURE, which players read."""
    for name, values in tags.items():
        file[name] = list(values)
    if metadata.pictures:
        blocks = [picture_block(picture).write() for picture in metadata.pictures]
        file["METADATA_BLOCK_PICTURE"] = [base64.b64encode(block).decode() for block in blocks]
    file.save(padding=lambda _: 0)


def serial_of(name: str) -> int:
    """Derive a serial number from a file's name: files of a set must differ to be chained."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:4], "little")


def renumber(path: Path, serial: int) -> None:
    """Set the serial number and the checksum of every page of a file with one stream."""
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
