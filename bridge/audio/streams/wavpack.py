"""WavPack: every block walked (David Bryant, "WavPack 4 & 5 Binary File / Block Format")."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bridge.audio import libav
from bridge.audio.streams.buffer import Buffer
from bridge.audio.streams.gaps import Gap, gap_warnings
from bridge.audio.streams.model import Run, Walk, check_agreement
from bridge.audio.streams.tag_blocks import leading, sound_end
from bridge.errors import BounceError, NotAudio, TruncatedBounce, UnsupportedBounce

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from av.audio.frame import AudioFrame

_HEAD_BYTES = 32
_MAX_BLOCK_BYTES = 1 << 20  # the reference decoder takes no larger ones
_UNKNOWN = 0xFFFFFFFF
_RATES_HZ = (
    *(6_000, 8_000, 9_600, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    *(64_000, 88_200, 96_000, 192_000),
)
_MONO, _HYBRID, _FLOAT, _FIRST, _DSD = 1 << 2, 1 << 3, 1 << 7, 1 << 11, 1 << 31
_RATE_ID, _ODD, _LARGE, _ID = 0x27, 0x40, 0x80, 0x3F  # of metadata sub-blocks
_SUBTYPES = ("PCM_S8", "PCM_16", "PCM_24", "PCM_32")
_OPTIONS = {"err_detect": "crccheck+explode"}  # each block has a checksum of its sound


@dataclass(frozen=True)
class _Block:
    """Block: audio of one or two channels, or only metadata."""

    at: int
    size_bytes: int
    total_frames: int | None
    index: int
    frames: int
    flags: int

    @property
    def end(self) -> int:
        """Offset of the next block."""
        return self.at + self.size_bytes

    @property
    def channels(self) -> int:
        """Number of channels in this block."""
        return 1 if self.flags & _MONO else 2

    @property
    def is_first(self) -> bool:
        """Whether the frames begin with it; otherwise it adds channels to the block before."""
        return bool(self.flags & _FIRST)


@dataclass
class _Stretch:
    """Blocks of one of several joined files; first: first block; end: of the last."""

    first: _Block
    end: int = 0
    channels: int = 0
    frames: int = 0

    def continues(self, block: _Block) -> bool:
        """Return whether a block belongs to the same file: another file counts anew."""
        return not block.is_first or block.index != 0 or self.frames == 0

    def add(self, block: _Block) -> None:
        """Add a block; raises for unsupported audio and for a missing block."""
        if block.flags & _DSD:
            raise UnsupportedBounce("a WavPack of DSD, which is not read; export WAV or FLAC")
        if block.is_first:
            if block.index - self.first.index != self.frames:
                raise BounceError(
                    f"damaged: WavPack blocks are missing at frame {self.frames:,}; export it again"
                )
            self.frames += block.frames
        if block.index == self.first.index:
            self.channels += block.channels
        self.end = block.end

    @property
    def missing(self) -> bool:
        """Whether it has less than its header claims."""
        return self.first.total_frames is not None and self.first.total_frames > self.frames


def walk(file: BinaryIO, start: int, end: int) -> Walk:
    """Walk all blocks between two byte offsets of a file.

    Raises NotAudio, UnsupportedBounce (DSD, several formats), and BounceError for a missing block.
    """
    buffer = Buffer(file, start, end)
    sound = Buffer(file, start, sound_end(buffer))
    found, gaps = _stretches(sound)
    if not found:
        raise NotAudio("not audio: no WavPack block in it; export it again")
    runs = tuple(
        Run(
            rate_hz=_rate_hz(sound, each.first),
            channels=each.channels,
            decode=partial(_decoded, sound, each.first.at, each.end),
            coded_frames=each.frames,
            frames=each.frames,
        )
        for each in found
    )
    check_agreement(runs)
    subtypes = list(dict.fromkeys(_subtype(each.first.flags) for each in found))
    if len(subtypes) > 1:
        raise UnsupportedBounce(
            f"WavPack files of {' and '.join(subtypes)} joined; take them apart"
        )
    if any(each.missing for each in found[:-1]):
        raise BounceError("damaged: WavPack files were joined, and one is cut off; take them apart")
    first, last = found[0].first, found[-1]
    cut = _cut(last, last.end - start, incomplete=bool(gaps) and gaps[-1].incomplete)
    return Walk(
        runs=runs,
        subtype=subtypes[0],
        cut=cut,
        claimed_frames=last.first.total_frames if cut and len(found) == 1 else None,
        warnings=gap_warnings(gaps, "WavPack", first=first.at, last=last.end),
    )


def _stretches(sound: Buffer) -> tuple[list[_Stretch], list[Gap]]:
    """Blocks that belong together, and what lies between blocks."""
    found: list[_Stretch] = []
    gaps: list[Gap] = []
    for item in _blocks(sound):
        if isinstance(item, Gap):
            gaps.append(item)
            continue
        if not found or not found[-1].continues(item):
            found.append(_Stretch(item))
        found[-1].add(item)
    return found, gaps


def _cut(last: _Stretch, present_bytes: int, *, incomplete: bool) -> TruncatedBounce | None:
    if not incomplete and not last.missing:
        return None
    reason = "its last WavPack block is incomplete"
    if last.missing:
        claimed = last.first.total_frames
        reason = f"its header claims {claimed:,} frames, {last.frames:,} are there"
    return TruncatedBounce(
        f"cut off: {reason}; export it again, or take what is there with --accept-truncated",
        present_bytes=present_bytes,
    )


def _subtype(flags: int) -> str:
    """soundfile's name as for FLAC; a name of its own for a hybrid file, which is lossy."""
    if flags & _HYBRID:
        return "WAVPACK_HYBRID"
    return "FLOAT" if flags & _FLOAT else _SUBTYPES[flags & 3]


