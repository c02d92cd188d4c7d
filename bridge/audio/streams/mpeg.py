"""MPEG audio (MP3, layers I and II): every frame header walked, tags and gaps skipped.

Sources: ISO/IEC 11172-3 section 2.4.1.3 and 13818-3 (headers), with Fraunhofer's version 2.5 for
low rates; the Xing/Info frame with LAME's extension ("Mp3 Info Tag revision 1"); Fraunhofer's VBRI.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from bridge.audio import libav
from bridge.audio.streams.buffer import Buffer
from bridge.audio.streams.frame_walk import Frame, Places, Syntax, frames_of
from bridge.audio.streams.gaps import Gap, gap_warnings
from bridge.audio.streams.model import Run, Walk, check_agreement
from bridge.audio.streams.tag_blocks import sound_end
from bridge.errors import BounceError, NoFrames, NotAudio, TruncatedBounce, UnsupportedBounce

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from av.audio.frame import AudioFrame

_RATES_HZ = (44_100, 48_000, 32_000)  # of version 1
_KBPS = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_DECODERS = {1: "mp1float", 2: "mp2float", 3: "mp3float"}
_SUBTYPES = {1: "MPEG_LAYER_I", 2: "MPEG_LAYER_II", 3: "MPEG_LAYER_III"}

_INFO_BYTES = 256  # of a frame: the longest information begins at byte 38 and has 156
_LAME_BYTES = 24  # of LAME's extension, up to its delays

_DECODER_DELAY_FRAMES = 529  # 528 + 1 of the synthesis filter bank, LAME's "decoder delay"


@dataclass(frozen=True)
class Header:
    """Frame header; size_bytes: of the whole frame."""

    layer: int
    version: float
    rate_hz: int
    channels: int
    frames: int
    size_bytes: int

    @property
    def form(self) -> object:
        """See `frame_walk.Header`."""
        return self.layer, self.version, self.rate_hz, self.channels


@dataclass(frozen=True)
class Info:
    """Information frame (Xing, Info, VBRI), which holds no audio.

    Attributes:
        frames: MPEG frames that follow; None if not stated.
        size_bytes: of the stream with this frame; None if not stated.
        delay_frames, padding_frames: of the encoder; None if not stated.
    """

    frames: int | None
    size_bytes: int | None
    delay_frames: int | None = None
    padding_frames: int = 0


@lru_cache(maxsize=4096)
def parse(head: bytes) -> Header | None:
    """Parse four bytes; None if they are no frame header."""
    if len(head) < 4 or head[0] != 0xFF or head[1] >> 5 != 7:
        return None
    version_code, layer_code = head[1] >> 3 & 3, head[1] >> 1 & 3
    rate_code, kbps_code = head[2] >> 2 & 3, head[2] >> 4
    if version_code == 1 or layer_code == 0 or rate_code == 3 or kbps_code in {0, 15}:
        return None  # reserved, or of free format
    layer = 4 - layer_code
    version = {3: 1.0, 2: 2.0, 0: 2.5}[version_code]
    rate_hz = _RATES_HZ[rate_code] // {1.0: 1, 2.0: 2, 2.5: 4}[version]
    frames = {1: 384, 2: 1152, 3: 1152 if version == 1 else 576}[layer]
    kbps = _KBPS[1 if version == 1 else 2, layer][kbps_code]
    slot_bytes = 4 if layer == 1 else 1
    slots = frames // 8 * kbps * 1000 // (rate_hz * slot_bytes) + (head[2] >> 1 & 1)
    channels = 1 if head[3] >> 6 == 3 else 2
    return Header(layer, version, rate_hz, channels, frames, slots * slot_bytes)


SYNTAX = Syntax("MPEG audio", b"\xff", 4, parse)


def walk(file: BinaryIO, start: int, end: int) -> Walk:
    """Walk an MPEG audio stream between two byte offsets of a file.

    Joined files become one run each, as far as their information frames separate them.

    Raises:
        NotAudio: no frame is found.
        NoFrames: there is only an information frame.
        UnsupportedBounce: free format, changes of rate or channels, or a stream that is mostly not
            audio.
    """
    buffer = Buffer(file, start, end)
    sound = Buffer(file, start, sound_end(buffer))
    runs: list[_Run] = []
    gaps: list[Gap] = []
    for item in frames_of(sound, SYNTAX):
        if isinstance(item, Gap):
            gaps.append(item)
            continue
        info = _info(sound, item)
        if not runs or info or not runs[-1].takes(item, sound):
            runs.append(_Run(item.at, item.header, info))
        runs[-1].add(item, info)
    if not runs:
        raise _nothing(buffer.at(start, 4))
    runs = [run for run in runs if run.count]
    if not runs:
        raise NoFrames("an MP3 header without audio; export it again from the DAW")
    cut = _cut(runs, gaps)
    found = tuple(
        run.run(sound, whole=not run.missing and (cut is None or run is not runs[-1]))
        for run in runs
    )
    check_agreement(found)
    warnings = gap_warnings(gaps, "MPEG audio", first=runs[0].start, last=runs[-1].end)
    return Walk(
        runs=found,
        subtype=_SUBTYPES[runs[0].header.layer],
        cut=cut,
        claimed_frames=_claimed_frames(runs) if cut else None,
        warnings=(*warnings, *_missing(runs if cut is None else runs[:-1])),
    )


class _Run:
    """Frames of one encoder, collected while walking."""

    def __init__(self, start: int, header: Header, info: Info | None) -> None:
        self.start = self.end = start
        self.header = header
        self.info = info
        self.count = 0
        self._places = Places()

    def add(self, frame: Frame[Header], info: Info | None) -> None:
        """Count a frame that holds audio."""
        self.end = frame.end
        if info is None:
            self.count += 1
            self._places.add(frame)

    def takes(self, frame: Frame[Header], buffer: Buffer) -> bool:
        """Return whether a frame continues this run; otherwise it begins a joined file."""
        if frame.header.form != self.header.form:
            return False
        announced = self.info.frames if self.info else None
        return announced is None or self.count != announced or not _begins(frame, buffer)

    @property
    def missing(self) -> int:
        """Frames that were announced and are missing."""
        if self.info is None or self.info.frames is None:
            return 0
        missing = max(self.info.frames - self.count, 0)
        # Some encoders count the information frame, too.
        stated_bytes = self.info.size_bytes
        complete = stated_bytes is None or stated_bytes <= self.end - self.start
        return 0 if missing == 1 and complete else missing

    @property
    def promised_frames(self) -> int:
        """Length of the audio if nothing were missing."""
        total = (self.count + self.missing) * self.header.frames
        skip, padding = self._around(total)
        return total - skip - padding

    def _around(self, total: int) -> tuple[int, int]:
        """Frames in front of the audio and behind it, out of `total`; mpg123 counts alike."""
        if self.info is None or self.info.delay_frames is None:
            return 0, 0
        skip = self.info.delay_frames + _DECODER_DELAY_FRAMES
        # Where more follows than was announced, the padding is not at the end.
        announced = self.count <= (self.info.frames or 0)
        padding = max(self.info.padding_frames - _DECODER_DELAY_FRAMES, 0) if announced else 0
        return (skip, padding) if skip + padding < total else (0, 0)

    def run(self, buffer: Buffer, *, whole: bool) -> Run:
        """Return the finished run; whole: its last frame and padding are present."""
        total = self.count * self.header.frames
        skip, padding = self._around(total)
        padding = padding if whole else 0
        return Run(
            rate_hz=self.header.rate_hz,
            channels=self.header.channels,
            decode=partial(_decoded, _DECODERS[self.header.layer], buffer, self._places),
            coded_frames=total,
            skip_frames=skip,
            frames=total - skip - padding,
        )


def _nothing(head: bytes) -> BounceError:
    """Error for a file in which no frame was found."""
    if len(head) == 4 and head[2] >> 4 == 0 and parse(head[:2] + b"\x90" + head[3:]):
        return UnsupportedBounce("free-format MPEG audio, which is not read; export WAV or FLAC")
    return NotAudio("not audio: no MPEG audio frame in it; export it again from the DAW")


def _begins(frame: Frame[Header], buffer: Buffer) -> bool:
    """Whether a frame needs no bits of those before it, like the first of a file."""
    head = buffer.at(frame.at, 8)
    at = 4 if head[1] & 1 else 6  # behind a checksum
    bits = 9 if frame.header.version == 1 else 8  # of main_data_begin
    return frame.header.layer != 3 or int.from_bytes(head[at : at + 2], "big") >> 16 - bits == 0


def _decoded(codec: str, buffer: Buffer, places: Places) -> Iterator[AudioFrame]:
    packets = (buffer.at(at, one.size_bytes) for at, one in places.headers(buffer, SYNTAX))
    return libav.decode_packets(codec, packets)


def _cut(runs: list[_Run], gaps: list[Gap]) -> TruncatedBounce | None:
    """Error for audio missing at the end of the last run or of one before it."""
    last = runs[-1]
    advice = "render it again, or take what is there with --accept-truncated"
    present = last.end - runs[0].start
    if gaps and gaps[-1].incomplete and gaps[-1].at >= last.end:
        return TruncatedBounce(
            f"cut off: its last MPEG frame is incomplete; {advice}", present_bytes=present
        )
    if last.missing and not any(last.start <= gap.at < last.end for gap in gaps):
        return TruncatedBounce(
            f"cut off: its header claims {last.count + last.missing:,} MPEG frames, "
            f"{last.count:,} are there; {advice}",
            present_bytes=present,
        )
    return None


def _missing(runs: list[_Run]) -> Iterator[str]:
    """Warnings for runs with fewer frames than their information frame announces."""
    for run in runs:
        if run.missing:
            yield (
                f"{run.missing:,} of {run.count + run.missing:,} MPEG frames that are announced at "
                f"byte {run.start:,} are missing"
            )


def _claimed_frames(runs: list[_Run]) -> int | None:
    """Frames of audio by the information frames; None if the last run has none."""
    if not runs[-1].missing:
        return None
    return sum(run.promised_frames for run in runs)


def _info(buffer: Buffer, frame: Frame[Header]) -> Info | None:
    """Information frame in place of audio; None for an audio frame."""
    header = frame.header
    if header.layer != 3:
        return None
    head = buffer.at(frame.at, min(header.size_bytes, _INFO_BYTES))
    if head[36:40] == b"VBRI" and len(head) >= 54:
        size_bytes, frames = (int.from_bytes(head[n : n + 4], "big") for n in (46, 50))
        return Info(frames or None, size_bytes or None)
    side_bytes = (32, 17) if header.version == 1 else (17, 9)
    place = 4 + side_bytes[header.channels == 1]
    # LAME leaves the two bytes of a checksum out of account, others do not.
    found = (n for n in (place, place + 2) if head[n : n + 4] in {b"Xing", b"Info"})
    at = next(found, None)
    return None if at is None else _xing(head[at + 4 :])


def _xing(data: bytes) -> Info:
    """The fields behind "Xing" or "Info", as far as its flags announce them."""
    flags = int.from_bytes(data[:4], "big")
    at = 4
    values: list[int | None] = []
    for flag, size in ((1, 4), (2, 4), (4, 100), (8, 4)):  # frames, bytes, table, quality
        here = flags & flag
        values.append(int.from_bytes(data[at : at + size], "big") if here else None)
        at += size if here else 0
    frames, size_bytes = values[:2]
    lame = data[at : at + _LAME_BYTES]
    if frames is None:
        return Info(None, size_bytes)
    if len(lame) < _LAME_BYTES or not lame[0]:  # no encoder's name
        return Info(frames, size_bytes, delay_frames=0)
    delays = int.from_bytes(lame[21:24], "big")
    return Info(frames, size_bytes, delays >> 12, delays & 0xFFF)
