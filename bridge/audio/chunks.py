"""Chunk list of RIFF, RIFX, RF64 and BW64 files, read by seeking, without loading audio.

Sources: Microsoft "Multimedia Programming Interface and Data Specifications 1.0" (RIFF),
"WAVEFORMATEXTENSIBLE", EBU Tech 3306 (RF64), ITU-R BS.2088 (BW64). Every size in a header is a
claim: none is used to allocate or to seek before it is checked against the size of the file.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.riff_sizes import IN_DS64, DataSizes, read_ds64
from bridge.audio.signatures import HEAD_BYTES, begins_file, is_id
from bridge.audio.views import bytes_at, size_bytes
from bridge.errors import (
    BounceChanged,
    EmptyBounce,
    NoFrames,
    NotAudio,
    TruncatedBounce,
    UnsupportedBounce,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bridge.audio.metadata.bext import ByteOrder

CONTAINERS = {b"RIFF": "WAV", b"RIFX": "RIFX", b"RF64": "RF64", b"BW64": "BW64"}

MAX_CHUNKS = 1024  # real files have fewer than 30; a crafted one could have millions
MAX_CHUNK_BYTES = 16 << 20  # of metadata held in memory; real iXML is kilobytes

_PCM = {1: "PCM_U8", 2: "PCM_16", 3: "PCM_24", 4: "PCM_32"}
_FLOAT = {4: "FLOAT", 8: "DOUBLE"}
_G711 = {6: "ALAW", 7: "ULAW"}
_EXTENSIBLE = 0xFFFE
# Ids that are accepted where a size passes the end of the file: such a chunk is cut off. Any other
# there is text that looks like an id: a tag, or what some program left behind.
_FAMILIAR = {
    *(b"data", b"fmt ", b"fact", b"LIST", b"list", b"bext", b"iXML", b"cue ", b"smpl", b"inst"),
    *(b"id3 ", b"ID3 ", b"JUNK", b"junk", b"PAD ", b"FLLR", b"axml", b"_PMX", b"acid", b"PEAK"),
    *(b"COMM", b"SSND", b"MARK", b"INST", b"COMT", b"NAME", b"AUTH", b"ANNO", b"(c) ", b"APPL"),
    *(b"VHDR", b"BODY", b"FVER"),
}
# Writers that forget the pad byte of an odd chunk put the next id one byte early.
_AFTER_ODD = {
    *(b"data", b"fmt ", b"LIST", b"bext", b"iXML", b"cue ", b"smpl", b"fact", b"JUNK"),
    *(b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"COMM", b"SSND", b"MARK", b"slnt"),
}
_SOUND = {b"data", b"SSND", b"BODY"}


@dataclass(frozen=True)
class Chunk:
    """Chunk to be written: a four-byte id and its data without pad byte."""

    id: bytes
    data: bytes


@dataclass(frozen=True)
class ChunkRef:
    """Place of a chunk's data; `size_bytes` is a claim and may pass the end of the file."""

    id: bytes
    offset: int
    size_bytes: int


@dataclass(frozen=True)
class Fmt:
    """The `fmt ` chunk; `tag` is the codec's, also where the chunk is WAVEFORMATEXTENSIBLE."""

    tag: int
    channels: int
    rate_hz: int
    block_bytes: int
    bits: int
    channel_mask: int | None
    extensible: bool

    @property
    def value_bytes(self) -> int:
        """Bytes of one value of one channel: the bits, rounded up to whole bytes.

        Always 1 for G.711, whose header often states 0 bits or something else.
        """
        if self.tag in _G711:
            return 1
        return (self.bits + 7) // 8

    @property
    def padded(self) -> bool:
        """Whether the values lie in wider cells than their bits need, which no standard defines.

        A block size that is no multiple of the channels is an error in the header, not padding.
        """
        if not self.channels or self.block_bytes % self.channels:
            return False
        return self.block_bytes // self.channels > self.value_bytes

    @property
    def subtype(self) -> str | None:
        """soundfile's name of a codec with one value per frame and channel; None for others."""
        if self.tag == 1:
            return _PCM.get(self.value_bytes)
        if self.tag == 3:
            return _FLOAT.get(self.value_bytes)
        return _G711.get(self.tag)


