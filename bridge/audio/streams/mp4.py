"""MP4, M4A and QuickTime: audio counted by the sample tables, trimmed by the edit list."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

from bridge.audio.flac import CHANNEL_MASKS
from bridge.audio.layouts import of_layout
from bridge.audio.streams import demuxing, mp4_boxes
from bridge.audio.streams.buffer import Buffer
from bridge.audio.streams.demuxing import Packets
from bridge.audio.streams.gaps import trailing_bytes_warning
from bridge.audio.streams.model import Run, Walk
from bridge.errors import NoFrames, TruncatedBounce, UnsupportedBounce

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from bridge.audio.streams.demuxing import MediaStream
    from bridge.audio.streams.mp4_boxes import Edit, Movie, Track

_PROTECTED = {b"enca", b"drms"}
_ADVICE = "export it again, or take what is there with --accept-truncated"


def walk(file: BinaryIO, start: int, end: int) -> Walk:
    """Walk the first enabled audio track.

    Raises UnsupportedBounce (no audio, protected, unsupported edits), NoFrames, and TruncatedBounce
    without `moov`.
    """
    buffer = Buffer(file, start, end)
    movie, last = _movie(buffer)
    track = _sound_track(movie)
    found = demuxing.list_streams(file, "mov")
    stream = next((one for one in found if one.id == track.id), None)
    if stream is None or not stream.rate_hz:
        raise UnsupportedBounce("this MP4 has sound of an unknown kind; export WAV, AIFF or FLAC")
    run = _run(file, track, movie, stream)
    last = max(last, track.end)
    cut = None
    if last > end:
        cut = TruncatedBounce(
            f"cut off: its sound ends at byte {last:,}, the file at byte {end:,}; {_ADVICE}",
            present_bytes=end - start,
        )
    unread = 0 if last >= end or buffer.is_zero(last, end) else end - last
    return Walk(
        runs=(run,),
        subtype=stream.subtype,
        cut=cut,
        claimed_frames=run.sound_frames if cut else None,
        channel_mask=_channel_mask(track, stream),
        warnings=(*demuxing.other_streams_warning(stream, found), *trailing_bytes_warning(unread)),
    )


def _sound_track(movie: Movie) -> Track:
    """The first enabled one with sound; raises for one that is not read."""
    tracks = [track for track in movie.tracks if track.kind == b"soun"]
    if not tracks:
        raise UnsupportedBounce("a video without sound; export its sound as WAV")
    track = next((track for track in tracks if track.enabled), tracks[0])
    if track.coding in _PROTECTED:
        raise UnsupportedBounce("protected against copying; export WAV, AIFF or FLAC")
    if not track.duration or not track.timescale:
        raise NoFrames("a header without audio; render it again")
    return track


def _run(file: BinaryIO, track: Track, movie: Movie, stream: MediaStream) -> Run:
    place = _place(track, movie, stream.rate_hz)
    longest = -(-track.longest * stream.rate_hz // track.timescale)
    return Run(
        rate_hz=stream.rate_hz,
        channels=stream.channels,
        decode=partial(demuxing.decode_stream, file, "mov", stream, Packets(track.size_bytes)),
        # The last packet may be stated as long as the sound in it.
        coded_frames=_frames(track.duration, track.timescale, stream.rate_hz) + longest,
        slack_frames=longest,
        skip_frames=place.skip,
        frames=place.frames,
        lead_frames=place.lead,
    )


def _channel_mask(track: Track, stream: MediaStream) -> int | None:
    """By the container, or by what the channels of a FLAC mean."""
    if stream.channels <= 2:
        return None
    if stream.codec == "flac":
        return CHANNEL_MASKS.get(stream.channels)
    mask = of_layout(track.speakers)
    return mask if mask and mask.bit_count() == stream.channels else None


@dataclass(frozen=True)
class _Place:
    """Place of the audio in the decoder's output, and the silence in front of it, in frames."""

    skip: int
    frames: int
    lead: int = 0


def _place(track: Track, movie: Movie, rate_hz: int) -> _Place:
    """Place by the edit list; without one by iTunSMPB; else the whole output."""
    total = _frames(track.duration, track.timescale, rate_hz)
    gapless = _gapless(track, movie, rate_hz)
    edits = [edit for edit in track.edits if edit.duration or edit.media_time is not None]
    lead = 0
    while edits and edits[0].media_time is None:
        lead += _frames(edits.pop(0).duration, movie.timescale or 1, rate_hz)
    if not edits:
        skip, length = gapless or (0, total)
        return _Place(skip, min(length, max(total - skip, 0)), lead)
    skip = _frames(_one_piece(edits, track, movie), track.timescale, rate_hz)
    duration = sum(edit.duration for edit in edits)
    stated = _frames(duration, movie.timescale or 1, rate_hz) if duration else total
    rest = max(total - skip, 0)
    # Movies often count milliseconds: a count of frames within one millisecond takes precedence.
    tick = -(-rate_hz // (movie.timescale or 1))
    exact = gapless[1] if gapless and gapless[0] == skip else rest
    close = next((one for one in (exact, rest) if abs(one - stated) <= tick), stated)
    return _Place(skip, min(close, rest), lead)


def _one_piece(edits: Sequence[Edit], track: Track, movie: Movie) -> int:
    """Start of the audio in the track; raises UnsupportedBounce for more than one piece."""
    first = edits[0].media_time or 0
    expected = first
    for edit in edits:
        if edit.rate != 1:
            raise UnsupportedBounce(
                "its edit list changes the speed of its sound, which is not read; export WAV"
            )
        near = Fraction(2 * track.timescale, movie.timescale or 1)  # both are rounded
        if edit.media_time is None or abs(edit.media_time - expected) > near:
            raise UnsupportedBounce(
                f"its edit list puts its sound together from {len(edits)} pieces, which is not "
                "read; export WAV"
            )
        expected += _frames(edit.duration, movie.timescale or 1, track.timescale)
    return first


def _gapless(track: Track, movie: Movie, rate_hz: int) -> tuple[int, int] | None:
    """Delay and length by iTunSMPB, if they and its padding add up to the track's length."""
    if movie.gapless is None:
        return None
    delay, padding, length = movie.gapless
    packets = sum(count for count, _ in track.durations)
    whole = _frames(packets * track.longest, track.timescale, rate_hz)
    return (delay, length) if length and delay + length + padding == whole else None


def _frames(duration: int, timescale: int, rate_hz: int) -> int:
    """A duration in frames."""
    return round(Fraction(duration * rate_hz, timescale))


def _movie(buffer: Buffer) -> tuple[Movie, int]:
    """All tracks with their fragments, and the end of the last box, which may be behind the file.

    Raises UnsupportedBounce for joined files: the tables count from the start of each.
    """
    movie: Movie | None = None
    end = buffer.start
    for box in mp4_boxes.boxes(buffer, buffer.start, buffer.end):
        if not all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in box.type):
            break
        if box.type in {b"moov", b"ftyp"} and movie is not None:
            raise UnsupportedBounce("several MP4 files joined into one; take them apart")
        end = box.end
        if box.end > buffer.end:
            break
        if box.type == b"moov":
            movie = mp4_boxes.read_movie(buffer, box)
        elif box.type == b"moof" and movie is not None:
            mp4_boxes.add_fragment(buffer, box, movie)
    if movie is None:
        raise TruncatedBounce(
            "cut off or not finished: it has no moov box, in which an MP4 says where its sound "
            "lies; export it again"
        )
    return movie, end
