"""Probing of a bounce: its header is parsed here before any decoder opens it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio import flac
from bridge.audio.chunks import CONTAINERS, WavLayout, open_bounce, parse_layout, read_chunk
from bridge.audio.extents.coded import SoundLength, length_warning, sound_length
from bridge.audio.extents.locate import locate
from bridge.audio.extents.model import check_sound_data, partial_frame_warning
from bridge.audio.headers import DetectedContainer, check_sizes, sniff
from bridge.audio.joined_files import READ_IN_PARTS, Part, parts_of, unread_warning
from bridge.audio.layouts import channel_mask, flac_mask
from bridge.audio.length import Count
from bridge.audio.leniency import STRICT, Leniency
from bridge.audio.libav import CodedReader
from bridge.audio.metadata import bext
from bridge.audio.part_reader import open_part, stream_of
from bridge.audio.streams.buffer import Buffer
from bridge.audio.streams.registry import CODED, walk_container
from bridge.audio.streams.tag_blocks import unread_bytes
from bridge.audio.views import size_bytes
from bridge.errors import (
    NoFrames,
    NotAudio,
    TruncatedBounce,
    UnsupportedBounce,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bridge.audio.extents.model import SoundData

MAX_CHANNELS = 64
"""Above any speaker layout or stem format in use; a 619-byte file can claim thousands."""

MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 192_000
"""Telephone to the highest rate that DAWs render and that the resampler was measured at."""

MAX_FLAC_BITS = 24
"""Above, libsndfile has no decoder."""

MOST_FRAMES_PER_BYTE = 6_000
"""What the densest codecs come to: FLAC puts 65,535 equal frames into 11 bytes (RFC 9639
section 9), Opus 5,760 into one. A header that claims more is lying, whatever the codec."""


@dataclass(frozen=True)
class AudioInfo:
    """Checked header of a bounce.

    Attributes:
        container: as `headers.sniff` names it.
        frames: length; None if only decoding can tell (streamed FLAC, MP3).
        rate_hz, channels: within the limits of this module.
        subtype: soundfile's name.
        channel_mask: WAVEFORMATEXTENSIBLE's speaker bits; None if unknown.
        extensible: the header is WAVEFORMATEXTENSIBLE.
        time_reference: position of the first frame in frames since midnight; None if absent.
        open_end: audio may be missing at the end, which is accepted.
        claimed_frames: length by the header of such a bounce; None if not stated.
        count: length by the container, to be compared after decoding; only if `frames` is None.
        warnings: for the report.
        part: place of the sound file in the file, if known.
        parts: each of several joined files.
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
    part: Part | None = None
    parts: tuple[AudioInfo, ...] = ()


def probe(path: Path, leniency: Leniency = STRICT) -> AudioInfo:
    """Check a bounce's header against the limits and against the file's size.

    If `leniency` accepts it, a truncated bounce with some audio is described as far as it goes.

    Args:
        path: of the bounce.
        leniency: damage that is accepted.

    Raises:
        EmptyBounce, NotAudio, NoFrames: there is no audio.
        UnsupportedBounce: channels, rate or codec are not supported.
        TruncatedBounce: audio is missing, or the header was never finished.
        BounceChanged: the file is gone or cannot be read now.
    """
    with open_bounce(path) as file:
        kind = sniff(file)
        if kind.container in READ_IN_PARTS:
            info = _probe_parts(path, file, kind, leniency)
        else:
            info = _probe_other(file, kind, leniency)
        info = _believable(info, size_bytes(file), leniency)
    if info.frames == 0:
        raise NoFrames("a header without audio; render it again")
    return info


