"""AU: one run of sound behind the header.

Source: Sun "au(5)"; the little-endian twin ("dns.") is DEC's.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.extents.model import PCM, Extent, SoundData
from bridge.audio.views import size_bytes
from bridge.errors import NotAudio

if TYPE_CHECKING:
    from bridge.audio.metadata.bext import ByteOrder

_HEAD_BYTES = 24
_UNKNOWN = 0xFFFFFFFF
_SUBTYPES = {
    1: "ULAW",
    **{encoding: PCM[encoding - 1] for encoding in (2, 3, 4, 5)},
    6: "FLOAT",
    7: "DOUBLE",
    27: "ALAW",
}
_NAMES = {23: "G.721 ADPCM", 24: "G.722", 25: "G.723 ADPCM", 26: "G.723 ADPCM"}


def sound_data(file: BinaryIO) -> SoundData:
    """Locate the audio of an open AU. Raises NotAudio if its header is cut off."""
    file_bytes = size_bytes(file)
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    if len(head) < _HEAD_BYTES:
        raise NotAudio("damaged: an AU whose header is cut off; export it again")
    order: ByteOrder = "big" if head[:1] == b"." else "little"
    offset, size, encoding, rate_hz, channels = struct.unpack(
        (">" if order == "big" else "<") + "5I", head[4:]
    )
    open_ended = size == _UNKNOWN
    if open_ended:  # au(5): not known, the sound is the rest
        size = max(file_bytes - offset, 0)
    return SoundData(
        rate_hz=rate_hz,
        channels=channels,
        subtype=_SUBTYPES.get(encoding),
        codec=_NAMES.get(encoding, f"encoding {encoding}"),
        byte_order=order,
        extents=(Extent(offset, size),),
        end=min(offset + size, file_bytes),
        file_bytes=file_bytes,
        growing=True,
        open_ended=open_ended,
    )
