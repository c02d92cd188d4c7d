"""ASF, the container of Windows Media: counts the payloads of every data packet.

Source: Microsoft "Advanced Systems Format Specification", revision 01.20.06: sections 3.2 and 3.3
(header), 5.1 and 5.2 (data packets and payloads).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from bridge.audio.length import Count
from bridge.audio.streams import demuxing
from bridge.audio.streams.buffer import Buffer
from bridge.audio.streams.demuxing import Packets
from bridge.audio.streams.gaps import trailing_bytes_warning
from bridge.audio.streams.model import Run, Walk
from bridge.errors import NoFrames, NotAudio, TruncatedBounce, UnsupportedBounce

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_STREAM = bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365")
_EXTENSION = bytes.fromhex("b503bf5f2ea9cf118ee300c00c205365")
_AUDIO = bytes.fromhex("409e69f84d5bcf11a8fd00805f5c442b")
_PROTECTED = (
    bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e"),
    bytes.fromhex("14e68a292226174cb935dae07ee9289c"),
)
_BROADCAST, _ENCRYPTED = 1, 0x8000
_OBJECT_BYTES, _DATA_HEAD_BYTES = 24, 50
_UNITS_HZ, _MS_HZ = 10_000_000, 1000  # of the duration, and of what is sent ahead
_FIELD_BYTES = (0, 1, 2, 4)  # by the two bits that say how long a field is
_CODEC_FRAMES = 4096  # the longest block of Windows Media Audio Professional


@dataclass
class _Head:
    """Contents of the header.

    Attributes:
        packets: number of packets, of packet_bytes each, from data_at on.
        duration: of the presentation, in 100 ns; None if unknown.
        sounds: rate, bytes per second and bytes per block of each audio track, by track number.
        unread_bytes: behind the end of the container.
    """

    packets: int = 0
    packet_bytes: int = 0
    duration: int | None = None
    sounds: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    data_at: int = 0
    unread_bytes: int = 0


def walk(file: BinaryIO, start: int, end: int) -> Walk:
    """Walk the first audio track.

    Raises UnsupportedBounce (no audio, protected), NoFrames, and NotAudio for damage.
    """
    buffer = Buffer(file, start, end)
    head = _head(buffer)
    if not head.sounds:
        raise UnsupportedBounce("a video without sound; export its sound as WAV")
    found = demuxing.list_streams(file, "asf")
    stream = next((one for one in found if one.id in head.sounds), None)
    if stream is None or not stream.rate_hz:
        raise UnsupportedBounce("Windows Media of an unknown kind; export WAV, AIFF or FLAC")
    held = sum(size for number, size in _payloads(buffer, head) if number == stream.id)
    if not held:
        raise NoFrames("a header without audio; render it again")
    present = (end - head.data_at) // head.packet_bytes
    cut = None
    if present < head.packets:
        cut = TruncatedBounce(
            f"cut off: its header claims {head.packets:,} packets, {present:,} are there; export "
            "it again, or take what is there with --accept-truncated",
            present_bytes=end - head.data_at,
        )
    rate_hz = stream.rate_hz
    run = Run(
        rate_hz,
        stream.channels,
        partial(demuxing.decode_stream, file, "asf", stream, Packets(held)),
    )
    return Walk(
        runs=(run,),
        subtype=stream.subtype,
        cut=cut,
        count=None if cut else _count(head, stream.id, rate_hz),
        warnings=(
            *demuxing.other_streams_warning(stream, found),
            *trailing_bytes_warning(head.unread_bytes),
        ),
    )


def _count(head: _Head, number: int, rate_hz: int) -> Count | None:
    """Length stated in the header, which encoders round to a packet and a block."""
    if head.duration is None:
        return None
    _, bytes_a_second, align = head.sounds[number]
    packet_s = align / bytes_a_second if bytes_a_second else 0.0
    frames = round(head.duration * rate_hz / _UNITS_HZ)
    slack = round(packet_s * rate_hz) + _CODEC_FRAMES
    return Count(frames, slack, "duration in its header")


def _head(buffer: Buffer) -> _Head:
    head = _Head()
    at, end = buffer.start + _OBJECT_BYTES + 6, buffer.start + _size(buffer, buffer.start)
    for guid, body in _objects(buffer, at, min(end, buffer.end)):
        if guid in _PROTECTED:
            raise UnsupportedBounce("protected against copying; export WAV, AIFF or FLAC")
        if guid == _FILE:
            _read_file(body, head)
        elif guid == _STREAM:
            _read_stream(body, head)
        elif guid == _EXTENSION:
            _read_extension(body, head)
    while end + _DATA_HEAD_BYTES <= buffer.end and buffer.at(end, 16) != _DATA:
        end += max(_size(buffer, end), _OBJECT_BYTES)
    data = buffer.at(end, _DATA_HEAD_BYTES)
    if len(data) < _DATA_HEAD_BYTES:
        raise TruncatedBounce("cut off before its audio begins; export it again")
    if not head.packet_bytes:
        raise NotAudio("damaged: its ASF header has no packet size; export it again")
    head.unread_bytes = _behind(buffer, end + max(_size(buffer, end), _DATA_HEAD_BYTES))
    head.data_at = end + _DATA_HEAD_BYTES
    head.packets = int.from_bytes(data[40:48], "little")
    return head


def _behind(buffer: Buffer, at: int) -> int:
    """Bytes behind the index objects that follow the data at `at`."""
    while (size := _size(buffer, at)) >= _OBJECT_BYTES and at + size <= buffer.end:
        if buffer.at(at, 16) == HEADER:
            raise UnsupportedBounce("several Windows Media files joined into one; take them apart")
        at += size
    return 0 if buffer.is_zero(at, buffer.end) else max(buffer.end - at, 0)


def _size(buffer: Buffer, at: int) -> int:
    return int.from_bytes(buffer.at(at + 16, 8), "little")


def _objects(buffer: Buffer, at: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Objects of the header: name and body."""
    while at + _OBJECT_BYTES <= end:
        size = _size(buffer, at)
        if not _OBJECT_BYTES <= size <= end - at:
            return
        yield buffer.at(at, 16), buffer.at(at + _OBJECT_BYTES, size - _OBJECT_BYTES)
        at += size


