"""MPEG transport streams, as camcorders and receivers record them: every packet counted.

Source: ISO/IEC 13818-1 sections 2.4.3 (packets, PES) and 2.4.4 (tables).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge.audio.length import Count
from bridge.audio.streams import demuxing
from bridge.audio.streams.demuxing import Packets
from bridge.audio.streams.model import Run, Walk
from bridge.errors import BounceError, NoFrames, TruncatedBounce, UnsupportedBounce

if TYPE_CHECKING:
    from collections.abc import Iterator, Set
    from typing import BinaryIO

    from numpy.typing import NDArray

    from bridge.audio.streams.demuxing import MediaStream

    Rows = NDArray[np.uint8]

_SYNC, _PACKET_BYTES = 0x47, 188
# Distance of the packets and place of the first: plain, of camcorders (a time in front), of
# receivers (check bytes behind).
_FORMS = ((188, 0), (192, 4), (204, 0))
_BLOCK_PACKETS = 8192
_FIRST_BLOCKS = 20  # in which all streams begin: some 30 MB
_STAMP_HZ, _STAMP_WRAP = 90_000, 1 << 33
_REBUILT = {"opus"}  # with a header for each packet, which is no part of it


def packet_form(head: bytes) -> tuple[int, int] | None:
    """Distance of the packets and place of the first; None for what is no transport stream."""
    for size, first in _FORMS:
        places = range(first, len(head), size)
        if len(places) > 1 and all(head[at] == _SYNC for at in places):
            return size, first
    return None


@dataclass
class _Track:
    """One stream. size_bytes: of its packets. stamps: how many have a time; first, last: of them.

    lost: how often packets are missing. owed_bytes: what the last unit lacks of its stated length.
    """

    size_bytes: int = 0
    stamps: int = 0
    first: int | None = None
    last: int = 0
    lost: int = 0
    owed_bytes: int = 0
    counter: int | None = None

    def add(self, packet: Rows) -> None:
        """A packet of this stream."""
        if packet[3] >> 6:
            raise UnsupportedBounce("protected against copying; export WAV, AIFF or FLAC")
        if not packet[3] & 0x10:  # no payload
            return
        counter = int(packet[3] & 15)
        if counter == self.counter:
            return  # the same packet twice (section 2.4.3.3)
        self.lost += self.counter is not None and counter != (self.counter + 1) & 15
        self.counter = counter
        payload = packet[_payload_at(packet) :]
        held = len(payload)
        if packet[1] & 0x40:  # a unit begins
            head = bytes(payload[:14])
            if len(head) < 14 or head[:3] != b"\0\0\1":
                return
            held = max(held - 9 - head[8], 0)
            stated = int.from_bytes(head[4:6], "big")
            self.owed_bytes = stated - 3 - head[8] if stated else 0
            if head[7] & 0x80:
                self._stamp(_time(head[9:14]))
        self.size_bytes += held
        self.owed_bytes -= held

    def _stamp(self, time: int) -> None:
        if self.first is None:
            self.first = self.last = time
        # The nearest of all times that are written so.
        self.last += (time - self.last + _STAMP_WRAP // 2) % _STAMP_WRAP - _STAMP_WRAP // 2
        self.stamps += 1


def _payload_at(packet: Rows) -> int:
    """Where the payload begins: behind the adaptation field, where there is one."""
    return 4 + (1 + int(packet[4]) if packet[3] & 0x20 else 0)


def _time(data: bytes) -> int:
    """A time stamp: 33 bits with marker bits between them (section 2.4.3.7)."""
    return (
        (data[0] >> 1 & 7) << 30 | data[1] << 22 | data[2] >> 1 << 15 | data[3] << 7 | data[4] >> 1
    )


@dataclass
class _File:
    """Streams of the first program by their numbers, in its order. rest_bytes: behind the last
    whole packet.
    """

    tracks: dict[int, _Track] = field(default_factory=dict)
    rest_bytes: int = 0

    def chosen(self, sounds: Set[int]) -> int | None:
        """The first stream with sound; None where there is none."""
        return next((number for number in self.tracks if number in sounds), None)


def walk(file: BinaryIO, start: int, end: int) -> Walk:
    """The first stream of sound of the first program.

    Raises UnsupportedBounce (no sound, encrypted), NoFrames, and BounceError for damage.
    """
    # What is sound is not always said by its type: ffmpeg's libraries look into the streams.
    found = {one.id: one for one in demuxing.list_streams(file, "mpegts")}
    read = _read(file, start, end, found.keys())
    number = read.chosen(found.keys())
    if number is None:
        raise UnsupportedBounce("a video without sound; export its sound as WAV")
    stream = found[number]
    if not stream.rate_hz:
        raise UnsupportedBounce("a transport stream with sound of an unknown kind; export WAV")
    track = read.tracks[stream.id]
    if not track.size_bytes or track.first is None:
        raise NoFrames("a header without audio; render it again")
    cut = None
    if read.rest_bytes or track.owed_bytes > 0:
        cut = TruncatedBounce(
            "cut off: its last packets are incomplete; export it again, or take what is there with "
            "--accept-truncated",
            present_bytes=track.size_bytes,
        )
    run, count = _run(file, read, track, stream)
    return Walk(
        runs=(run,),
        subtype=stream.subtype,
        cut=cut,
        count=count if cut is None else None,
        warnings=(*_others(stream, found, read), *_lost(track.lost)),
    )


def _run(
    file: BinaryIO, read: _File, track: _Track, stream: MediaStream
) -> tuple[Run, Count | None]:
    """The track as a run, and its length by its time stamps; None for a single one."""
    first = track.first or 0
    unit = Fraction(stream.rate_hz, _STAMP_HZ)
    average = unit * (track.last - first) / max(track.stamps - 1, 1)
    late = first - min(one.first for one in read.tracks.values() if one.first is not None)
    lead = round(unit * late) if average < unit * late and late < _STAMP_WRAP // 2 else 0
    size_bytes = None if stream.codec in _REBUILT else track.size_bytes
    run = Run(
        rate_hz=stream.rate_hz,
        channels=stream.channels,
        decode=partial(demuxing.decode_stream, file, "mpegts", stream, Packets(size_bytes)),
        lead_frames=lead,
    )
    frames = round(unit * (track.last - first) + average) + lead
    count = Count(frames, math.ceil(2 * average), "time stamps")
    return run, count if track.stamps > 1 else None


def _others(stream: MediaStream, found: dict[int, MediaStream], read: _File) -> tuple[str, ...]:
    return demuxing.other_streams_warning(
        stream, [found[number] for number in read.tracks if number in found]
    )


def _lost(count: int) -> tuple[str, ...]:
    return (f"packets of its sound are missing in {count:,} places",) if count else ()


def _read(file: BinaryIO, start: int, end: int, sounds: Set[int]) -> _File:
    """Count the first stream of those in `sounds`; of the others, find the first time stamp."""
    read = _File()
    tables: dict[int, bytearray] = {0: bytearray()}  # number 0 is that of the list of programs
    for block, (rows, rest) in enumerate(_blocks(file, start, end)):
        read.rest_bytes = rest
        numbers = (rows[:, 1] & 0x1F).astype(np.uint16) << 8 | rows[:, 2]
        wanted: Any = slice(None)
        if read.tracks:
            late = [n for n, track in read.tracks.items() if track.first is None]
            active = late if block < _FIRST_BLOCKS else []
            wanted = np.isin(numbers, [*active, read.chosen(sounds) or 0])
        for number, packet in zip(numbers[wanted].tolist(), rows[wanted], strict=True):
            if number in read.tracks:
                read.tracks[number].add(packet)
            elif number in tables and not read.tracks:
                _add_table(number, packet, tables, read)
    return read


def _blocks(file: BinaryIO, start: int, end: int) -> Iterator[tuple[Rows, int]]:
    """Packets of 188 bytes, many at once; and how many bytes follow the last one."""
    file.seek(start)
    form = packet_form(file.read(512))
    if form is None:
        raise BounceError("damaged: no packet of a transport stream at its beginning")
    size, first = form
    at = start
    while at < end:
        file.seek(at)
        data = file.read(min(_BLOCK_PACKETS * size, end - at))
        count = len(data) // size
        rows = np.frombuffer(data[: count * size], np.uint8).reshape(-1, size)
        rows = rows[:, first : first + _PACKET_BYTES]
        if not (rows[:, 0] == _SYNC).all():
            place = at + size * int(np.argmin(rows[:, 0] == _SYNC))
            raise BounceError(f"damaged: no packet begins at byte {place:,}; export it again")
        yield rows, len(data) - count * size
        if not count:
            return
        at += count * size


def _add_table(number: int, packet: Rows, tables: dict[int, bytearray], read: _File) -> None:
    """Collect a table of programs or of streams, which may fill several packets."""
    payload = bytes(packet[_payload_at(packet) :])
    if packet[1] & 0x40:
        if not payload:
            return
        tables[number] = bytearray(payload[1 + payload[0] :])
    else:
        tables[number] += payload
    table = bytes(tables[number])
    size = 3 + (int.from_bytes(table[1:3], "big") & 0xFFF)
    if len(table) < max(size, 12):
        return
    if number == 0:
        for at in range(8, size - 4, 4):
            if any(table[at : at + 2]) and len(tables) == 1:
                tables[int.from_bytes(table[at + 2 : at + 4], "big") & 0x1FFF] = bytearray()
        return
    at = 12 + (int.from_bytes(table[10:12], "big") & 0xFFF)
    while at + 5 <= size - 4:
        stream = int.from_bytes(table[at + 1 : at + 3], "big") & 0x1FFF
        info_bytes = int.from_bytes(table[at + 3 : at + 5], "big") & 0xFFF
        read.tracks[stream] = _Track()
        at += 5 + info_bytes