def _believable(info: AudioInfo, file_bytes: int, leniency: Leniency) -> AudioInfo:
    """Raise TruncatedBounce for more frames than a file of that size can hold in any codec.

    Raises NotAudio for a negative length, which libsndfile gives for a damaged packet table of a
    CAF.
    """
    if info.frames is not None and info.frames < 0:
        raise NotAudio("damaged: its header leads to a negative length; export it again")
    if info.frames is None or info.frames <= MOST_FRAMES_PER_BYTE * file_bytes:
        return info
    if leniency.accept_truncated:
        return replace(info, frames=None, open_end=True, claimed_frames=info.frames)
    raise TruncatedBounce(
        f"cut off: its header claims {info.frames:,} frames, which {file_bytes:,} bytes cannot "
        "hold; render it again",
        present_bytes=file_bytes,
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


def _probe_parts(
    path: Path, file: BinaryIO, kind: DetectedContainer, leniency: Leniency
) -> AudioInfo:
    """Probe joined files; only the last may be truncated."""
    found = parts_of(file, kind)
    infos: list[AudioInfo] = []
    empty: NoFrames | None = None
    for part in found.parts:
        known = leniency if part is found.parts[-1] else STRICT
        probe_part = _probe_flac if part.container == "FLAC" else _probe_located
        try:
            infos.append(probe_part(path, file, part, known))
        except NoFrames as error:
            empty = empty or error
    if not infos:
        raise empty or NoFrames("a header without audio; render it again")
    if infos[-1].open_end:  # what lies behind the end of its chunks is its sound
        found = replace(found, unread_bytes=0)
    return _joined(infos, found.warnings)


def _joined(infos: Sequence[AudioInfo], warnings: Sequence[str]) -> AudioInfo:
    """Combine the parts of a file. Raises UnsupportedBounce if their formats differ."""
    first, last = infos[0], infos[-1]
    warnings = (*(text for info in infos for text in info.warnings), *warnings)
    if len(infos) == 1:
        return replace(first, warnings=warnings)
    forms = [(info.rate_hz, info.channels, info.subtype) for info in infos]
    if other := next((form for form in forms if form != forms[0]), None):
        before, now = (
            f"{hz:,} Hz, {count} channels, {kind}" for hz, count, kind in (forms[0], other)
        )
        raise UnsupportedBounce(
            f"files that were joined into one and differ ({before}; {now}); split them"
        )
    lengths = [info.count.frames if info.count else info.frames for info in infos]
    frames = [length for length in lengths if length is not None]
    known = len(frames) == len(infos)
    claimed = None
    if last.claimed_frames is not None and known:
        claimed = sum(frames[:-1]) + last.claimed_frames
    exact = known and all(info.frames is not None for info in infos)
    return replace(
        first,
        frames=sum(frames) if exact else None,
        open_end=last.open_end,
        claimed_frames=claimed,
        count=Count(sum(frames), 0, "headers") if known and not exact else None,
        warnings=warnings,
        parts=tuple(infos),
    )


def _probe_located(path: Path, file: BinaryIO, part: Part, leniency: Leniency) -> AudioInfo:
    """Probe a container whose audio bytes can be located."""
    shown = part.of(file)
    sound = locate(shown, part.container)
    _check_limits(sound.channels, sound.rate_hz)
    layout = parse_layout(shown) if part.container in CONTAINERS.values() else None
    if layout:
        check_codec(layout)
    cut = _accepted(lambda: check_sound_data(sound), leniency)
    claimed = sound.frames if cut and cut.claimed_bytes and sound.subtype else None
    info = _probe_sound(path, file, part, sound.present(), leniency)
    fmt = layout.fmt if layout else None
    mask = fmt.channel_mask if fmt else channel_mask(shown, part.container, sound.channels)
    return replace(
        info,
        container=part.container,
        channel_mask=mask if info.channels == sound.channels else None,
        extensible=bool(fmt and fmt.extensible),
        time_reference=_time_reference(shown, layout) if layout else None,
        open_end=info.open_end or cut is not None,
        frames=info.frames if sound.subtype or not cut else None,
        claimed_frames=claimed or info.claimed_frames,
        warnings=(*sound.warnings, *(() if cut else info.warnings)),
        part=part,
    )


def _probe_sound(
    path: Path, file: BinaryIO, part: Part, sound: SoundData, leniency: Leniency
) -> AudioInfo:
    """Probe located audio; its length is that of its codec."""
    shown = part.of(file)
    if sound.stream in CODED:
        info = _probe_coded(stream_of(shown, sound), DetectedContainer(sound.stream, 0), leniency)
        return replace(info, warnings=(*info.warnings, *length_warning(sound, info.frames)))
    if sound.subtype:
        odd = (*partial_frame_warning(shown, sound), *length_warning(sound, sound.frames))
        subtype, length = sound.subtype, SoundLength(sound.frames, odd)
    else:
        with open_part(path, file, part, sound) as source:
            subtype, length = source.subtype, sound_length(sound, source.claimed_frames or 0)
    return AudioInfo(
        container=part.container,
        frames=length.frames,
        rate_hz=sound.rate_hz,
        channels=sound.channels,
        subtype=subtype,
        channel_mask=None,
        extensible=False,
        time_reference=None,
        warnings=length.warnings,
    )


def _time_reference(file: BinaryIO, layout: WavLayout) -> int | None:
    ref = layout.find(b"bext")
    return bext.parse(read_chunk(file, ref), layout.byte_order).time_reference if ref else None


def _accepted(size_check: Callable[[], None], leniency: Leniency) -> TruncatedBounce | None:
    """Run a size check; return its error if `leniency` accepts it and some audio is present."""
    try:
        size_check()
    except TruncatedBounce as cut:
        if not (leniency.accept_truncated and cut.present_bytes):
            raise
        return cut
    return None


def check_codec(layout: WavLayout) -> None:
    """Raise UnsupportedBounce for ambiguous widths of PCM and float."""
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


def _probe_other(file: BinaryIO, kind: DetectedContainer, leniency: Leniency) -> AudioInfo:
    _accepted(lambda: check_sizes(file, kind, size_bytes(file)), leniency)
    return _probe_coded(file, kind, leniency)


def _probe_coded(file: BinaryIO, kind: DetectedContainer, leniency: Leniency) -> AudioInfo:
    """Probe coded audio by a walk and by decoding its first packet."""
    walk = walk_container(file, kind)
    if walk.cut and not (leniency.accept_truncated and walk.cut.present_bytes):
        raise walk.cut
    for run in walk.runs:
        _check_limits(run.channels or 1, run.rate_hz)
    source = CodedReader(walk)
    _check_limits(source.channels, source.rate_hz)
    # Where the container has no exact length, only decoding tells whether something is missing.
    open_end = walk.cut is not None or (leniency.accept_truncated and walk.count is not None)
    return AudioInfo(
        container=kind.container,
        frames=None if walk.cut else source.claimed_frames,
        rate_hz=source.rate_hz,
        channels=source.channels,
        subtype=source.subtype,
        channel_mask=source.channel_mask or walk.channel_mask,
        extensible=False,
        time_reference=None,
        open_end=open_end,
        claimed_frames=walk.claimed_frames,
        count=walk.count,
        warnings=walk.warnings,
    )


def _probe_flac(path: Path, file: BinaryIO, part: Part, leniency: Leniency) -> AudioInfo:
    shown = part.of(file)
    head = flac.read_head(shown, 0)
    if head is None:
        raise NotAudio("damaged: a FLAC without STREAMINFO; export it again from the DAW")
    _check_limits(head.channels, head.rate_hz)
    if head.bits > MAX_FLAC_BITS:
        raise UnsupportedBounce(
            f"a FLAC of {head.bits} bits, which is not read; export FLAC of 24 bits, or WAV"
        )
    found = _scanned(shown, head)
    _accepted(lambda: _check_flac_end(shown, found, head), leniency)
    # A FLAC does not state its bytes: whether the last frame is whole is known when it is decoded.
    # What is damaged in the middle is not merely cut off.
    open_end = leniency.accept_truncated and head.frames is not None and not found.resumes
    counted = found.frames if not found.resumes and found.frames else None
    unread = unread_bytes(Buffer(shown, 0, size_bytes(shown)), flac.last_block_end(head, found))
    with open_part(path, file, part, None) as source:
        _check_limits(source.channels, source.rate_hz)
        return AudioInfo(
            container=part.container,
            frames=None if open_end else head.frames,
            rate_hz=source.rate_hz,
            channels=source.channels,
            subtype=source.subtype,
            channel_mask=flac_mask(shown, 0, source.channels),
            extensible=False,
            time_reference=None,
            open_end=open_end,
            claimed_frames=head.frames if open_end else None,
            count=Count(counted, 0, "frame headers") if counted else None,
            warnings=unread_warning(unread) if counted else (),
            part=part,
        )


def _check_flac_end(file: BinaryIO, found: flac.FrameScan, head: flac.FlacHead) -> None:
    if head.frames is not None and 0 < found.frames < head.frames and not found.resumes:
        raise TruncatedBounce(
            f"cut off: its header claims {head.frames:,} frames, {found.frames:,} are there; "
            "render it again, or take what is there with --accept-truncated",
            present_bytes=size_bytes(file) - head.audio_offset,
        )


def _scanned(file: BinaryIO, head: flac.FlacHead) -> flac.FrameScan:
    """Scan the frame headers. Raises UnsupportedBounce if they disagree."""
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
