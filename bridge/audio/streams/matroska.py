"""Matroska and WebM: counts every block of a track, with its time.

Sources: RFC 8794 (EBML), RFC 9559 (Matroska): sections 5.1 (elements), 10 (blocks, lacing), 11
(encodings).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

from bridge.audio.length import Count
from bridge.audio.streams import demuxing
from bridge.audio.streams.buffer import Buffer
from bridge.audio.streams.demuxing import MediaStream, Packets
from bridge.audio.streams.gaps import trailing_bytes_warning
from bridge.audio.streams.model import Run, Walk
from bridge.errors import NoFrames, NotAudio, TruncatedBounce, UnsupportedBounce

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

_EBML, _SEGMENT, _CLUSTER, _INFO, _TRACKS = (
    0x1A45DFA3,
    0x18538067,
    0x1F43B675,
    0x1549A966,
    0x1654AE6B,
)
_TIMESTAMP_SCALE = 0x2AD7B1
_ENTRY, _NUMBER, _TYPE, _ENABLED, _DEFAULT, _DELAY = 0xAE, 0xD7, 0x83, 0xB9, 0x88, 0x56AA
_ENCODINGS, _ENCODING, _COMPRESSION, _ENCRYPTION = 0x6D80, 0x6240, 0x5034, 0x5035
_ALGORITHM, _SETTINGS = 0x4254, 0x4255
_TIMESTAMP, _SIMPLE, _GROUP, _BLOCK, _DISCARD, _DURATION = 0xE7, 0xA3, 0xA0, 0xA1, 0x75A2, 0x9B
_AUDIO = 2
_STRIPPED = 3  # header removal, the one compression that leaves sizes as they are
_LACED, _XIPH, _FIXED = 6, 2, 4
_EVEN = {"aac", "mp3float", "ac3", "eac3", "opus"}  # their packets are all as long
_REBUILT = {"wavpack"}  # ffmpeg's libraries put back what Matroska leaves out of its blocks
_NS = 1_000_000_000
_PIECE_BYTES = 1 << 13  # the walk passes over the pictures of a video
_BLOCK_HEAD_BYTES = 4096  # the longest lacing: 256 frames with some bytes each


@dataclass(frozen=True)
class Element:
    """EBML element: its id and the place of its contents; end is None if unknown."""

    id: int
    start: int
    end: int | None


@dataclass
class _Track:
    """Track of a Matroska file.

    Attributes:
        delay_ns: of its codec.
        stripped: bytes that each frame lacks; None if its encoding changes sizes.
        frames, size_bytes: of all blocks.
        first, last: times of the first and the last block, in units of the time stamps.
        last_duration: of the last block, where it states it; same units.
        discard_ns: at the end of the audio.
    """

    number: int = 0
    type: int = 0
    enabled: bool = True
    default: bool = True
    delay_ns: int = 0
    stripped: int | None = 0
    protected: bool = False
    frames: int = 0
    size_bytes: int = 0
    first: int | None = None
    last: int = 0
    last_duration: int = 0
    discard_ns: int = 0

    def packets(self, stream: MediaStream) -> Packets:
        """Packets to expect from the demuxer."""
        changed = self.stripped is None or stream.codec in _REBUILT
        size_bytes = None if changed else self.size_bytes + (self.stripped or 0) * self.frames
        return Packets(size_bytes, self.frames)


@dataclass
class _File:
    """All tracks of a file.

    scale_ns: of the time stamps. end: of the last element. broken: the file ends within it.
    unread_bytes: behind it.
    """

    scale_ns: int = 1_000_000
    tracks: dict[int, _Track] = field(default_factory=dict)
    broken: bool = False
    end: int = 0
    unread_bytes: int = 0


def walk(file: BinaryIO, start: int, end: int) -> Walk:
    """Walk the default audio track, or the first if none is marked as default.

    Raises UnsupportedBounce (no audio, encrypted), NoFrames, and NotAudio for damage.
    """
    buffer = Buffer(file, start, end, _PIECE_BYTES)
    read = _read(buffer)
    sounds = [track for track in read.tracks.values() if track.type == _AUDIO]
    if not sounds:
        raise UnsupportedBounce("a video without sound; export its sound as WAV")
    track = next((one for one in sounds if one.enabled and one.default), sounds[0])
    if track.protected:
        raise UnsupportedBounce("protected against copying; export WAV, AIFF or FLAC")
    if not track.frames or track.first is None:
        raise NoFrames("a header without audio; render it again")
    found = demuxing.list_streams(file, "matroska")
    place = sounds.index(track)
    if len(found) != len(sounds) or not found[place].rate_hz:
        raise UnsupportedBounce("this Matroska has sound of an unknown kind; export WAV or FLAC")
    return _walk(file, read, track, found[place], found)


def _walk(
    file: BinaryIO, read: _File, track: _Track, stream: MediaStream, found: Sequence[MediaStream]
) -> Walk:
    rate_hz, first = stream.rate_hz, track.first or 0
    unit = Fraction(read.scale_ns * rate_hz, _NS)  # frames in one unit of the time stamps
    average = unit * (track.last - first) / max(track.frames - 1, 1)
    earliest = min(one.first for one in read.tracks.values() if one.first is not None)
    late = unit * (first - earliest)
    skip = round(Fraction(track.delay_ns * rate_hz, _NS))
    tail = round(Fraction(track.discard_ns * rate_hz, _NS))
    run = Run(
        rate_hz=rate_hz,
        channels=stream.channels,
        decode=partial(demuxing.decode_stream, file, "matroska", stream, track.packets(stream)),
        skip_frames=skip,
        tail_frames=tail,
        lead_frames=round(late) if late > average else 0,
    )
    # The duration of a last block is that of its sound, without padding.
    last = unit * track.last_duration if track.last_duration else average - tail
    frames = round(unit * (track.last - first) + last) - skip + run.lead_frames
    # Stamps are rounded, and encoders that record are not quite even; a packet may not be missing.
    known = track.last_duration or stream.codec in _EVEN
    slack = math.ceil(2 * unit + (average / 2 if known else 2 * average))
    count = Count(frames, slack, "time stamps")
    cut = None
    if read.broken:
        cut = TruncatedBounce(
            "cut off: it ends before its last block; export it again, or take what is there with "
            "--accept-truncated",
            present_bytes=track.size_bytes,
        )
    return Walk(
        runs=(run,),
        subtype=stream.subtype,
        cut=cut,
        count=count if track.frames > 1 and cut is None else None,
        warnings=(
            *demuxing.other_streams_warning(stream, found),
            *trailing_bytes_warning(read.unread_bytes),
        ),
    )


def _read(buffer: Buffer) -> _File:
    """All tracks and their blocks. Raises NotAudio, and UnsupportedBounce for joined files."""
    read = _File()
    head = next(elements(buffer, buffer.start, buffer.end), None)
    segment = None
    if head is not None and head.id == _EBML and head.end is not None:
        segment = next(elements(buffer, head.end, buffer.end), None)
    if segment is None or segment.id != _SEGMENT:
        raise NotAudio("damaged: a Matroska without segment; export it again")
    read.broken = segment.end is not None and segment.end > buffer.end
    cluster = 0
    for element in elements(buffer, segment.start, buffer.end, into=_CLUSTER):
        if element.id == _EBML:
            raise UnsupportedBounce("several Matroska files joined into one; take them apart")
        read.end = element.start if element.id == _CLUSTER else element.end or buffer.end
        if element.end is None or element.end > buffer.end:
            read.broken |= element.id != _CLUSTER
            continue
        if element.id == _INFO:
            read.scale_ns = _number(buffer, element, _TIMESTAMP_SCALE, read.scale_ns)
        elif element.id == _TRACKS:
            for entry in _children(buffer, element, _ENTRY):
                track = _track(buffer, entry)
                read.tracks[track.number] = track
        elif element.id == _TIMESTAMP:
            cluster = _value(buffer, element)
        elif element.id in {_SIMPLE, _GROUP}:
            _add_block(buffer, element, read, cluster)
    if not buffer.is_zero(read.end, buffer.end):
        read.unread_bytes = max(buffer.end - read.end, 0)
    return read


def _track(buffer: Buffer, entry: Element) -> _Track:
    track = _Track(
        number=_number(buffer, entry, _NUMBER, 0),
        type=_number(buffer, entry, _TYPE, 0),
        enabled=bool(_number(buffer, entry, _ENABLED, 1)),
        default=bool(_number(buffer, entry, _DEFAULT, 1)),
        delay_ns=_number(buffer, entry, _DELAY, 0),
    )
    for encodings in _children(buffer, entry, _ENCODINGS):
        for encoding in _children(buffer, encodings, _ENCODING):
            track.protected |= any(_children(buffer, encoding, _ENCRYPTION))
            for compression in _children(buffer, encoding, _COMPRESSION):
                stripped = _number(buffer, compression, _ALGORITHM, 0) == _STRIPPED
                settings = next(_children(buffer, compression, _SETTINGS), None)
                lacking = settings.end - settings.start if settings and settings.end else 0
                track.stripped = lacking if stripped else None
    return track


def _add_block(buffer: Buffer, element: Element, read: _File, cluster: int) -> None:
    """Count a block with its laced frames."""
    block: Element | None = element
    discard_ns = duration = 0
    if element.id == _GROUP:
        block = next(_children(buffer, element, _BLOCK), None)
        discard_ns = _number(buffer, element, _DISCARD, 0)
        duration = _number(buffer, element, _DURATION, 0)
    if block is None or block.end is None:
        return
    size = block.end - block.start
    data = buffer.at(block.start, min(size, _BLOCK_HEAD_BYTES))
    width = _width(data[:1])
    track = read.tracks.get(int.from_bytes(data[:width], "big") & (1 << 7 * width) - 1)
    if track is None or len(data) < width + 3:
        return
    time = cluster + int.from_bytes(data[width : width + 2], "big", signed=True)
    frames, head_bytes = _laced(data[width + 3 :], data[width + 2] & _LACED)
    track.frames += frames
    track.size_bytes += size - width - 3 - head_bytes
    track.first = time if track.first is None else min(track.first, time)
    if time >= track.last:
        track.last, track.last_duration = time, duration
    track.discard_ns = discard_ns


def _laced(data: bytes, lacing: int) -> tuple[int, int]:
    """Frames in a block, and the bytes of their size fields (RFC 9559 section 10.3)."""
    if not lacing or not data:
        return 1, 0
    frames, at = data[0] + 1, 1
    for _ in range(frames - 1 if lacing != _FIXED else 0):
        if lacing == _XIPH:
            while data[at : at + 1] == b"\xff":
                at += 1
            at += 1
        else:
            at += _width(data[at : at + 1])
    return frames, at


def elements(buffer: Buffer, at: int, end: int, into: int | None = None) -> Iterator[Element]:
    """Yield elements between two offsets; the last one may end behind `end`.

    into: an element whose children follow it as if they were its siblings, so that its size is not
    needed.
    """
    while at < end:
        head = buffer.at(at, 12)
        id_bytes = _width(head[:1])
        size_bytes = _width(head[id_bytes : id_bytes + 1])
        number = head[id_bytes : id_bytes + size_bytes]
        if not 0 < id_bytes <= 4 or not number or len(number) < size_bytes:
            return
        size = int.from_bytes(number, "big") & (1 << 7 * size_bytes) - 1
        known = size != (1 << 7 * size_bytes) - 1
        start = at + id_bytes + size_bytes
        name = int.from_bytes(head[:id_bytes], "big")
        yield Element(name, start, start + size if known else None)
        if name == into:
            at = start
        elif known:
            at = start + size
        else:
            return


def _children(buffer: Buffer, parent: Element, name: int) -> Iterator[Element]:
    end = buffer.end if parent.end is None else min(parent.end, buffer.end)
    return (one for one in elements(buffer, parent.start, end) if one.id == name)


def _number(buffer: Buffer, parent: Element, name: int, default: int) -> int:
    """The unsigned integer of that name among the contents of an element."""
    found = next(_children(buffer, parent, name), None)
    return default if found is None else _value(buffer, found)


def _value(buffer: Buffer, element: Element) -> int:
    size = 0 if element.end is None else min(element.end - element.start, 8)
    return int.from_bytes(buffer.at(element.start, size), "big")


def _width(first: bytes) -> int:
    """Bytes of a number, by its first one (RFC 8794 section 4); 0 if invalid."""
    return 9 - first[0].bit_length() if first and first[0] else 0
