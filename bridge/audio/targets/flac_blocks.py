"""Metadata blocks of a FLAC file (RFC 9639 section 8), added to a written file.

The header and all chunks of the corresponding WAV are stored in APPLICATION blocks, as by `flac
--keep-foreign-metadata`, so that `flac` restores that WAV byte for byte.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from mutagen import flac

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bridge.audio.encode import WavTemplate
    from bridge.audio.metadata.model import Metadata, Picture
    from bridge.audio.metadata.tags import Tags

_APPLICATION, _CUESHEET = 2, 5
_MAX_BLOCK_BYTES = (1 << 24) - 1  # of its body


def write_blocks(
    path: Path, metadata: Metadata, tags: Tags, wav: WavTemplate, cuesheet: bytes | None
) -> None:
    """Add the metadata blocks to a FLAC file without any.

    Args:
        path: of the file.
        metadata: of the stem.
        tags: Vorbis comments.
        wav: the same stem as a WAV, for the foreign chunks.
        cuesheet: body of the CUESHEET block; None without one.
    """
    file = flac.FLAC(path)
    if file.tags is None:
        file.add_tags()
    for name, values in tags.items():
        file[name] = list(values)
    if cuesheet is not None:
        file.metadata_blocks.append(_block(_CUESHEET, cuesheet))
    for picture in metadata.pictures:
        file.add_picture(picture_block(picture))
    for foreign in _foreign(wav) if wav.chunks else ():
        file.metadata_blocks.append(_block(_APPLICATION, b"riff" + foreign))
    file.save()


def picture_block(picture: Picture) -> flac.Picture:
    """Convert a picture to a PICTURE block."""
    made = flac.Picture()
    made.type, made.mime, made.desc = picture.kind, picture.mime, picture.description
    made.data = picture.data
    return made


def _foreign(wav: WavTemplate) -> Iterator[bytes]:
    """Yield RIFF and WAVE, every chunk with its header and pad byte, and the audio's header."""
    head, tail = wav.head(), wav.tail()[wav.data_bytes % 2 :]
    parts = [head[:12], *_chunks(head[12:-8]), head[-8:], *_chunks(tail)]
    if all(len(part) + 4 <= _MAX_BLOCK_BYTES for part in parts):
        yield from parts


def _chunks(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at + 4)
        end = at + 8 + size + size % 2
        yield data[at:end]
        at = end


def _block(code: int, data: bytes) -> flac.MetadataBlock:
    made = flac.MetadataBlock(data)
    vars(made)["code"] = code  # mutagen has a class for each number, but for APPLICATION
    return made
