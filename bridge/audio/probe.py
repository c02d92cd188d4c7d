"""What a bounce is, by our own look at its header before any decoder opens it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio import bext, flac
from bridge.audio.chunks import CONTAINERS, WavLayout, read_chunk, read_layout, reading, size_bytes
from bridge.audio.headers import Kind, check_sizes, sniff, truncated, unfinished
from bridge.audio.reader import open_container
from bridge.errors import NoFrames, NotAudio, TooShortBounce, UnsupportedBounce

if TYPE_CHECKING:
    from pathlib import Path

MAX_CHANNELS = 64
"""Above any speaker layout or stem format in use; a 619-byte file can claim thousands."""

MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 192_000
"""Telephone to the highest rate that DAWs render and that the resampler was measured at."""

MINIMUM_S = 0.025
"""About one hop of 1024 frames at 44.1 kHz: a shorter bounce has no spectrum to separate."""

# libsndfile claims 2**63 - 1 frames for a FLAC or AU of unknown length; 2**48 frames are
# 46 years at 192 kHz.
_NONSENSE_FRAMES = 1 << 48


@dataclass(frozen=True)
class AudioInfo:
    """What the header says, checked.

    `frames` is None where only decoding can tell (streamed FLAC, MP3). `subtype` is soundfile's
    name. `channel_mask` are WAVEFORMATEXTENSIBLE's speaker bits; `time_reference` is the position
    of the first frame in frames since midnight, None where the file has none.
    """

    container: str
    frames: int | None
    rate_hz: int
    channels: int
    subtype: str
    channel_mask: int | None
    extensible: bool
    time_reference: int | None


def probe(path: Path) -> AudioInfo:
    """Check a bounce's header against the limits and against the file's size.

    Raises EmptyBounce, NotAudio, UnsupportedBounce (channels, rate, codec), NoFrames,
    TruncatedBounce (also for a header that was never finished), TooShortBounce, and BounceChanged
    when the file is gone or cannot be read now.
    """
    with reading(path) as file:
        kind = sniff(file)
        riff = kind.container in CONTAINERS.values()
        info = _probe_riff(path) if riff else _probe_other(path, file, kind)
    if info.frames is not None:
        check_length(info.frames, info.rate_hz)
    return info


def check_length(frames: int, rate_hz: int) -> None:
    """Raise NoFrames for nothing, TooShortBounce below MINIMUM_S."""
    if not frames:
        raise NoFrames("a header without audio; render it again")
    if frames < MINIMUM_S * rate_hz:
        raise TooShortBounce(
            f"too short: {frames:,} frames ({1000 * frames / rate_hz:.2f} ms), at least "
            f"{1000 * MINIMUM_S:.0f} ms are needed; render a longer range"
        )


def _check_limits(channels: int, rate_hz: int) -> None:
    if not 1 <= channels <= MAX_CHANNELS:
        raise UnsupportedBounce(
            f"{channels} channels; export 1 to {MAX_CHANNELS} channels from the DAW"
        )
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise UnsupportedBounce(
            f"a rate of {rate_hz:,} Hz; export {MIN_RATE_HZ:,} to {MAX_RATE_HZ:,} Hz from the DAW"
        )


def _probe_riff(path: Path) -> AudioInfo:
    layout = read_layout(path)
    fmt = layout.fmt
    _check_limits(fmt.channels, fmt.rate_hz)
    check_codec(layout)
    _check_data(layout)
    frames: int | None
    if fmt.subtype:
        subtype, frames = fmt.subtype, frames_of(layout)
    else:
        with open_container(path, layout.container) as source:
            subtype, frames = source.subtype, source.claimed_frames
    ref = layout.find(b"bext")
    time_reference = None
    if ref:
        with reading(path) as file:
            time_reference = bext.parse(read_chunk(file, ref), layout.byte_order).time_reference
    return AudioInfo(
        container=layout.container,
        frames=frames,
        rate_hz=fmt.rate_hz,
        channels=fmt.channels,
        subtype=subtype,
        channel_mask=fmt.channel_mask,
        extensible=fmt.extensible,
        time_reference=time_reference,
    )


def check_codec(layout: WavLayout) -> None:
    """Raise UnsupportedBounce for PCM and float widths that nobody can read for certain."""
    fmt = layout.fmt
    if fmt.tag not in {1, 3}:
        return
    kind = "float" if fmt.tag == 3 else "integer"
    if fmt.subtype is None:
        raise UnsupportedBounce(f"{fmt.bits}-bit {kind} audio; export 16, 24 or 32 bit")
    if fmt.padded:
        # The standards know no such header, writers put the bits at either end, and a decoder
        # that guesses wrong gives noise.
        raise UnsupportedBounce(
            f"{fmt.bits}-bit values in {fmt.block_bytes // fmt.channels} bytes each, which can be "
            f"read in two ways; export plain 24 or 32 bit"
        )


def _check_data(layout: WavLayout) -> None:
    present = layout.file_bytes - layout.data_offset
    if not layout.data_bytes:
        if present > 0 and layout.claimed_bytes + 8 < layout.file_bytes:
            raise unfinished(present)
        raise NoFrames("a header without audio; render it again")
    if layout.data_bytes > present:
        raise truncated(layout.data_bytes, max(present, 0))


def frames_of(layout: WavLayout) -> int:
    """Whole frames in the data chunk of a codec with one value per frame and channel."""
    return layout.data_bytes // (layout.fmt.value_bytes * layout.fmt.channels)


def _probe_other(path: Path, file: BinaryIO, kind: Kind) -> AudioInfo:
    file_bytes = size_bytes(file)
    check_sizes(file, kind, file_bytes)
    head = flac.read_head(file, kind.start) if kind.container == "FLAC" else None
    if kind.container == "FLAC":
        if head is None:
            raise NotAudio("damaged: a FLAC without STREAMINFO; export it again from the DAW")
        _check_limits(head.channels, head.rate_hz)
        _check_flac(file, head)
    with open_container(path, kind.container) as source:
        _check_limits(source.channels, source.rate_hz)
        claimed: int | None = source.claimed_frames
        if kind.container == "MP3" or not 0 <= source.claimed_frames < _NONSENSE_FRAMES:
            claimed = None  # an MP3's count is an estimate where its header lacks one
        return AudioInfo(
            container=kind.container,
            frames=head.frames if head else claimed,
            rate_hz=source.rate_hz,
            channels=source.channels,
            subtype=source.subtype,
            channel_mask=flac.CHANNEL_MASKS.get(source.channels) if head else None,
            extensible=False,
            time_reference=None,
        )


def _check_flac(file: BinaryIO, head: flac.FlacHead) -> None:
    found = flac.scan(file, head)
    if found.change:
        raise UnsupportedBounce(
            f"changes its {found.change} on the way (frame {found.frames:,}); export one format"
        )
    if head.frames is not None and found.frames > head.frames:
        raise UnsupportedBounce(
            f"its header says {head.frames:,} frames, but {found.frames:,} follow; export it again"
        )
