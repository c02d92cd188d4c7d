"""The chunk list of RIFF, RIFX, RF64 and BW64 files, read by seeking, never by loading audio.

Sources: Microsoft "Multimedia Programming Interface and Data Specifications 1.0" (RIFF),
"WAVEFORMATEXTENSIBLE", EBU Tech 3306 (RF64), ITU-R BS.2088 (BW64).
Every size in a header is a claim: none is used to allocate or to seek before it was held against
the size of the file.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

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

    from bridge.audio.bext import ByteOrder

CONTAINERS = {b"RIFF": "WAV", b"RIFX": "RIFX", b"RF64": "RF64", b"BW64": "BW64"}

UNKNOWN_BYTES = 0xFFFFFFFF
"""RF64: the size is in ds64. RIFF: a writer into a pipe never knew, and the audio is the rest."""

MAX_CHUNKS = 1024  # real files have fewer than 30; a crafted one could have millions
MAX_CHUNK_BYTES = 16 << 20  # of metadata held in memory; real iXML is kilobytes
_WRAP = 1 << 32

_PCM = {1: "PCM_U8", 2: "PCM_16", 3: "PCM_24", 4: "PCM_32"}
_FLOAT = {4: "FLOAT", 8: "DOUBLE"}
_G711 = {6: "ALAW", 7: "ULAW"}
_EXTENSIBLE = 0xFFFE
# Writers that forget the pad byte of an odd chunk put the next id one byte early.
_AFTER_ODD = {b"data", b"fmt ", b"LIST", b"bext", b"iXML", b"cue ", b"smpl", b"fact", b"JUNK"}


@dataclass(frozen=True)
class Chunk:
    """A chunk to be written: a four-byte id and its data without pad byte."""

    id: bytes
    data: bytes


@dataclass(frozen=True)
class ChunkRef:
    """Where a chunk's data lies; `size_bytes` is a claim and may pass the end of the file."""

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

        G.711 has one whatever its header says, and some headers say nothing.
        """
        if self.tag in _G711:
            return 1
        return (self.bits + 7) // 8

    @property
    def padded(self) -> bool:
        """Whether the values lie in wider cells than their bits need, which no standard defines.

        A block size that is no multiple of the channels is not padding but an error in the
        header, and the bits are right.
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
    """What the header of a RIFF-like file says and where its parts lie, in bytes."""

    container: str
    claimed_bytes: int
    file_bytes: int
    fmt: Fmt
    data_offset: int
    data_bytes: int
    chunks: tuple[ChunkRef, ...]

    @property
    def byte_order(self) -> ByteOrder:
        """Order of the numbers in the header, the metadata and the audio."""
        return "big" if self.container == "RIFX" else "little"

    def present(self) -> WavLayout:
        """This layout with its audio as far as the file holds it.

        That is all that follows the header where its writer never filled in the size.
        """
        present_bytes = max(self.file_bytes - self.data_offset, 0)
        return replace(self, data_bytes=min(self.data_bytes or present_bytes, present_bytes))

    def find(self, chunk_id: bytes) -> ChunkRef | None:
        """The first chunk of that id."""
        return next((chunk for chunk in self.chunks if chunk.id == chunk_id), None)


@contextmanager
def reading(path: Path) -> Iterator[BinaryIO]:
    """Open a bounce for reading; what the system says against it becomes an error of the tree.

    Raises EmptyBounce for 0 bytes, NotAudio for what is not a regular file (a pipe would block
    for ever), BounceChanged when it is gone or cannot be read now.
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
    """Open for reading, and never wait: a pipe in a file's place would block for ever."""

    def without_waiting(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))  # Windows has no such pipes

    # pathlib's own open takes no opener.
    return open(path, "rb", buffering, opener=without_waiting)


def size_bytes(file: BinaryIO) -> int:
    """Size of an open file, now."""
    return os.fstat(file.fileno()).st_size


