"""FLAC: metadata blocks and frame headers, checked for agreement (RFC 9639).

Section numbers are those of the RFC. libsndfile stops silently at a false total, and ignores a
change of rate within the stream: both show only in the frame headers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.signatures import find_file
from bridge.audio.views import size_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BLOCKS = 1024  # metadata blocks; real files have fewer than ten
MAX_HEADERS = 1 << 21  # two million frames are over 24 hours at the usual 4096 per block
_HEADER_BYTES = 16  # section 9.1: the longest frame header
_PIECE_BYTES = 1 << 20

# Section 9.1.1 to 9.1.4: codes of block size, rate and bits that need no further bytes.
_BLOCK_FRAMES = {1: 192, **{n: 144 << n for n in range(2, 6)}, **{n: 1 << n for n in range(8, 16)}}
_RATE_HZ = dict(
    enumerate((88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000), 1)
)
_BITS = {1: 8, 2: 12, 4: 16, 5: 20, 6: 24, 7: 32}

CHANNEL_MASKS = {3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}
"""Section 9.1.3: which speakers the channels are, as WAVEFORMATEXTENSIBLE bits."""


@dataclass(frozen=True)
class FlacHead:
    """STREAMINFO (section 8.2); `frames` is None where the writer did not know."""

    rate_hz: int
    channels: int
    bits: int
    frames: int | None
    audio_offset: int


@dataclass(frozen=True)
class FrameHeader:
    """Frame header, completed with STREAMINFO's values where it refers to them."""

    number: int
    block_frames: int
    rate_hz: int
    channels: int
    bits: int


@dataclass(frozen=True)
class FrameScan:
    """Unbroken run of frames from the first on.

    Attributes:
        frames: length of the run.
        change: name of a property that changes within the stream.
        resumes: more frames follow a gap, or may follow where the search ended, so that the file is
            not merely truncated.
        last_offset: start of the last block.
        last_frames: length of the last block.
    """

    frames: int
    change: str | None
    resumes: bool = False
    last_offset: int = field(default=0, compare=False)
    last_frames: int = field(default=0, compare=False)


@dataclass(frozen=True)
class MetadataBlock:
    """Metadata block (section 8.1): its type and the place of its body; its size is a claim."""

    type: int
    offset: int
    size_bytes: int


def blocks(file: BinaryIO, start: int) -> tuple[MetadataBlock, ...] | None:
    """List the metadata blocks of a stream whose `fLaC` is at `start`; None if they do not end."""
    at = start + 4
    found: list[MetadataBlock] = []
    for _ in range(MAX_BLOCKS):
        file.seek(at)
        head = file.read(4)
        if len(head) < 4:
            return None
        found.append(MetadataBlock(head[0] & 0x7F, at + 4, int.from_bytes(head[1:], "big")))
        at += 4 + found[-1].size_bytes
        if head[0] & 0x80:
            break
    return tuple(found)


def read_head(file: BinaryIO, start: int) -> FlacHead | None:
    """Read STREAMINFO of a FLAC stream whose `fLaC` is at byte `start`; None without it."""
    found = blocks(file, start) or ()
    first = next((block for block in found if block.type == 0), None)
    info = b""
    if first:
        file.seek(first.offset)
        info = file.read(34)
    if len(info) < 34:
        return None
    packed = int.from_bytes(info[10:18], "big")
    return FlacHead(
        rate_hz=packed >> 44,
        channels=(packed >> 41 & 7) + 1,
        bits=(packed >> 36 & 31) + 1,
        frames=(packed & (1 << 36) - 1) or None,
        audio_offset=found[-1].offset + found[-1].size_bytes,
    )


def scan(file: BinaryIO, head: FlacHead) -> FrameScan:
    """Follow the frame headers by their numbers, without decoding; about 1 s per GB.

    A header counts if its CRC-8 is right and its number is the next one, so that audio bytes that
    look like a header do not. The run ends where a number is missing: damage there is left to the
    decoder.
    """
    frames = expected = last_offset = last_frames = 0
    resumes = False
    first: FrameHeader | None = None
    for count, (offset, by_frames, data) in enumerate(_candidates(file, head.audio_offset)):
        if count >= MAX_HEADERS:
            resumes = True
            break
        header = parse_frame_header(data, head)
        if header is None or header.number != expected:
            resumes = resumes or _is_later(header, first, expected, head)
            continue
        resumes = False
        first = first or header
        change = _change(first, header)
        if change:
            return FrameScan(frames, change)
        last_offset, last_frames = offset, header.block_frames
        frames += header.block_frames
        expected = frames if by_frames else expected + 1
    return FrameScan(frames, None, resumes, last_offset, last_frames)


