"""Audio data of a file as runs of bytes, with its header's claims."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from bridge.errors import NoFrames, TruncatedBounce, UnsupportedBounce

if TYPE_CHECKING:
    from bridge.audio.metadata.bext import ByteOrder

VALUE_BYTES = {
    "PCM_S8": 1,
    "PCM_U8": 1,
    "PCM_16": 2,
    "PCM_24": 3,
    "PCM_32": 4,
    "FLOAT": 4,
    "DOUBLE": 8,
    "ALAW": 1,
    "ULAW": 1,
}
"""Bytes of one value, for codecs with one per frame and channel, by soundfile's names."""

MOST_HELD_PER_BYTE = 5_000
"""Plausible frames of silence without bytes, per byte of file: hours in a file of music, seconds
in one of a few bytes."""

PCM = {1: "PCM_S8", 2: "PCM_16", 3: "PCM_24", 4: "PCM_32"}
"""soundfile's names of signed integers, by their bytes."""


@dataclass(frozen=True)
class Extent:
    """Run of bytes of audio; `size_bytes` is a claim until checked against the file.

    Size 0 is a silence without bytes: `held_frames` times the frame before it, or bytes of
    `silent_value` at the beginning of the file.
    """

    offset: int
    size_bytes: int
    held_frames: int = 0
    silent_value: bytes = b"\0"


@dataclass(frozen=True)
class SoundData:
    """Location of the audio in bytes, and its header's claims.

    Attributes:
        rate_hz, channels: as in the header, unchecked.
        subtype: soundfile's name of a codec with one value per frame and channel, else None.
        codec: name of the codec for messages.
        stream: container name (see `headers.sniff`) of the audio bytes taken by themselves; "" if
            they are not a file of their own.
        extents: in playing order.
        end: end of the container's data; at most the size of the file.
        file_bytes: size of the file.
        block_bytes, block_frames: of a codec with blocks of one size; else 0.
        counted_frames: by a table of the packets; None without one.
        stated_frames: length in a header field of its own; None without one.
        stated_by: name of that field.
        growing: the header is in the state that its writer leaves until the file is closed.
        open_ended: the header states an unknown length: the audio extends to the end of the file.
        warnings: irregularities of the audio, and data that is not read.
    """

    rate_hz: int
    channels: int
    subtype: str | None
    codec: str
    byte_order: ByteOrder
    extents: tuple[Extent, ...]
    end: int
    file_bytes: int
    stream: str = ""
    block_bytes: int = 0
    block_frames: int = 0
    counted_frames: int | None = None
    stated_frames: int | None = None
    stated_by: str = ""
    growing: bool = False
    open_ended: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame; 0 for a block codec."""
        return self.channels * VALUE_BYTES[self.subtype] if self.subtype else 0

    @property
    def claimed_bytes(self) -> int:
        """Bytes of audio by the header."""
        return sum(extent.size_bytes for extent in self.extents)

    @property
    def held_frames(self) -> int:
        """Frames of silence without bytes."""
        return sum(extent.held_frames for extent in self.extents)

    @property
    def frames(self) -> int:
        """Complete frames of a codec with one value per frame and channel."""
        return self.claimed_bytes // self.frame_bytes + self.held_frames

    def present(self) -> SoundData:
        """Return a copy limited to the bytes that the file holds.

        Where the writer never filled in the size, that is all that follows the header.
        """
        if self.extents and not self.claimed_bytes and not self.held_frames:
            first = self.extents[0]
            rest = replace(first, size_bytes=max(self.file_bytes - first.offset, 0))
            return replace(self, extents=(rest,))
        kept = []
        for extent in self.extents:
            size_bytes = min(extent.size_bytes, max(self.file_bytes - extent.offset, 0))
            if size_bytes or extent.held_frames:
                kept.append(replace(extent, size_bytes=size_bytes))
        return replace(self, extents=tuple(kept))


def check_sound_data(sound: SoundData) -> None:
    """Check the claimed bytes of audio against those present.

    Raises:
        NoFrames: the file has no audio.
        TruncatedBounce: the header claims more than follows, or was never finished.
        UnsupportedBounce: silence of an implausible length, or audio in pieces of which one but the
            last ends within a frame: the start of the next frame is ambiguous then.
    """
    if sound.held_frames > MOST_HELD_PER_BYTE * sound.file_bytes:
        raise UnsupportedBounce(
            f"damaged: claims {sound.held_frames:,} frames of silence within {sound.file_bytes:,} "
            "bytes; export it again from the DAW"
        )
    if not sound.claimed_bytes and not sound.held_frames:
        following_bytes = sound.file_bytes - (sound.extents[0].offset if sound.extents else 0)
        if sound.extents and sound.growing and following_bytes > 0:
            raise unfinished_error(following_bytes)
        raise NoFrames("a header without audio; render it again")
    present_bytes = sound.present().claimed_bytes
    if present_bytes < sound.claimed_bytes:
        raise truncated_error(sound.claimed_bytes, present_bytes)
    if not sound.subtype:
        return
    if any(extent.size_bytes % sound.frame_bytes for extent in sound.extents[:-1]):
        raise UnsupportedBounce(
            "its sound is in pieces of which one ends within a frame; export it again as one piece"
        )
    if not sound.frames:
        raise NoFrames("a header without audio; render it again")


def partial_frame_warning(file: BinaryIO, sound: SoundData) -> tuple[str, ...]:
    """Return the warning for an incomplete last frame; none for zeros that pad a file."""
    if not sound.extents or not sound.extents[-1].size_bytes:
        return ()
    last = sound.extents[-1]
    rest_bytes = last.size_bytes % sound.frame_bytes
    file.seek(last.offset + last.size_bytes - rest_bytes)
    if not file.read(rest_bytes).strip(b"\0"):
        return ()
    return (f"its last frame has {rest_bytes} of {sound.frame_bytes} bytes and is left out",)


def truncated_error(claimed_bytes: int, present_bytes: int) -> TruncatedBounce:
    """Error for audio that the header claims and the file lacks."""
    return TruncatedBounce(
        f"cut off: its header claims {claimed_bytes:,} bytes of audio, {present_bytes:,} are "
        "there; render it again, or take what is there with --accept-truncated",
        claimed_bytes=claimed_bytes,
        present_bytes=present_bytes,
    )


def unfinished_error(following_bytes: int) -> TruncatedBounce:
    """Error for a header whose size its writer has not filled in yet."""
    return TruncatedBounce(
        f"unfinished: its header says that there is no audio yet, but {following_bytes:,} bytes "
        "follow; let the render finish, or take what is there with --accept-truncated",
        present_bytes=following_bytes,
    )