@dataclass(frozen=True)
class WavLayout:
    """Header of a RIFF-like file and the places of its parts, in bytes.

    Attributes:
        data_offset, data_bytes: of the first data chunk.
        end: of the chunk list.
        open_ended: the writer did not know the length of the audio, which extends to the end of the
            file.
    """

    container: str
    claimed_bytes: int
    file_bytes: int
    fmt: Fmt
    data_offset: int
    data_bytes: int
    chunks: tuple[ChunkRef, ...]
    end: int = 0
    open_ended: bool = False

    @property
    def byte_order(self) -> ByteOrder:
        """Byte order of the header, the metadata and the audio."""
        return "big" if self.container == "RIFX" else "little"

    def find(self, chunk_id: bytes) -> ChunkRef | None:
        """Return the first chunk with that id; None without one."""
        return next((chunk for chunk in self.chunks if chunk.id == chunk_id), None)


@contextmanager
def open_bounce(path: Path) -> Iterator[BinaryIO]:
    """Open a bounce for reading; convert errors of the system to BounceChanged.

    Raises EmptyBounce for 0 bytes, NotAudio for anything but a regular file (a pipe would block
    forever), BounceChanged when it is gone or cannot be read now.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise NotAudio("not a file; give the path of a sound file")
        with open_binary(path) as file:
            if not size_bytes(file):
                raise EmptyBounce("empty: 0 bytes; render it again")
            yield file
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise BounceChanged("gone while it was read; render it again") from error
        reason = error.strerror or type(error).__name__
        raise BounceChanged(
            f"cannot be read now ({reason}); close it elsewhere or allow reading it, then retry"
        ) from error


def open_binary(path: Path, buffering: int = -1) -> BinaryIO:
    """Open for reading without blocking: a pipe in a file's place would block forever."""

    def without_waiting(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))  # Windows has no such pipes

    # pathlib's own open takes no opener.
    return open(path, "rb", buffering, opener=without_waiting)


def read_layout(path: Path) -> WavLayout:
    """Parse the chunk list of the file at `path`; see `parse_layout`.

    Raises also EmptyBounce and BounceChanged.
    """
    with open_bounce(path) as file:
        return parse_layout(file)


def parse_layout(file: BinaryIO) -> WavLayout:
    """Parse the chunk list of an open RIFF, RIFX, RF64 or BW64 file.

    Sizes are returned as claimed; the caller checks that the audio is present. Only if the writer
    did not know the length of the audio does it extend to the end of the file.

    Raises:
        NotAudio: no such header, no `fmt `, or an invalid chunk list.
        TruncatedBounce, NoFrames: no `data`.
        UnsupportedBounce: too many chunks.
    """
    file_bytes = size_bytes(file)
    file.seek(0)
    magic, claimed, form = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
    if magic not in CONTAINERS or form != b"WAVE":
        raise NotAudio("not a WAV file: no RIFF/WAVE header; export it again from the DAW")
    order = ">" if magic == b"RIFX" else "<"
    if order == ">":
        claimed = int.from_bytes(struct.pack("<I", claimed), "big")
    long_riff, long_data = (None, None) if magic in {b"RIFF", b"RIFX"} else read_ds64(file)
    if claimed == IN_DS64 and long_riff is not None:
        claimed = long_riff
    sizes = DataSizes(file, magic, claimed, file_bytes, long_data, _block_bytes(file, order))
    refs, end = chunk_list(file, 12, file_bytes, order, sizes.true_bytes)
    by_id = {ref.id: ref for ref in reversed(refs)}
    short = claimed + 8 > file_bytes
    data = by_id.get(b"data") or _in_wave_list(file, refs, order)
    data = data or _no_data(refs, file_bytes, short)
    if b"fmt " not in by_id:
        raise NotAudio("damaged: a WAV without fmt chunk; export it again from the DAW")
    fmt = parse_fmt(read_chunk(file, by_id[b"fmt "]), order)
    return WavLayout(
        container=CONTAINERS[magic],
        claimed_bytes=claimed,
        file_bytes=file_bytes,
        fmt=fmt,
        data_offset=data.offset,
        data_bytes=data.size_bytes,
        chunks=refs,
        end=end,
        open_ended=sizes.unknown,
    )


def _block_bytes(file: BinaryIO, order: str) -> int:
    """Block size of the first `fmt ` chunk; 1 without one."""
    refs, _ = chunk_list(file, 12, size_bytes(file), order)
    ref = next((ref for ref in refs if ref.id == b"fmt "), None)
    data = read_chunk(file, ref) if ref else b""
    return int(struct.unpack(order + "H", data[12:14])[0]) if len(data) >= 14 else 1


def _in_wave_list(file: BinaryIO, refs: tuple[ChunkRef, ...], order: str) -> ChunkRef | None:
    """The first `data` chunk within a wave list."""
    return next((ref for ref in wave_lists(file, refs, order) if ref.id == b"data"), None)