def stream_end(file: BinaryIO) -> int:
    """Latest end of the stream at the start of an open file: at another stream, or at its end."""
    head, file_bytes = read_head(file, 0), size_bytes(file)
    return find_file(file, b"fLaC", head.audio_offset, file_bytes) if head else file_bytes


def last_block_end(head: FlacHead, found: FrameScan) -> int:
    """Latest end of the last block: its size if it is stored without prediction.

    Section 9.2: an uncompressed subframe has some bytes of header before its values, which have one
    bit more in a channel that holds a difference.
    """
    values_bytes = (head.bits + 1) * (found.last_frames + 1) // 8
    return found.last_offset + _HEADER_BYTES + head.channels * (values_bytes + 8) + 2


def _is_later(
    header: FrameHeader | None, first: FrameHeader | None, expected: int, head: FlacHead
) -> bool:
    """Whether a header out of turn belongs to this stream: its format, and a later number."""
    if header is None or first is None or header.number <= expected:
        return False
    within = head.frames is None or header.number <= head.frames
    return within and _change(first, header) is None


def _candidates(file: BinaryIO, start: int) -> Iterator[tuple[int, bool, bytes]]:
    """Yield places of the first frame's sync code: offset, whether frames are counted, 16 bytes."""
    file.seek(start)
    begin = start
    piece = file.read(_PIECE_BYTES)
    sync = piece[:2]
    if sync not in {b"\xff\xf8", b"\xff\xf9"}:  # section 9.1: 15 bits, then the blocking strategy
        return
    more = True
    while more:
        following = file.read(_PIECE_BYTES)
        more = bool(following)
        end = len(piece) - _HEADER_BYTES if more else len(piece)
        at = piece.find(sync)
        while 0 <= at < end:
            yield begin + at, sync[1] & 1 == 1, piece[at : at + _HEADER_BYTES]
            at = piece.find(sync, at + 1)
        begin += max(end, 0)
        piece = piece[max(end, 0) :] + following


def parse_frame_header(data: bytes, head: FlacHead) -> FrameHeader | None:
    """Parse one frame header (section 9.1); None if invalid or if its CRC-8 is wrong."""
    if len(data) < 6:
        return None
    block_code, rate_code = data[2] >> 4, data[2] & 15
    channel_code, bits_code = data[3] >> 4, data[3] >> 1 & 7
    if data[3] & 1 or channel_code > 10 or rate_code == 15 or not block_code or bits_code == 3:
        return None
    number, at = _coded_number(data)
    block_bytes = {6: 1, 7: 2}.get(block_code, 0)
    rate_bytes = {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    crc_at = at + block_bytes + rate_bytes
    if number is None or crc_at >= len(data) or _crc8(data[:crc_at]) != data[crc_at]:
        return None
    extra_block = int.from_bytes(data[at : at + block_bytes], "big")
    extra_rate = int.from_bytes(data[at + block_bytes : crc_at], "big")
    rate_hz = extra_rate * {12: 1000, 13: 1, 14: 10}.get(rate_code, 0)
    return FrameHeader(
        number=number,
        block_frames=_BLOCK_FRAMES.get(block_code, extra_block + 1),
        rate_hz=rate_hz or _RATE_HZ.get(rate_code, head.rate_hz),
        channels=channel_code + 1 if channel_code < 8 else 2,  # 8 to 10: stereo, decorrelated
        bits=_BITS.get(bits_code, head.bits),
    )


def _coded_number(data: bytes) -> tuple[int | None, int]:
    """The frame's number, coded like UTF-8 in up to seven bytes (section 9.1.5), and its end."""
    lead = data[4]
    if lead < 0x80:
        return lead, 5
    ones = 8 - (lead ^ 0xFF).bit_length()
    if ones < 2 or ones > 7:
        return None, 5
    number = lead & 0xFF >> ones + 1
    for byte in data[5 : 4 + ones]:
        if byte >> 6 != 2:
            return None, 5
        number = number << 6 | byte & 63
    return number, 4 + ones


def _change(first: FrameHeader, now: FrameHeader) -> str | None:
    for what, before, after in (
        ("sample rate", first.rate_hz, now.rate_hz),
        ("channel count", first.channels, now.channels),
        ("bit depth", first.bits, now.bits),
    ):
        if before != after:
            return f"{what} from {before} to {after}"
    return None


def _crc8_of(byte: int) -> int:
    for _ in range(8):
        byte = byte << 1 ^ (0x07 if byte & 0x80 else 0)  # section 9.1.8: x^8 + x^2 + x + 1
    return byte & 0xFF


_CRC8 = tuple(_crc8_of(byte) for byte in range(256))


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = _CRC8[crc ^ byte]
    return crc
