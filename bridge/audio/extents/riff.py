"""WAV, RIFX, RF64 and BW64: `data` chunks, one or several, also in a wave list; `fact`.

Sources: see `bridge.audio.chunks`; the codecs' blocks are those of Microsoft "New Multimedia Data
Types and Data Techniques" (fmt extensions of ADPCM and GSM 6.10).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.chunks import ChunkRef, WavLayout, read_chunk, wave_lists
from bridge.audio.extents.model import Extent, SoundData
from bridge.audio.wave_codecs import STREAMS, codec_name

if TYPE_CHECKING:
    from collections.abc import Sequence

_SILENCE = {"PCM_U8": b"\x80", "ALAW": b"\xd5", "ULAW": b"\xff"}  # zero, in these codecs
_BLOCK_FRAMES_AT = 18  # in the fmt of MS ADPCM, IMA ADPCM and GSM 6.10
_WITH_BLOCK_FRAMES = {2, 0x11, 0x31}


def sound_data(file: BinaryIO, layout: WavLayout) -> SoundData:
    """Locate the audio of an open RIFF-like file with that layout."""
    fmt = layout.fmt
    order = ">" if layout.byte_order == "big" else "<"
    parts = wave_lists(file, layout.chunks, order)
    silent = _SILENCE.get(fmt.subtype or "", b"\0")
    extents = _extents(file, parts, order, silent)
    head, fact = (_data(file, layout.find(name)) for name in (b"fmt ", b"fact"))
    return SoundData(
        rate_hz=fmt.rate_hz,
        channels=fmt.channels,
        subtype=fmt.subtype,
        codec=codec_name(fmt.tag),
        byte_order=layout.byte_order,
        extents=extents,
        end=layout.end,
        file_bytes=layout.file_bytes,
        stream=STREAMS.get(fmt.tag, ""),
        block_bytes=0 if fmt.subtype else fmt.block_bytes,
        block_frames=0 if fmt.subtype else block_frames(fmt.tag, head, order),
        stated_frames=struct.unpack(order + "I", fact[:4])[0] if len(fact) >= 4 else None,
        stated_by="fact chunk",
        growing=layout.claimed_bytes + 8 < layout.file_bytes or layout.end < layout.file_bytes,
        open_ended=layout.open_ended,
        warnings=pieces_warning(extents, "chunks"),
    )


def _data(file: BinaryIO, ref: ChunkRef | None) -> bytes:
    return read_chunk(file, ref) if ref else b""


def pieces_warning(extents: Sequence[Extent], name: str) -> tuple[str, ...]:
    """Return the warning for audio in several pieces."""
    if len(extents) < 2:
        return ()
    return (f"its sound is in {len(extents)} {name}, which are read one after the other",)


def _extents(
    file: BinaryIO, parts: Sequence[ChunkRef], order: str, silent: bytes
) -> tuple[Extent, ...]:
    found = []
    for ref in parts:
        if ref.id == b"data":
            found.append(Extent(ref.offset, ref.size_bytes))
            continue
        data = read_chunk(file, ref)[:4]
        frames = struct.unpack(order + "I", data)[0] if len(data) == 4 else 0
        found.append(Extent(ref.offset, 0, frames, silent))
    holding = [extent for extent in found if extent.size_bytes or extent.held_frames]
    return tuple(holding or found[:1])


def block_frames(tag: int, fmt: bytes, order: str) -> int:
    """Frames per block from the data of a `fmt ` chunk; 0 if the codec does not state it."""
    if tag not in _WITH_BLOCK_FRAMES or len(fmt) < _BLOCK_FRAMES_AT + 2:
        return 0
    return int(struct.unpack(order + "H", fmt[_BLOCK_FRAMES_AT : _BLOCK_FRAMES_AT + 2])[0])