def _read_file(body: bytes, head: _Head) -> None:
    if len(body) < 76:
        return
    duration, _, preroll = struct.unpack("<QQQ", body[40:64])
    flags, least, most = struct.unpack("<III", body[64:76])
    head.packet_bytes = least if least == most else 0
    if not flags & _BROADCAST and duration:
        head.duration = max(duration - preroll * (_UNITS_HZ // _MS_HZ), 0)


def _read_stream(body: bytes, head: _Head) -> None:
    if len(body) < 70 or body[:16] != _AUDIO:
        return
    flags = int.from_bytes(body[48:50], "little")
    if flags & _ENCRYPTED:
        raise UnsupportedBounce("protected against copying; export WAV, AIFF or FLAC")
    rate_hz, bytes_a_second, align = struct.unpack("<IIH", body[58:68])
    head.sounds[flags & 0x7F] = (rate_hz, bytes_a_second, align)


def _read_extension(body: bytes, head: _Head) -> None:
    """Add the tracks described in the header's extension."""
    at = body.find(_STREAM)
    while at >= 0:
        _read_stream(body[at + _OBJECT_BYTES :], head)
        at = body.find(_STREAM, at + 1)


def _payloads(buffer: Buffer, head: _Head) -> Iterator[tuple[int, int]]:
    """Track and size of each payload. Raises NotAudio for a packet that cannot be read."""
    at = head.data_at
    last = at + head.packets * head.packet_bytes if head.packets else buffer.end
    while at + head.packet_bytes <= min(last, buffer.end):
        try:
            yield from _of_packet(_Fields(buffer.at(at, head.packet_bytes)))
        except IndexError:
            raise NotAudio(
                f"damaged: the packet at byte {at:,} is no ASF; export it again"
            ) from None
        at += head.packet_bytes


class _Fields:
    """Reader of a packet's fields, in order; raises IndexError at its end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> int:
        """Return the next number, of `size` bytes."""
        value = int.from_bytes(self.data[self.at : self.at + size], "little")
        self.skip(size)
        return value

    def skip(self, size: int) -> None:
        """Skip `size` bytes."""
        self.at += size
        if self.at > len(self.data):
            raise IndexError


def _of_packet(fields: _Fields) -> Iterator[tuple[int, int]]:
    """The payloads of one packet (sections 5.2.1 to 5.2.4)."""
    flags = fields.take(1)
    if flags & 0x80:  # error correction
        fields.skip(flags & 15)
        flags = fields.take(1)
    lengths = fields.take(1)
    fields.skip(_FIELD_BYTES[flags >> 5 & 3] + _FIELD_BYTES[flags >> 1 & 3])  # size, sequence
    end = len(fields.data) - fields.take(_FIELD_BYTES[flags >> 3 & 3])  # without padding
    fields.skip(6)  # send time and duration
    several = fields.take(1) if flags & 1 else 0
    size_bytes = _FIELD_BYTES[several >> 6]
    for _ in range(several & 63 if flags & 1 else 1):
        number = fields.take(1) & 0x7F
        fields.skip(_FIELD_BYTES[lengths >> 4 & 3] + _FIELD_BYTES[lengths >> 2 & 3])
        replicated = fields.take(_FIELD_BYTES[lengths & 3])
        fields.skip(replicated)
        size = fields.take(size_bytes) if flags & 1 else end - fields.at
        if replicated == 1:  # several small objects, each with a byte that says how long it is
            yield from ((number, part) for part in _parts(fields, size))
        else:
            yield number, max(size, 0)
            fields.skip(max(size, 0))


def _parts(fields: _Fields, size: int) -> Iterator[int]:
    end = fields.at + size
    while fields.at < end:
        part = fields.take(1)
        fields.skip(part)
        yield part
