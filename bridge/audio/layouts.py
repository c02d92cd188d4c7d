"""Channel masks (WAVEFORMATEXTENSIBLE bits) of AIFF, CAF, Wave64 and FLAC.

Sources: Apple "Core Audio Format Specification 1.0", channel layout chunk, and the layout tags and
labels of CoreAudioTypes; Microsoft "WAVEFORMATEXTENSIBLE". A WAV has its channels in the order of
the bits; a layout in another order has no mask, because channels are not reordered.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio import flac
from bridge.audio.chunks import ChunkRef, list_chunks, parse_fmt, read_chunk
from bridge.audio.metadata.containers import caf, w64
from bridge.audio.views import size_bytes
from bridge.errors import BounceError

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMENTS = 4
_MASK_TAG = re.compile(rb"WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0x([0-9a-f]{1,8})(?![0-9a-z])", re.I)
_USE_DESCRIPTIONS, _USE_BITMAP = 0, 1 << 16
_DESCRIPTION_BYTES = 20
_LAST_LABEL = 18  # labels 1 to 18, left to top back right, are the bits in their order
_FMT_BYTES = 40

# Tag: mask. The low 16 bits of a tag are its number of channels.
_STANDARD = {
    100 << 16 | 1: 0x4,  # mono
    101 << 16 | 2: 0x3,  # stereo
    102 << 16 | 2: 0x3,  # ... for headphones
    108 << 16 | 4: 0x33,  # quadraphonic: L R Ls Rs
    113 << 16 | 3: 0x7,  # MPEG 3.0 A: L R C
    117 << 16 | 5: 0x37,  # MPEG 5.0 A: L R C Ls Rs
    121 << 16 | 6: 0x3F,  # MPEG 5.1 A: L R C LFE Ls Rs
}


def flac_mask(file: BinaryIO, start: int, channels: int) -> int | None:
    """Channel mask of an open FLAC: by its tag (RFC 9639 section 8.6.2), else its default."""
    for block in flac.blocks(file, start) or ():
        if block.type == _COMMENTS:
            data = read_chunk(file, ChunkRef(b"tags", block.offset, block.size_bytes))
            found = _MASK_TAG.search(data)
            mask = int(found[1], 16) if found else 0
            if mask.bit_count() == channels:
                return mask
    return flac.CHANNEL_MASKS.get(channels)


def channel_mask(file: BinaryIO, container: str, channels: int) -> int | None:
    """Channel mask of an open AIFF, CAF or Wave64; None if no mask can express its layout."""
    if container == "W64":
        return _of_fmt(file, channels)
    if container == "CAF":
        found, chunk_id = caf.refs(file), b"chan"
    elif container == "AIFF":
        found, chunk_id = list_chunks(file, 12, size_bytes(file), ">"), b"CHAN"
    else:
        return None
    data = _first(file, found, chunk_id)
    mask = of_layout(data)
    return mask if mask and mask.bit_count() == channels else None


def of_layout(data: bytes) -> int | None:
    """Convert a channel layout (a tag, a bitmap, or a description per channel) to a mask."""
    if len(data) < 12:
        return None
    tag, bitmap, count = struct.unpack(">III", data[:12])
    if tag == _USE_BITMAP:
        return int(bitmap) if bitmap < 1 << _LAST_LABEL else None
    if tag != _USE_DESCRIPTIONS:
        return _STANDARD.get(tag)
    end = min(12 + _DESCRIPTION_BYTES * count, len(data) - 3)
    labels = [int.from_bytes(data[at : at + 4], "big") for at in range(12, end, _DESCRIPTION_BYTES)]
    in_order = labels == sorted(set(labels)) and len(labels) == count
    if not labels or not in_order or labels[0] < 1 or labels[-1] > _LAST_LABEL:
        return None
    return sum(1 << label - 1 for label in labels)


def _of_fmt(file: BinaryIO, channels: int) -> int | None:
    data = _first(file, w64.refs(file), b"fmt ")
    if len(data) < _FMT_BYTES:
        return None
    try:
        fmt = parse_fmt(data)
    except BounceError:
        return None
    return fmt.channel_mask if fmt.channels == channels else None


def _first(file: BinaryIO, found: Sequence[ChunkRef], chunk_id: bytes) -> bytes:
    ref = next((ref for ref in found if ref.id == chunk_id), None)
    return read_chunk(file, ref) if ref else b""
