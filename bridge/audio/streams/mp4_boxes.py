"""Boxes of an MP4, M4A or QuickTime file that state how long its tracks are.

Sources: ISO/IEC 14496-12 sections 4.2 (boxes), 8.2 to 8.6 (movie, tracks, sample tables, edits) and
8.8 (fragments); Apple "QuickTime File Format"; iTunSMPB as iTunes writes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge.errors import NotAudio, UnsupportedBounce

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bridge.audio.streams.buffer import Buffer

_MAX_TABLE_BYTES = 256 << 20  # 16 million samples are four days of AAC
_MAX_TAGS_BYTES = 16 << 20
_ENABLED = 1  # flag of a track header
_SMPB = re.compile(rb"iTunSMPB.{0,16}?data.{8} ?([0-9A-Fa-f ]{35,})", re.DOTALL)


@dataclass(frozen=True)
class Box:
    """Box: its type and the place of its contents."""

    type: bytes
    start: int
    end: int


@dataclass(frozen=True)
class Edit:
    """Entry of an edit list.

    duration: in the movie's time scale, 0 for up to the end. media_time: start in the track's time
    scale; None for silence. rate: playback speed, 1 is normal.
    """

    duration: int
    media_time: int | None
    rate: float


@dataclass
class Track:
    """Track of a movie.

    Attributes:
        durations: (number of samples, duration of each), in units of 1/timescale s.
        samples, size_bytes: of all samples; size_bytes is None if the table does not state it.
        end: of the last sample in the file.
        kind: soun, vide, ...
        coding: of the first sample description.
        speakers: channel layout, as Core Audio writes it.
    """

    id: int = 0
    enabled: bool = True
    kind: bytes = b""
    timescale: int = 0
    coding: bytes = b""
    speakers: bytes = b""
    durations: list[tuple[int, int]] = field(default_factory=list)
    samples: int = 0
    size_bytes: int | None = 0
    end: int = 0
    edits: tuple[Edit, ...] = ()

    @property
    def duration(self) -> int:
        """Duration of all samples."""
        return sum(count * each for count, each in self.durations)

    @property
    def longest(self) -> int:
        """Duration of the longest sample."""
        return max((each for count, each in self.durations if count), default=0)


@dataclass
class Movie:
    """All tracks; gapless: delay, padding and length by iTunSMPB."""

    timescale: int = 0
    tracks: list[Track] = field(default_factory=list)
    gapless: tuple[int, int, int] | None = None
    defaults: dict[int, tuple[int, int]] = field(default_factory=dict)


def boxes(buffer: Buffer, start: int, end: int) -> Iterator[Box]:
    """Yield the boxes between two offsets; the last one may end behind `end`."""
    at = start
    while at + 8 <= end:
        head = buffer.at(at, 16)
        size, body = int.from_bytes(head[:4], "big"), at + 8
        if size == 1:
            size, body = int.from_bytes(head[8:16], "big"), at + 16
        stop = end if size == 0 else at + size
        if stop < body:
            return
        yield Box(head[4:8], body, stop)
        at = stop


def inside(buffer: Buffer, box: Box, *path: bytes) -> Iterator[Box]:
    """Yield the boxes at the end of a path of types below a box."""
    for child in boxes(buffer, box.start, min(box.end, buffer.end)):
        if child.type == path[0]:
            if len(path) == 1:
                yield child
            else:
                yield from inside(buffer, child, *path[1:])


def read_movie(buffer: Buffer, box: Box) -> Movie:
    """Parse the contents of `moov`. Raises NotAudio if a table breaks off."""
    movie = Movie()
    for header in inside(buffer, box, b"mvhd"):
        movie.timescale = _timescale(_body(buffer, header))
    for extends in inside(buffer, box, b"mvex", b"trex"):
        data = _body(buffer, extends)
        movie.defaults[_u32(data, 4)] = (_u32(data, 12), _u32(data, 16))
    movie.tracks = [_track(buffer, trak) for trak in inside(buffer, box, b"trak")]
    movie.gapless = _gapless(buffer, box)
    return movie


def _track(buffer: Buffer, box: Box) -> Track:
    track = Track()
    for header in inside(buffer, box, b"tkhd"):
        data = _body(buffer, header)
        track.enabled = bool(_u32(data, 0) & _ENABLED)
        track.id = _u32(data, 20 if data[:1] == b"\1" else 12)
    for handler in inside(buffer, box, b"mdia", b"hdlr"):
        track.kind = _body(buffer, handler)[8:12]
    for header in inside(buffer, box, b"mdia", b"mdhd"):
        track.timescale = _timescale(_body(buffer, header))
    for edits in inside(buffer, box, b"edts", b"elst"):
        track.edits = tuple(_edits(_body(buffer, edits)))
    for table in inside(buffer, box, b"mdia", b"minf", b"stbl"):
        _sample_table(buffer, table, track)
    return track


@dataclass(frozen=True)
class _Sizes:
    """Bytes of each sample: all the same, or one by one."""

    count: int
    each: int = 0
    entries: NDArray[np.int64] | None = None

    def up_to(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bytes of the first n samples, for each n of `samples`."""
        if self.entries is None:
            return samples * self.each
        return np.concatenate(([0], np.cumsum(self.entries)))[samples]