def read_layout(path: Path) -> WavLayout:
    """The chunk list of a RIFF, RIFX, RF64 or BW64 file.

    Sizes are returned as claimed: that the audio is really there is the caller's check. Raises
    EmptyBounce, NotAudio (no such header, no `fmt `, a chunk list that leads nowhere),
    TruncatedBounce and NoFrames (no `data`), UnsupportedBounce (too many chunks), BounceChanged.
    """
    with reading(path) as file:
        file_bytes = size_bytes(file)
        magic, claimed, form = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
        if magic not in CONTAINERS or form != b"WAVE":
            raise NotAudio("not a WAV file: no RIFF/WAVE header; export it again from the DAW")
        order = ">" if magic == b"RIFX" else "<"
        if order == ">":
            claimed = int.from_bytes(struct.pack("<I", claimed), "big")
        long_riff, long_data = (None, None) if magic in {b"RIFF", b"RIFX"} else _ds64(file)
        if claimed == UNKNOWN_BYTES and long_riff is not None:
            claimed = long_riff
        wrapped = _wrapped_bytes(claimed, file_bytes) if long_data is None else 0

        def data_bytes(offset: int, size: int) -> int:
            if long_data is not None and size in {0, UNKNOWN_BYTES}:
                return long_data
            if size == UNKNOWN_BYTES:
                return file_bytes - offset
            return size + wrapped

        refs = walk(file, 12, file_bytes, order, data_bytes)
        by_id = {ref.id: ref for ref in reversed(refs)}
        short = claimed + 8 > file_bytes
        data = by_id.get(b"data") or _no_data(refs, file_bytes, short)
        if b"fmt " not in by_id:
            raise NotAudio("damaged: a WAV without fmt chunk; export it again from the DAW")
        fmt = parse_fmt(read_chunk(file, by_id[b"fmt "]), order)
    container = CONTAINERS[magic]
    return WavLayout(container, claimed, file_bytes, fmt, data.offset, data.size_bytes, refs)


def _ds64(file: BinaryIO) -> tuple[int | None, int | None]:
    """The 64-bit sizes of RIFF and data; the chunk must be the first (EBU Tech 3306 section 3)."""
    head = file.read(24)
    if len(head) < 24 or head[:4] != b"ds64":
        return None, None
    riff_bytes, data_bytes = struct.unpack("<QQ", head[8:])
    return riff_bytes, data_bytes


def _wrapped_bytes(claimed: int, file_bytes: int) -> int:
    """What a 32-bit size lost in a RIFF file above 4 GiB whose writer let its fields wrap."""
    lost = file_bytes - 8 - claimed
    return lost if lost > 0 and lost % _WRAP == 0 else 0


def _no_data(refs: tuple[ChunkRef, ...], file_bytes: int, short: bool) -> ChunkRef:
    if short:
        raise TruncatedBounce("cut off before its audio begins; render it again")
    end = refs[-1].offset + refs[-1].size_bytes if refs else 12
    if end + 8 <= file_bytes:
        raise NotAudio(f"damaged: no chunk begins at byte {end}; export it again from the DAW")
    raise NoFrames("a WAV without audio (no data chunk); render it again")


def walk(
    file: BinaryIO,
    start: int,
    file_bytes: int,
    order: str,
    data_bytes: Callable[[int, int], int] = lambda _offset, size: size,
) -> tuple[ChunkRef, ...]:
    """Every chunk from byte `start` on; also beyond the size that the file claims for itself.

    Ends at the file's end or where no chunk id (printable ASCII) follows. `order` is "<" or ">";
    `data_bytes(offset, size)` gives the true size of the `data` chunk. Raises UnsupportedBounce
    above MAX_CHUNKS.
    """
    refs: list[ChunkRef] = []
    at = start
    while at + 8 <= file_bytes:
        file.seek(at)
        chunk_id, size = struct.unpack(order + "4sI", file.read(8).ljust(8, b"\0"))
        if not all(0x20 <= byte < 0x7F for byte in chunk_id):
            break
        if len(refs) == MAX_CHUNKS:
            raise UnsupportedBounce(f"more than {MAX_CHUNKS} chunks; export it again from the DAW")
        if chunk_id == b"data":
            size = data_bytes(at + 8, size)
        refs.append(ChunkRef(chunk_id, at + 8, size))
        at += 8 + size
        if size % 2 and at < file_bytes:
            file.seek(at)
            at += 0 if file.read(4) in _AFTER_ODD else 1
    return tuple(refs)


def read_chunk(file: BinaryIO, ref: ChunkRef) -> bytes:
    """A chunk's data as far as the file holds it, at most MAX_CHUNK_BYTES."""
    present_bytes = max(size_bytes(file) - ref.offset, 0)
    file.seek(ref.offset)
    return file.read(min(ref.size_bytes, present_bytes, MAX_CHUNK_BYTES))


def parse_fmt(data: bytes, order: str = "<") -> Fmt:
    """Read a `fmt ` chunk; raises NotAudio when it is too short to say anything."""
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