def wave_lists(file: BinaryIO, refs: tuple[ChunkRef, ...], order: str) -> tuple[ChunkRef, ...]:
    """List the `data` and `slnt` chunks of a file in order, also those within a LIST `wavl`."""
    found: list[ChunkRef] = []
    for ref in refs:
        if ref.id == b"data":
            found.append(ref)
        elif ref.id == b"LIST" and bytes_at(file, ref.offset, 4) == b"wavl":
            end = min(ref.offset + ref.size_bytes, size_bytes(file))
            inside, _ = chunk_list(file, ref.offset + 4, end, order)
            found += [part for part in inside if part.id in {b"data", b"slnt"}]
    return tuple(found)


def _no_data(refs: tuple[ChunkRef, ...], file_bytes: int, short: bool) -> ChunkRef:
    if short:
        raise TruncatedBounce("cut off before its audio begins; render it again")
    end = refs[-1].offset + refs[-1].size_bytes if refs else 12
    if end + 8 <= file_bytes:
        raise NotAudio(f"damaged: no chunk begins at byte {end}; export it again from the DAW")
    raise NoFrames("a WAV without audio (no data chunk); render it again")


def list_chunks(file: BinaryIO, start: int, file_bytes: int, order: str) -> tuple[ChunkRef, ...]:
    """List the chunks of `chunk_list` with their claimed sizes."""
    return chunk_list(file, start, file_bytes, order)[0]


def chunk_list(
    file: BinaryIO,
    start: int,
    end: int,
    order: str,
    sound_bytes: Callable[[int, int], int] = lambda _offset, size: size,
) -> tuple[tuple[ChunkRef, ...], int]:
    """List every chunk from byte `start` on, also beyond the claimed size of the file.

    Args:
        file: open for reading.
        start: offset of the first chunk.
        end: of the file, or of the list within it.
        order: "<" or ">", of the sizes.
        sound_bytes: maps offset and claimed size of an audio chunk to its true size.

    Returns:
        The chunks, and their end: at the end of the file, where no chunk follows (ids are printable
            ASCII), or where another sound file begins.

    Raises:
        UnsupportedBounce: more than MAX_CHUNKS.
    """
    refs: list[ChunkRef] = []
    at = start
    while at + 8 <= end:
        head = bytes_at(file, at, HEAD_BYTES)
        chunk_id, size = struct.unpack(order + "4sI", head[:8].ljust(8, b"\0"))
        if not is_id(chunk_id) or begins_file(head):
            break
        if len(refs) == MAX_CHUNKS:
            raise UnsupportedBounce(f"more than {MAX_CHUNKS} chunks; export it again from the DAW")
        if chunk_id in _SOUND:
            size = sound_bytes(at + 8, size)
        elif at + 8 + size > end and chunk_id not in _FAMILIAR:
            break
        refs.append(ChunkRef(chunk_id, at + 8, size))
        at += 8 + size
        if size % 2 and at < end:
            at += 0 if _lacks_pad(bytes_at(file, at, 5)) else 1
    return tuple(refs), min(at, end)


def _lacks_pad(following: bytes) -> bool:
    """Whether a chunk of odd size is followed by the next one without a pad byte."""
    if following[:4] in _AFTER_ODD:
        return True
    return is_id(following[:4]) and not is_id(following[1:])


def read_chunk(file: BinaryIO, ref: ChunkRef) -> bytes:
    """Read a chunk's data as far as the file holds it, at most MAX_CHUNK_BYTES."""
    present_bytes = max(size_bytes(file) - ref.offset, 0)
    file.seek(ref.offset)
    return file.read(min(ref.size_bytes, present_bytes, MAX_CHUNK_BYTES))


def parse_fmt(data: bytes, order: str = "<") -> Fmt:
    """Parse a `fmt ` chunk. Raises NotAudio if it is too short."""
    if len(data) < 16:
        raise NotAudio("damaged: its fmt chunk is too short; export it again from the DAW")
    tag, channels, rate_hz, _, block_bytes, bits = struct.unpack(order + "HHIIHH", data[:16])
    mask: int | None = None
    extensible = tag == _EXTENSIBLE and len(data) >= 40
    if extensible:
        # The first field of the subformat GUID is the classic tag, for PCM, float and G.711 alike
        # and for their ambisonic B-format twins.
        mask, tag = struct.unpack(order + "II", data[20:28])
    return Fmt(tag, channels, rate_hz, block_bytes, bits, mask, extensible)
