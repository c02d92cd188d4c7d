"""AIFF and AIFF-C (`SSND`), and their predecessor 8SVX (`BODY`).

Sources: Apple "Audio Interchange File Format 1.3" and "AIFF-C, draft 1991"; Electronic Arts "8SVX
IFF 8-Bit Sampled Voice".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.chunks import ChunkRef, chunk_list, read_chunk
from bridge.audio.extents.model import PCM, Extent, SoundData
from bridge.audio.extents.riff import pieces_warning
from bridge.audio.signatures import find_file
from bridge.audio.text import shown
from bridge.audio.unknown_sizes import is_unknown
from bridge.audio.views import size_bytes
from bridge.errors import NoFrames, NotAudio, TruncatedBounce, UnsupportedBounce

if TYPE_CHECKING:
    from bridge.audio.metadata.bext import ByteOrder

_SOUND_HEAD_BYTES = 8  # of SSND: offset and block size
_COMM_BYTES = 18
_VHDR_BYTES = 20
_STEREO = 6  # CHAN of 8SVX: 2 left, 4 right, 6 both, one behind the other

# Compressions that are none, by soundfile's name where it does not follow from the bits.
_LINEAR = {b"NONE", b"none", b"twos", b"sowt", b"in24", b"in32", b"42n1", b"23ni"}
_LITTLE = {b"sowt", b"42n1", b"23ni"}
_SUBTYPES = {
    **dict.fromkeys((b"fl32", b"FL32"), "FLOAT"),
    **dict.fromkeys((b"fl64", b"FL64"), "DOUBLE"),
    **dict.fromkeys((b"ulaw", b"ULAW"), "ULAW"),
    **dict.fromkeys((b"alaw", b"ALAW"), "ALAW"),
    b"raw ": "PCM_U8",
    b"in24": "PCM_24",
    b"in32": "PCM_32",
    b"42n1": "PCM_24",
    b"23ni": "PCM_32",
}
# Of those that are some: bytes and frames of a block of one channel.
_BLOCKS = {b"ima4": (34, 64), b"GSM ": (33, 160)}
_NAMES = {
    b"ima4": "IMA ADPCM",
    b"GSM ": "GSM 6.10",
    b"MAC3": "MACE 3:1",
    b"MAC6": "MACE 6:1",
    b"QDMC": "QDesign Music",
    b"QDM2": "QDesign Music 2",
    b"Qclp": "Qualcomm PureVoice",
    b"DWVW": "delta with variable word width",
    b".mp3": "MP3",
    b"ADP4": "Intel/DVI ADPCM",
    b"G722": "G.722",
    b"G726": "G.726",
    b"G728": "G.728",
}


@dataclass(frozen=True)
class _Common:
    """The COMM chunk."""

    channels: int
    frames: int
    bits: int
    rate_hz: int
    compression: bytes

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame of linear PCM."""
        return self.channels * ((self.bits + 7) // 8)

    @property
    def subtype(self) -> str | None:
        """soundfile's name; None for a compressed codec."""
        if self.compression in _SUBTYPES:
            return _SUBTYPES[self.compression]
        return PCM.get((self.bits + 7) // 8) if self.compression in _LINEAR else None


def sound_data(file: BinaryIO) -> SoundData:
    """Locate the audio of an open AIFF or AIFF-C.

    Raises NotAudio without COMM, NoFrames or TruncatedBounce without SSND.
    """
    file_bytes = size_bytes(file)
    file.seek(4)
    claimed = int.from_bytes(file.read(4), "big")
    common = _common(file, chunk_list(file, 12, file_bytes, ">")[0])
    sizes = _SoundSizes(file, file_bytes, common.frame_bytes if common else 1)
    refs, end = chunk_list(file, 12, file_bytes, ">", sizes.true_bytes)
    parts = [ref for ref in refs if ref.id == b"SSND"]
    if not parts:
        raise _no_sound("SSND", short=claimed + 8 > file_bytes)
    if common is None:
        raise NotAudio("damaged: an AIFF without COMM chunk; export it again from the DAW")
    extents = tuple(_extent(file, ref) for ref in parts)
    extents = tuple(extent for extent in extents if extent.size_bytes) or extents[:1]
    block = _BLOCKS.get(common.compression, (0, 0))
    return SoundData(
        rate_hz=common.rate_hz,
        channels=common.channels,
        subtype=common.subtype,
        codec=_codec(common),
        byte_order="little" if common.compression in _LITTLE else "big",
        extents=extents,
        end=end,
        file_bytes=file_bytes,
        block_bytes=block[0] * common.channels,
        block_frames=block[1],
        stated_frames=common.frames,
        stated_by="COMM chunk",
        growing=claimed + 8 < file_bytes,
        open_ended=sizes.unknown,
        warnings=pieces_warning(extents, "chunks"),
    )


@dataclass
class _SoundSizes:
    """True sizes of the `SSND` chunks of one file, derived from its header's claims."""

    file: BinaryIO
    file_bytes: int
    frame_bytes: int
    unknown: bool = False

    def true_bytes(self, offset: int, size_bytes: int) -> int:
        """Return the size of the chunk that begins at `offset` and claims `size_bytes`."""
        sound_bytes = size_bytes - _SOUND_HEAD_BYTES
        known = not is_unknown(size_bytes, aiff=True)
        if known and not is_unknown(sound_bytes, self.frame_bytes, aiff=True):
            return size_bytes
        if offset + size_bytes <= self.file_bytes:
            return size_bytes
        self.unknown = True
        return find_file(self.file, b"FORM", offset, self.file_bytes) - offset


def _no_sound(name: str, *, short: bool) -> NoFrames | TruncatedBounce:
    if short:
        return TruncatedBounce("cut off before its audio begins; render it again")
    return NoFrames(f"an AIFF without audio (no {name} chunk); render it again")


def _common(file: BinaryIO, refs: tuple[ChunkRef, ...]) -> _Common | None:
    ref = next((ref for ref in refs if ref.id == b"COMM"), None)
    data = read_chunk(file, ref) if ref else b""
    if len(data) < _COMM_BYTES:
        return None
    channels, frames, bits = struct.unpack(">HIH", data[:8])
    compression = data[18:22] if len(data) >= 22 else b"NONE"
    return _Common(channels, frames, bits, _extended(data[8:18]), compression)


def _extended(data: bytes) -> int:
    """Integer part of an 80-bit float (IEEE 754-1985 double extended); 0 if it cannot be a rate."""
    exponent, mantissa = struct.unpack(">HQ", data)
    shift = 16383 + 63 - (exponent & 0x7FFF)
    return mantissa >> shift if 0 <= shift < 64 and exponent < 0x8000 else 0


def _extent(file: BinaryIO, ref: ChunkRef) -> Extent:
    data = read_chunk(file, ChunkRef(ref.id, ref.offset, 4))
    begin = _SOUND_HEAD_BYTES + int.from_bytes(data, "big")
    return Extent(ref.offset + begin, max(ref.size_bytes - begin, 0))


def _codec(common: _Common) -> str:
    known = _NAMES.get(common.compression)
    return known or f"compression {shown(common.compression.decode('latin-1'))}"


def svx_sound_data(file: BinaryIO) -> SoundData:
    """Locate the audio of an open 8SVX or 16SV.

    Raises NotAudio without VHDR, NoFrames or TruncatedBounce without BODY, UnsupportedBounce for
    several channels, several octaves, and compression.
    """
    file_bytes = size_bytes(file)
    file.seek(4)
    claimed = int.from_bytes(file.read(4), "big")
    form = file.read(4)
    refs, end = chunk_list(file, 12, file_bytes, ">")
    by_id = {ref.id: ref for ref in reversed(refs)}
    head = read_chunk(file, by_id[b"VHDR"]) if b"VHDR" in by_id else b""
    parts = [ref for ref in refs if ref.id == b"BODY"]
    if not parts:
        raise _no_sound("BODY", short=claimed + 8 > file_bytes)
    if len(head) < _VHDR_BYTES:
        raise NotAudio("damaged: an 8SVX without VHDR chunk; export it again as WAV")
    rate_hz, octaves, compression = struct.unpack(">HBB", head[12:16])
    chan = read_chunk(file, by_id[b"CHAN"])[:4] if b"CHAN" in by_id else b""
    if int.from_bytes(chan, "big") == _STEREO or octaves > 1 or compression:
        what = "compressed" if compression else "with several octaves" if octaves > 1 else "stereo"
        raise UnsupportedBounce(f"an 8SVX file, {what}, which is not read; export WAV")
    extents = tuple(Extent(ref.offset, ref.size_bytes) for ref in parts)
    order: ByteOrder = "big"
    return SoundData(
        rate_hz=rate_hz,
        channels=1,
        subtype="PCM_16" if form == b"16SV" else "PCM_S8",
        codec="PCM",
        byte_order=order,
        extents=extents,
        end=end,
        file_bytes=file_bytes,
        growing=claimed + 8 < file_bytes,
        warnings=pieces_warning(extents, "chunks"),
    )