def _sample_table(buffer: Buffer, table: Box, track: Track) -> None:
    found = {box.type: box for box in boxes(buffer, table.start, min(table.end, buffer.end))}
    if b"stsd" in found:
        description = _body(buffer, found[b"stsd"])
        track.coding = description[12:16]
        track.speakers = _speakers(description)
    if b"stts" in found:
        pairs = _numbers(_body(buffer, found[b"stts"])[8:], ">u4", 2)
        track.durations = [(int(count), int(each)) for count, each in pairs]
    sizes = _sizes(buffer, found)
    track.samples = sizes.count
    if sizes.each == 1:
        track.size_bytes = None  # QuickTime counts frames there, whose bytes it does not state
        return
    track.size_bytes = int(sizes.up_to(np.array([sizes.count]))[0])
    if b"stsc" in found and sizes.count:
        track.end = _last_byte(buffer, found, sizes)


def _speakers(description: bytes) -> bytes:
    """The contents of the `chan` box in a sample description."""
    at = description.find(b"chan")
    size = _u32(description, at - 4)
    return description[at + 8 : at - 4 + size] if at >= 4 and 12 < size <= len(description) else b""


def _sizes(buffer: Buffer, found: dict[bytes, Box]) -> _Sizes:
    if b"stsz" in found:
        data = _body(buffer, found[b"stsz"])
        each, count = _u32(data, 4), _u32(data, 8)
        if each:
            return _Sizes(count, each)
        entries = _numbers(data[12:], ">u4")[:count]
    elif b"stz2" in found:
        data = _body(buffer, found[b"stz2"])
        bits, count = data[7] if len(data) > 7 else 8, _u32(data, 8)
        entries = _numbers(data[12:], ">u2" if bits == 16 else "u1")
        if bits == 4:
            entries = np.stack((entries >> 4, entries & 15), axis=1).reshape(-1)
        entries = entries[:count]
    else:
        return _Sizes(0)
    return _Sizes(len(entries), entries=entries.astype(np.int64))


def _last_byte(buffer: Buffer, found: dict[bytes, Box], sizes: _Sizes) -> int:
    """End of the last chunk of samples in the file."""
    wide = b"co64" in found
    box = found.get(b"co64") or found.get(b"stco")
    offsets = _numbers(_body(buffer, box)[8:], ">u8" if wide else ">u4") if box else np.zeros(0)
    runs = _numbers(_body(buffer, found[b"stsc"])[8:], ">u4", 3)
    if not len(offsets) or not len(runs):
        return 0
    each = np.zeros(len(offsets), np.int64)
    following = [*(int(first) - 1 for first, _, _ in runs[1:]), len(offsets)]
    for (first, samples, _), end in zip(runs, following, strict=True):
        each[max(int(first) - 1, 0) : end] = samples
    ends = np.minimum(np.cumsum(each), sizes.count)
    begins = np.concatenate(([0], ends[:-1]))
    chunk_bytes = sizes.up_to(ends) - sizes.up_to(begins)
    return int((offsets.astype(np.int64) + chunk_bytes)[chunk_bytes > 0].max(initial=0))


