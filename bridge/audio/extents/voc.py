"""Creative Voice: audio in any number of consecutive blocks.

Source: Creative Labs "Sound Blaster Series Hardware Programming Guide", VOC file format.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.chunks import MAX_CHUNKS
from bridge.audio.extents.model import Extent, SoundData
from bridge.audio.views import size_bytes
from bridge.errors import NoFrames, NotAudio, TruncatedBounce, UnsupportedBounce

if TYPE_CHECKING:
    from collections.abc import Callable

_HEAD_BYTES = 26
_MAX_BLOCKS = 64 * MAX_CHUNKS  # ffmpeg writes one for every 4096 bytes: an hour has 150,000
_END, _SOUND, _MORE, _SILENCE, _REPEAT, _EXTENDED, _NEW_SOUND = 0, 1, 2, 3, 6, 8, 9
_LAST_TYPE = 9
_NEW_HEAD_BYTES = 12
_SUBTYPES = {0: "PCM_U8", 4: "PCM_16", 6: "ALAW", 7: "ULAW"}
_SILENT = {"PCM_U8": b"\x80", "ALAW": b"\xd5", "ULAW": b"\xff"}
_CODECS = {1: "Creative ADPCM", 2: "Creative ADPCM", 3: "Creative ADPCM", 0x200: "Creative ADPCM"}
# sox counts 4 of the 12 bytes in front of the sound of a new block.
_SOX_MISCOUNT_BYTES = 8


@dataclass(frozen=True)
class _Format:
    rate_hz: int
    channels: int
    codec: int


@dataclass
class _Blocks:
    """Blocks found so far."""

    file: BinaryIO
    file_bytes: int
    format: _Format | None = None
    extended: _Format | None = None
    extents: list[Extent] = field(default_factory=list)
    repeats: bool = False

    def take(self, kind: int, at: int, size: int) -> None:
        """Add a block whose body begins at byte `at`."""
        handlers: dict[int, Callable[[int, int], None]] = {
            _SOUND: self._sound,
            _MORE: self._more,
            _SILENCE: self._silence,
            _EXTENDED: self._extension,
            _NEW_SOUND: self._new_sound,
        }
        if kind in handlers:
            handlers[kind](at, size)
        self.repeats |= kind == _REPEAT

    def _body(self, at: int, count: int) -> bytes:
        self.file.seek(at)
        return self.file.read(count).ljust(count, b"\0")

    def _sound(self, at: int, size: int) -> None:
        divisor, codec = self._body(at, 2)
        found = self.extended or _Format(1_000_000 // (256 - divisor), 1, codec)
        self._begin(found)
        self.extents.append(Extent(at + 2, max(size - 2, 0)))

    def _extension(self, at: int, _size: int) -> None:
        constant, codec, mode = struct.unpack("<HBB", self._body(at, 4))
        channels = 2 if mode else 1
        self.extended = _Format(256_000_000 // (65536 - constant) // channels, channels, codec)

    def _new_sound(self, at: int, size: int) -> None:
        rate_hz, _, channels, codec = struct.unpack("<IBBH", self._body(at, 8))
        self._begin(_Format(rate_hz, channels, codec))
        self.extents.append(Extent(at + _NEW_HEAD_BYTES, max(size - _NEW_HEAD_BYTES, 0)))

    def _more(self, at: int, size: int) -> None:
        self.extents.append(Extent(at, size))

    def _silence(self, at: int, _size: int) -> None:
        frames, divisor = struct.unpack("<HB", self._body(at, 3))
        if self.format and self.format.rate_hz != 1_000_000 // (256 - divisor):
            raise UnsupportedBounce("a VOC whose silence has another rate; export it as WAV")
        self.extents.append(Extent(at, 0, frames + 1))

    def _begin(self, found: _Format) -> None:
        if self.format not in {None, found}:
            raise UnsupportedBounce("a VOC that changes its format on the way; export one format")
        self.format, self.extended = found, None


def sound_data(file: BinaryIO) -> SoundData:
    """Locate the audio of an open VOC.

    Raises NoFrames or TruncatedBounce without any sound block, UnsupportedBounce for an unsupported
    codec and for blocks of several formats.
    """
    file_bytes = size_bytes(file)
    blocks = _Blocks(file, file_bytes)
    end, ended = _walk(file, blocks, file_bytes)
    if blocks.format is None:
        if not ended:
            raise TruncatedBounce("cut off before its audio begins; export it again")
        raise NoFrames("a VOC without audio; export it again")
    codec = blocks.format.codec
    subtype = _SUBTYPES.get(codec)
    if subtype is None:  # libsndfile would take its bytes for PCM
        name = _CODECS.get(codec, f"codec {codec}")
        raise UnsupportedBounce(f"a VOC file with {name} in it, which is not read; export WAV")
    silent = _SILENT.get(subtype, b"\0")
    extents = tuple(
        Extent(e.offset, e.size_bytes, e.held_frames, silent)
        for e in blocks.extents
        if e.size_bytes or e.held_frames
    )
    return SoundData(
        rate_hz=blocks.format.rate_hz,
        channels=blocks.format.channels,
        subtype=subtype,
        codec="PCM",
        byte_order="little",
        extents=extents,
        end=end,
        file_bytes=file_bytes,
        warnings=("it repeats a part of its sound, which is read once",) if blocks.repeats else (),
    )


def _walk(file: BinaryIO, blocks: _Blocks, file_bytes: int) -> tuple[int, bool]:
    """Add every block; return where they end, and whether that end is regular."""
    file.seek(20)
    at = int.from_bytes(file.read(2), "little")
    if at < _HEAD_BYTES:
        raise NotAudio("damaged: a VOC whose header is cut off; export it again as WAV")
    for _ in range(_MAX_BLOCKS):
        kind, size = _head(file, at)
        if kind == _END:
            return min(at + 1, file_bytes), at < file_bytes
        if kind > _LAST_TYPE:
            return min(at, file_bytes), True
        size += _miscounted(file, kind, at + 4 + size, file_bytes)
        blocks.take(kind, at + 4, size)
        at += 4 + size
        if at >= file_bytes:
            return file_bytes, False
    raise UnsupportedBounce(f"more than {_MAX_BLOCKS:,} blocks; export it again as WAV")


def _head(file: BinaryIO, at: int) -> tuple[int, int]:
    """Type and size of the block at byte `at`."""
    file.seek(at)
    head = file.read(4)
    return (head[0] if head else _END), int.from_bytes(head[1:], "little")


def _miscounted(file: BinaryIO, kind: int, end: int, file_bytes: int) -> int:
    """Extra bytes behind a block's stated end, for writers known to count wrongly."""
    if kind != _NEW_SOUND or end + _SOX_MISCOUNT_BYTES + 1 != file_bytes:
        return 0
    file.seek(file_bytes - 1)
    return _SOX_MISCOUNT_BYTES if file.read(1) == b"\0" else 0
