"""Core Audio Format: `data`, and the packet table with the length of compressed audio.

Source: Apple "Core Audio Format Specification 1.0". Everything but the audio is big-endian.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.chunks import ChunkRef, read_chunk
from bridge.audio.extents.model import PCM, Extent, SoundData
from bridge.audio.extents.riff import pieces_warning
from bridge.audio.metadata.containers.caf import chunk_list
from bridge.audio.signatures import find_file
from bridge.audio.text import shown
from bridge.audio.views import size_bytes
from bridge.errors import NoFrames, NotAudio, TruncatedBounce, UnsupportedBounce

if TYPE_CHECKING:
    from bridge.audio.metadata.bext import ByteOrder

_DESC_BYTES = 32
_EDIT_COUNT_BYTES = 4  # in front of the sound
_FLOAT, _LITTLE = 1, 2  # flags of linear PCM
_TABLE_HEAD_BYTES = 24
_NAMES = {
    b"alac": "ALAC",
    b"aac ": "AAC",
    b"ima4": "IMA ADPCM",
    b".mp3": "MP3",
    b"opus": "Opus",
    b"flac": "FLAC",
    b"ac-3": "AC-3",
}
# Codecs whose packets, one behind the other, are what a file of their own would be.
_STREAMS = {b".mp1": "MP3", b".mp2": "MP3", b".mp3": "MP3", b"ac-3": "AC3"}


@dataclass(frozen=True)
class _Description:
    """The desc chunk."""

    rate_hz: int
    codec: bytes
    flags: int
    packet_bytes: int
    packet_frames: int
    channels: int
    bits: int

    @property
    def subtype(self) -> str | None:
        """soundfile's name of a codec with one value per frame and channel."""
        if self.codec in {b"ulaw", b"alaw"}:
            return self.codec.decode().upper()
        if self.codec != b"lpcm":
            return None
        width = (self.bits + 7) // 8
        if self.flags & _FLOAT:
            return {4: "FLOAT", 8: "DOUBLE"}.get(width)
        return PCM.get(width)

    @property
    def byte_order(self) -> ByteOrder:
        """Byte order of the audio."""
        return "little" if self.codec == b"lpcm" and self.flags & _LITTLE else "big"


def sound_data(file: BinaryIO) -> SoundData:
    """Locate the audio of an open CAF.

    Raises NotAudio without desc, NoFrames or TruncatedBounce without data, UnsupportedBounce for
    PCM with an ambiguous width.
    """
    file_bytes = size_bytes(file)
    refs, end = chunk_list(file)
    parts = [ref for ref in refs if ref.id == b"data"]
    if not parts:
        cut = refs and refs[-1].offset + refs[-1].size_bytes > file_bytes
        if cut or end >= file_bytes:
            raise TruncatedBounce("cut off before its audio begins; render it again")
        raise NoFrames("a CAF without audio (no data chunk); render it again")
    description = _description(file, refs)
    _check_pcm(description)
    open_ended = parts[-1].size_bytes < 0
    if open_ended:  # the writer did not know: the sound is the rest
        begin = parts[-1].offset
        end = find_file(file, b"caff", begin, file_bytes)
        parts[-1] = ChunkRef(b"data", begin, end - begin)
    extents = tuple(
        Extent(ref.offset + _EDIT_COUNT_BYTES, max(ref.size_bytes - _EDIT_COUNT_BYTES, 0))
        for ref in parts
    )
    extents = tuple(extent for extent in extents if extent.size_bytes) or extents[:1]
    table = _packet_table(file, refs)
    sound_bytes = sum(extent.size_bytes for extent in extents)
    return SoundData(
        rate_hz=description.rate_hz,
        channels=description.channels,
        subtype=description.subtype,
        codec=_NAMES.get(description.codec)
        or f"codec {shown(description.codec.decode('latin-1'))}",
        byte_order=description.byte_order,
        extents=extents,
        end=end,
        file_bytes=file_bytes,
        stream=_STREAMS.get(description.codec, ""),
        block_bytes=0 if description.subtype else description.packet_bytes,
        block_frames=0 if description.subtype else description.packet_frames,
        counted_frames=table.counted_frames(description.packet_frames) if table else None,
        stated_frames=table.frames if table else None,
        stated_by="packet table",
        growing=file_bytes > extents[0].offset and end < file_bytes,
        open_ended=open_ended,
        warnings=(*pieces_warning(extents, "chunks"), *_not_in_table(table, sound_bytes)),
    )


def _not_in_table(table: _Table | None, sound_bytes: int) -> tuple[str, ...]:
    if table is None or table.packed_bytes is None or table.packed_bytes >= sound_bytes:
        return ()
    text = f"its packet table accounts for {table.packed_bytes:,} of {sound_bytes:,} bytes of sound"
    return (f"{text}; the rest is not read",)


def _description(file: BinaryIO, refs: tuple[ChunkRef, ...]) -> _Description:
    ref = next((ref for ref in refs if ref.id == b"desc"), None)
    data = read_chunk(file, ref) if ref else b""
    if len(data) < _DESC_BYTES:
        raise NotAudio("damaged: a CAF without desc chunk; export it again from the DAW")
    rate, codec, *rest = struct.unpack(">d4s5I", data[:_DESC_BYTES])
    rate_hz = round(rate) if math.isfinite(rate) and 0 <= rate < 1 << 32 else 0
    return _Description(rate_hz, codec, *rest)


def _check_pcm(found: _Description) -> None:
    if found.codec != b"lpcm":
        return
    kind = "float" if found.flags & _FLOAT else "integer"
    if found.subtype is None:
        raise UnsupportedBounce(f"{found.bits}-bit {kind} audio; export 16, 24 or 32 bit")
    values = found.channels * max(found.packet_frames, 1)
    if found.channels and found.packet_bytes != values * ((found.bits + 7) // 8):
        raise UnsupportedBounce(
            f"{found.bits}-bit values in packets of {found.packet_bytes} bytes, which can be read "
            "in two ways; export plain 24 or 32 bit"
        )


@dataclass(frozen=True)
class _Table:
    """Packet table. packed_bytes: of all packets; None if it does not list them."""

    packets: int
    frames: int
    priming_frames: int
    remainder_frames: int
    packed_bytes: int | None

    def counted_frames(self, packet_frames: int) -> int | None:
        """Return the frames of audio by the number of packets.

        None for packets of varying length and for a damaged table.
        """
        numbers = (self.packets, self.priming_frames, self.remainder_frames)
        found = self.packets * packet_frames - self.priming_frames - self.remainder_frames
        return found if packet_frames and min(numbers) >= 0 and found > 0 else None


def _packet_table(file: BinaryIO, refs: tuple[ChunkRef, ...]) -> _Table | None:
    ref = next((ref for ref in refs if ref.id == b"pakt"), None)
    data = read_chunk(file, ref) if ref else b""
    if ref is None or len(data) < _TABLE_HEAD_BYTES or len(data) < ref.size_bytes:
        return None
    packets, frames, priming, remainder = struct.unpack(">qqii", data[:_TABLE_HEAD_BYTES])
    sizes = _variable_lengths(data[_TABLE_HEAD_BYTES:])
    packed_bytes = sum(sizes[:packets]) if 0 < packets <= len(sizes) else None
    return _Table(packets, frames, priming, remainder, packed_bytes)


def _variable_lengths(data: bytes) -> list[int]:
    """Decode integers of seven bits per byte, most significant first; the eighth bit continues."""
    found, value = [], 0
    for byte in data:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            found.append(value)
            value = 0
    return found