def _blocks(buffer: Buffer) -> Iterator[_Block | Gap]:
    """Yield audio blocks and the gaps between them, in the order of the file."""
    at = buffer.start
    while at < buffer.end:
        block = _block(buffer, at)
        if block is not None and block.end <= buffer.end:
            if block.frames:
                yield block
            at = block.end
            continue
        tag_bytes = leading(buffer, at)
        if tag_bytes:
            at += tag_bytes
            continue
        found = buffer.find(b"wvpk", at + 1)
        end = buffer.end if found is None else found
        yield Gap(at, end, incomplete=block is not None, zeros=buffer.is_zero(at, end))
        at = end


def _block(buffer: Buffer, at: int) -> _Block | None:
    head = buffer.at(at, _HEAD_BYTES)
    if len(head) < _HEAD_BYTES or head[:4] != b"wvpk":
        return None
    size, _, index_high, total_high, total, index, frames, flags = struct.unpack(
        "<IHBBIIII", head[4:28]
    )
    if size > _MAX_BLOCK_BYTES:
        return None
    unknown = total == _UNKNOWN
    return _Block(
        at=at,
        size_bytes=8 + size,
        total_frames=None if unknown else (total_high << 32) + total - total_high,
        index=index_high << 32 | index,
        frames=frames,
        flags=flags,
    )


def _rate_hz(buffer: Buffer, block: _Block) -> int:
    """Rate by the flags, or by the sub-block for other rates. Raises NotAudio without it."""
    code = block.flags >> 23 & 15
    if code < len(_RATES_HZ):
        return _RATES_HZ[code]
    at = block.at + _HEAD_BYTES
    while at < block.end:
        head = buffer.at(at, 4)
        large = bool(head[0] & _LARGE)
        size = 2 * int.from_bytes(head[1:4] if large else head[1:2], "little")
        at += 4 if large else 2
        if head[0] & _ID == _RATE_ID:
            size -= bool(head[0] & _ODD)
            return int.from_bytes(buffer.at(at, size), "little")
        at += size
    raise NotAudio("damaged: a WavPack without its rate; export it again")


def _decoded(buffer: Buffer, start: int, end: int) -> Iterator[AudioFrame]:
    packets = _packets(Buffer(buffer.file, start, end))
    return libav.decode_packets("wavpack", packets, options=_OPTIONS)


def _packets(buffer: Buffer) -> Iterator[bytes]:
    """Yield the blocks of all channels of the same frames together."""
    held = b""
    for item in _blocks(buffer):
        if isinstance(item, Gap):
            continue
        if item.is_first and held:
            yield held
            held = b""
        held += buffer.at(item.at, item.size_bytes)
    if held:
        yield held
