"""Streams of frames without a container: every frame header walked, all frames one run."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from bridge.audio import libav
from bridge.audio.streams.buffer import Buffer
from bridge.audio.streams.frame_walk import H, Places, Syntax, frames_of
from bridge.audio.streams.gaps import Gap, gap_warnings
from bridge.audio.streams.model import Run, Walk, check_agreement
from bridge.audio.streams.tag_blocks import sound_end
from bridge.errors import NotAudio, TruncatedBounce

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

    from av.audio.frame import AudioFrame


def walk_frames(
    file: BinaryIO,
    start: int,
    end: int,
    syntax: Syntax[H],
    *,
    codec: str,
    subtype: str,
    options: Mapping[str, str] | None = None,
) -> Walk:
    """Walk all frames between two byte offsets of a file.

    Args:
        file: open for reading.
        start, end: of the stream, in bytes.
        syntax: of its frames. Frames of length 0 belong to the frame in front of them.
        codec, options: of ffmpeg's decoder.
        subtype: name of the codec.

    Raises:
        NotAudio: no frame is found.
        UnsupportedBounce: rate or channels change, or most of the stream is not audio.
    """
    buffer = Buffer(file, start, end)
    sound = Buffer(file, start, sound_end(buffer))
    stretches, gaps = _stretches(sound, syntax)
    if not stretches:
        raise NotAudio(f"not audio: no {syntax.name} frame in it; export it again from the DAW")
    runs = tuple(
        Run(
            rate_hz=stretch.rate_hz,
            channels=stretch.channels,
            decode=partial(_decoded, sound, stretch.places, syntax, codec, options),
            coded_frames=stretch.frames,
            frames=stretch.frames,
        )
        for stretch in stretches
    )
    check_agreement(runs)
    first, last = stretches[0].places.start, stretches[-1].places.end
    cut = None
    if gaps and gaps[-1].incomplete and gaps[-1].at >= last:
        cut = TruncatedBounce(
            f"cut off: its last {syntax.name} frame is incomplete; render it again, or take what "
            "is there with --accept-truncated",
            present_bytes=last - first,
        )
    warnings = gap_warnings(gaps, syntax.name, first=first, last=last)
    return Walk(runs=runs, subtype=subtype, cut=cut, warnings=warnings)


def _stretches(sound: Buffer, syntax: Syntax[H]) -> tuple[list[_Stretch], list[Gap]]:
    """Frames that belong together, and what lies between frames."""
    stretches: list[_Stretch] = []
    gaps: list[Gap] = []
    for item in frames_of(sound, syntax):
        if isinstance(item, Gap):
            gaps.append(item)
            continue
        header = item.header
        if not stretches or header.form != stretches[-1].form:
            stretches.append(_Stretch(header.form, header.rate_hz, header.channels))
        stretches[-1].places.add(item)
        stretches[-1].frames += header.frames
    return stretches, gaps


@dataclass
class _Stretch:
    """Frames of one form."""

    form: object
    rate_hz: int
    channels: int | None
    frames: int = 0
    places: Places = field(default_factory=Places)


def _decoded(
    buffer: Buffer,
    places: Places,
    syntax: Syntax[H],
    codec: str,
    options: Mapping[str, str] | None,
) -> Iterator[AudioFrame]:
    return libav.decode_packets(codec, _packets(buffer, places, syntax), options=options)


def _packets(buffer: Buffer, places: Places, syntax: Syntax[H]) -> Iterator[bytes]:
    """Frames, each joined with the frames of length 0 that belong to it."""
    held = b""
    for at, header in places.headers(buffer, syntax):
        if held and header.frames:
            yield held
            held = b""
        held += buffer.at(at, header.size_bytes)
    yield held