def add_fragment(buffer: Buffer, box: Box, movie: Movie) -> None:
    """Count the samples of a `moof`."""
    for traf in inside(buffer, box, b"traf"):
        header = next((_body(buffer, one) for one in inside(buffer, traf, b"tfhd")), b"")
        track = next((one for one in movie.tracks if one.id == _u32(header, 4)), None)
        if track is None:
            continue
        duration, size = _fragment_defaults(header, movie.defaults.get(track.id, (0, 0)))
        for run in inside(buffer, traf, b"trun"):
            _add_run(_body(buffer, run), track, duration, size)


def _fragment_defaults(header: bytes, known: tuple[int, int]) -> tuple[int, int]:
    """Duration and size of a sample where its run states none (section 8.8.7)."""
    flags, at = _u32(header, 0) & 0xFFFFFF, 8
    at += 8 * bool(flags & 1) + 4 * bool(flags & 2)  # base offset, description
    duration, size = known
    if flags & 8:
        duration, at = _u32(header, at), at + 4
    if flags & 16:
        size = _u32(header, at)
    return duration, size


def _add_run(data: bytes, track: Track, duration: int, size: int) -> None:
    """Samples of a `trun` (section 8.8.8), which may state duration, size, flags and offset."""
    flags, count = _u32(data, 0) & 0xFFFFFF, _u32(data, 4)
    at = 8 + 4 * bool(flags & 1) + 4 * bool(flags & 4)
    columns = [name for name in (0x100, 0x200, 0x400, 0x800) if flags & name]
    table = _numbers(data[at : at + 4 * len(columns) * count], ">u4", max(len(columns), 1))
    count = len(table) if columns else count
    track.samples += count
    if 0x100 in columns:
        track.durations += [(1, int(each)) for each in table[:, 0]]
    else:
        track.durations.append((count, duration))
    if track.size_bytes is not None:
        sizes = table[:, columns.index(0x200)] if 0x200 in columns else None
        track.size_bytes += size * count if sizes is None else int(sizes.sum(dtype=np.int64))


def _edits(data: bytes) -> Iterator[Edit]:
    """Entries of an edit list (section 8.6.6)."""
    wide = data[:1] == b"\1"
    each = 20 if wide else 12
    for number in range(min(_u32(data, 4), (len(data) - 8) // each)):
        one = data[8 + each * number :][:each]
        half = 8 if wide else 4
        duration = int.from_bytes(one[:half], "big")
        media_time = int.from_bytes(one[half : 2 * half], "big", signed=True)
        rate = int.from_bytes(one[2 * half :], "big", signed=True) / 65536
        yield Edit(duration, media_time if media_time >= 0 else None, rate)


def _gapless(buffer: Buffer, box: Box) -> tuple[int, int, int] | None:
    for tags in inside(buffer, box, b"udta"):
        data = buffer.at(tags.start, min(tags.end - tags.start, _MAX_TAGS_BYTES))
        found = _SMPB.search(data)
        words = found[1].split() if found else []
        if len(words) >= 4:
            delay, padding, length = (int(word, 16) for word in words[1:4])
            return delay, padding, length
    return None


def _timescale(data: bytes) -> int:
    """Units in a second, of a movie's or a media's header."""
    return _u32(data, 20 if data[:1] == b"\1" else 12)


def _body(buffer: Buffer, box: Box) -> bytes:
    """The contents of a box; raises where it passes the file's end or is too large."""
    size = box.end - box.start
    if size > _MAX_TABLE_BYTES:
        raise UnsupportedBounce("an MP4 with too many samples to count; export a shorter range")
    if box.end > buffer.end:
        raise NotAudio("damaged: a table of its moov box breaks off; export it again")
    return buffer.at(box.start, size)


def _numbers(data: bytes, dtype: str, columns: int = 0) -> NDArray[Any]:
    """Table of numbers, in rows if it has columns; an incomplete last row is dropped."""
    row_bytes = np.dtype(dtype).itemsize * max(columns, 1)
    found = np.frombuffer(data[: len(data) // row_bytes * row_bytes], dtype)
    return found.reshape(-1, columns) if columns else found


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")
