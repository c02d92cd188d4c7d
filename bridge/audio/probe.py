"""What a bounce is, by our own look at its header before any decoder opens it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio import bext, flac
from bridge.audio.chunks import CONTAINERS, WavLayout, read_chunk, read_layout, reading, size_bytes
from bridge.audio.containers import w64
from bridge.audio.headers import Kind, check_sizes, sniff, truncated, unfinished
from bridge.audio.layouts import channel_mask, flac_mask
from bridge.audio.leniency import STRICT, Leniency
from bridge.audio.libav import CodedSource
from bridge.audio.reader import SndfileSource, open_container
from bridge.audio.streams.opening import CODED, walked
from bridge.errors import (
    NoFrames,
    NotAudio,
    TooShortBounce,
    TruncatedBounce,
    UnsupportedBounce,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bridge.audio.length import Count

MAX_CHANNELS = 64
"""Above any speaker layout or stem format in use; a 619-byte file can claim thousands."""

MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 192_000
"""Telephone to the highest rate that DAWs render and that the resampler was measured at."""

MINIMUM_S = 0.025
"""About one hop of 1024 frames at 44.1 kHz: a shorter bounce has no spectrum to separate."""

MOST_FRAMES_PER_BYTE = 6_000
"""What the densest codecs come to: FLAC puts 65,535 equal frames into 11 bytes (RFC 9639
section 9), Opus 5,760 into one. A header that claims more is lying, whatever the codec."""

# Of one value, where the codec has one per frame and channel; by soundfile's names.
_VALUE_BYTES = {
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

# libsndfile claims 2**63 - 1 frames for a FLAC or AU of unknown length; 2**48 frames are
# 46 years at 192 kHz.
_NONSENSE_FRAMES = 1 << 48


@dataclass(frozen=True)
class AudioInfo:
    """What the header says, checked.

    `frames` is None where only decoding can tell (streamed FLAC, MP3). `subtype` is soundfile's
    name. `channel_mask` are WAVEFORMATEXTENSIBLE's speaker bits; `time_reference` is the position
    of the first frame in frames since midnight, None where the file has none. `open_end`: audio
    may be missing at the end, which is accepted; `claimed_frames` is then what the header promises,
    None where it does not tell. `count` is the length by the container, where `frames` is None and
    the two are to be compared after decoding. `warnings` go into the report.
    """

    container: str
    frames: int | None
    rate_hz: int
    channels: int
    subtype: str
    channel_mask: int | None
    extensible: bool
    time_reference: int | None
    open_end: bool = False
    claimed_frames: int | None = None
    count: Count | None = None
    warnings: tuple[str, ...] = ()


def probe(path: Path, leniency: Leniency = STRICT) -> AudioInfo:
    """Check a bounce's header against the limits and against the file's size.

    Raises EmptyBounce, NotAudio, UnsupportedBounce (channels, rate, codec), NoFrames,
    TruncatedBounce (also for a header that was never finished), TooShortBounce, and BounceChanged
    when the file is gone or cannot be read now. Where `leniency` accepts it, a truncated bounce
    with some audio is described as far as it goes.
    """
    with reading(path) as file:
        kind = sniff(file)
        riff = kind.container in CONTAINERS.values()
        info = _probe_riff(path, leniency) if riff else _probe_other(path, file, kind, leniency)
        info = _believable(info, size_bytes(file), leniency)
    if info.frames is not None:
        check_length(info.frames, info.rate_hz)
    return info


def _believable(info: AudioInfo, file_bytes: int, leniency: Leniency) -> AudioInfo:
    """Raise TruncatedBounce for more frames than a file of that size can hold in any codec."""
    if info.frames is None or info.frames <= MOST_FRAMES_PER_BYTE * file_bytes:
        return info
    if leniency.accept_truncated:
        return replace(info, frames=None, open_end=True, claimed_frames=info.frames)
    raise TruncatedBounce(
        f"cut off: its header claims {info.frames:,} frames, which {file_bytes:,} bytes cannot "
        "hold; render it again",
        present_bytes=file_bytes,
    )


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


def _probe_riff(path: Path, leniency: Leniency) -> AudioInfo:
    layout = read_layout(path)
    fmt = layout.fmt
    _check_limits(fmt.channels, fmt.rate_hz)
    check_codec(layout)
    cut = _accepted(lambda: _check_data(layout), leniency)
    claimed = frames_of(layout) if cut and cut.claimed_bytes and fmt.subtype else None
    layout = layout.present()
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
        open_end=cut is not None,
        claimed_frames=claimed,
    )


def _accepted(check: Callable[[], None], leniency: Leniency) -> TruncatedBounce | None:
    """What a check finds missing, if that is accepted and some audio is there; None for nothing."""
    try:
        check()
    except TruncatedBounce as cut:
        if not (leniency.accept_truncated and cut.present_bytes):
            raise
        return cut
    return None


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


def _probe_other(path: Path, file: BinaryIO, kind: Kind, leniency: Leniency) -> AudioInfo:
    file_bytes = size_bytes(file)
    cut = _accepted(lambda: check_sizes(file, kind, file_bytes), leniency)
    if kind.container == "FLAC":
        return _probe_flac(path, file, kind, leniency)
    if kind.container in CODED:
        return _probe_coded(file, kind, leniency)
    with _opened(path, kind.container, cut) as source:
        _check_limits(source.channels, source.rate_hz)
        frames: int | None = source.claimed_frames
        if not 0 <= source.claimed_frames < _NONSENSE_FRAMES:
            frames = None
        layout = w64.layout(path) if kind.container == "W64" else None
        if layout:
            frames = frames_of(layout.present())
        value_bytes = _VALUE_BYTES.get(source.subtype)
        claimed = None
        if cut and cut.claimed_bytes and value_bytes:
            claimed = cut.claimed_bytes // (value_bytes * source.channels)
        return AudioInfo(
            container=kind.container,
            frames=frames if layout or not cut else None,
            rate_hz=source.rate_hz,
            channels=source.channels,
            subtype=source.subtype,
            channel_mask=channel_mask(file, kind.container, source.channels),
            extensible=False,
            time_reference=None,
            open_end=cut is not None,
            claimed_frames=claimed,
        )


def _probe_coded(file: BinaryIO, kind: Kind, leniency: Leniency) -> AudioInfo:
    """What our own walk finds, and what the first packet decodes to."""
    walk = walked(file, kind)
    if walk.cut and not (leniency.accept_truncated and walk.cut.present_bytes):
        raise walk.cut
    for run in walk.runs:
        _check_limits(run.channels or 1, run.rate_hz)
    source = CodedSource(walk)
    _check_limits(source.channels, source.rate_hz)
    return AudioInfo(
        container=kind.container,
        frames=None if walk.cut else source.claimed_frames,
        rate_hz=source.rate_hz,
        channels=source.channels,
        subtype=source.subtype,
        channel_mask=source.channel_mask,
        extensible=False,
        time_reference=None,
        open_end=walk.cut is not None,
        claimed_frames=walk.claimed_frames,
        count=walk.count,
        warnings=walk.warnings,
    )


@contextmanager
def _opened(path: Path, container: str, cut: TruncatedBounce | None) -> Iterator[SndfileSource]:
    """See `open_container`; what it cannot do with the rest of a cut file, the cut explains."""
    with ExitStack() as stack:
        try:
            source = stack.enter_context(open_container(path, container))
        except UnsupportedBounce as error:
            raise cut or error from error
        yield source


def _probe_flac(path: Path, file: BinaryIO, kind: Kind, leniency: Leniency) -> AudioInfo:
    head = flac.read_head(file, kind.start)
    if head is None:
        raise NotAudio("damaged: a FLAC without STREAMINFO; export it again from the DAW")
    _check_limits(head.channels, head.rate_hz)
    found = _scanned(file, head)
    _accepted(lambda: _check_flac_end(file, found, head), leniency)
    # A FLAC does not state its bytes: whether the last frame is whole is known when it is decoded.
    # What is damaged in the middle is not merely cut off.
    open_end = leniency.accept_truncated and head.frames is not None and not found.resumes
    with open_container(path, kind.container) as source:
        _check_limits(source.channels, source.rate_hz)
        return AudioInfo(
            container=kind.container,
            frames=None if open_end else head.frames,
            rate_hz=source.rate_hz,
            channels=source.channels,
            subtype=source.subtype,
            channel_mask=flac_mask(file, kind.start, source.channels),
            extensible=False,
            time_reference=None,
            open_end=open_end,
            claimed_frames=head.frames if open_end else None,
        )


def _check_flac_end(file: BinaryIO, found: flac.Scan, head: flac.FlacHead) -> None:
    if head.frames is not None and 0 < found.frames < head.frames and not found.resumes:
        raise TruncatedBounce(
            f"cut off: its header claims {head.frames:,} frames, {found.frames:,} are there; "
            "render it again, or take what is there with --accept-truncated",
            present_bytes=size_bytes(file) - head.audio_offset,
        )


def _scanned(file: BinaryIO, head: flac.FlacHead) -> flac.Scan:
    """What the frame headers say. Raises UnsupportedBounce where they disagree among themselves."""
    found = flac.scan(file, head)
    if found.change:
        raise UnsupportedBounce(
            f"changes its {found.change} on the way (frame {found.frames:,}); export one format"
        )
    if head.frames is not None and found.frames > head.frames:
        raise UnsupportedBounce(
            f"its header says {head.frames:,} frames, but {found.frames:,} follow; export it again"
        )
    return found
