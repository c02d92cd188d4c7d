"""FFmpeg's decoders (PyAV) behind the interface of `sndfile.SoundReader`.

Imported late: `av` costs some 45 ms, and most bounces do not need it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge.errors import BounceError, NoFrames, UnsupportedBounce

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from av.audio.codeccontext import AudioCodecContext
    from av.audio.frame import AudioFrame
    from av.packet import Packet
    from numpy.typing import NDArray

    from bridge.audio.streams.model import Run, Walk

    Block = NDArray[np.float32]

# ffmpeg's names of the channels in the order of WAVEFORMATEXTENSIBLE's bits, which is its own.
_SPEAKERS = (
    *("FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR"),
    *("TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR"),
)

# What ffmpeg's decoders give, by its names of the formats, planar ones without their "p".
_DTYPES: dict[str, type[np.generic]] = {
    "u8": np.uint8,
    "s16": np.int16,
    "s32": np.int32,
    "flt": np.float32,
    "dbl": np.float64,
}

_MOST_PLANES = 8  # AV_NUM_DATA_POINTERS


@dataclass(frozen=True)
class DecodedFormat:
    """Output format of a decoder: the rate, and the channels by ffmpeg's names."""

    rate_hz: int
    speakers: tuple[str, ...]

    @property
    def mask(self) -> int | None:
        """WAVEFORMATEXTENSIBLE's speaker bits; None for one or two channels."""
        # Other layouts (ambisonics, objects) have no speakers.
        if len(self.speakers) <= 2 or not set(self.speakers) <= set(_SPEAKERS):
            return None
        return sum(1 << _SPEAKERS.index(name) for name in self.speakers)

    def check(self, first: DecodedFormat, done_frames: int) -> None:
        """Raise UnsupportedBounce if this differs from the format of the first frame."""
        for what, before, now in (
            ("sample rate", first.rate_hz, self.rate_hz),
            ("channel count", len(first.speakers), len(self.speakers)),
            ("channel layout", " ".join(first.speakers), " ".join(self.speakers)),
        ):
            if before != now:
                raise UnsupportedBounce(
                    f"changes its {what} from {before} to {now} on the way (frame "
                    f"{done_frames:,}); export one format"
                )


class CodedReader:
    """Reader of a walked file's audio; see `sndfile.SoundReader`.

    claimed_frames: by the walk; None if only decoding can tell.

    Raises NoFrames if nothing is decoded, BounceError if the first packet does not decode.
    """

    located = False

    def __init__(self, walk: Walk) -> None:
        self.subtype = walk.subtype
        self._blocks = _sound(walk.runs)
        first = next(self._blocks, None)
        if first is None:
            raise NoFrames("a header without audio; render it again")
        form, block = first
        self._pieces = [block]
        self._held_frames = block.shape[1]
        self._error: BounceError | None = None
        self.rate_hz = form.rate_hz
        self.channels = len(form.speakers)
        self.channel_mask = form.mask
        scale = max(form.rate_hz // walk.runs[0].rate_hz, 1)
        lengths = [run.sound_frames for run in walk.runs]
        known = [length for length in lengths if length is not None]
        self.claimed_frames = sum(known) * scale if len(known) == len(lengths) else None

    def read(self, frames: int) -> Block:
        """Read the next block: (channels, up to `frames`) float32, empty at the end.

        Audio decoded before an error is returned first; the next call raises the error. Raises
        BounceError for packets that do not decode, or to another length than was counted.
        """
        self._fill(frames)
        if self._error and not self._held_frames:
            raise self._error
        empty = np.zeros((self.channels, 0), np.float32)
        joined = np.concatenate((empty, *self._pieces), axis=1)
        self._pieces = [joined[:, frames:]]
        self._held_frames = self._pieces[0].shape[1]
        return np.ascontiguousarray(joined[:, :frames])

    def _fill(self, frames: int) -> None:
        """Hold at least `frames` frames, as far as there are any."""
        while self._held_frames < frames and self._error is None:
            try:
                found = next(self._blocks, None)
            except BounceError as error:
                self._error = error
                return
            if found is None:
                return
            self._pieces.append(found[1])
            self._held_frames += found[1].shape[1]


def _sound(runs: Sequence[Run]) -> Iterator[tuple[DecodedFormat, Block]]:
    """Audio of all runs; raises UnsupportedBounce if its format changes."""
    first: DecodedFormat | None = None
    done_frames = 0
    for run in runs:
        for form, block in _sound_of(run, done_frames):
            first = first or form
            form.check(first, done_frames)
            done_frames += block.shape[1]
            yield form, block


def _sound_of(run: Run, before_frames: int) -> Iterator[tuple[DecodedFormat, Block]]:
    """Decoded audio of a run, without its delay and padding.

    before_frames: length of the runs before it, for messages. Raises BounceError if its length
    differs from the count.
    """
    decoded = given = 0
    scale = 1
    end = _End()
    known: dict[tuple[int, str], DecodedFormat] = {}
    try:
        for frame in _readable(run.decode()):
            form = _form(frame, known)
            scale = max(form.rate_hz // run.rate_hz, 1)
            block = _values(frame)
            if not decoded and run.lead_frames:
                yield form, np.zeros((len(block), run.lead_frames * scale), np.float32)
            skipped = min(max(run.skip_frames * scale - decoded, 0), block.shape[1])
            left = None if run.frames is None else run.frames * scale - given
            decoded += block.shape[1]
            sound = block[:, skipped : None if left is None else skipped + left]
            sound = end.kept_back(sound, run.tail_frames * scale)
            given += sound.shape[1]
            yield form, sound
    except failure() as error:
        raise BounceError(
            f"damaged after frame {before_frames + given:,} ({error_text(error)}); "
            "export it again from the DAW"
        ) from error
    counted = None if run.coded_frames is None else run.coded_frames * scale
    if counted is not None and not counted - run.slack_frames * scale <= decoded <= counted:
        raise BounceError(
            f"damaged: {counted:,} frames were counted in it, {decoded:,} could be decoded; "
            "export it again from the DAW"
        )


class _End:
    """Holds back the last frames, which are padding."""

    def __init__(self) -> None:
        self._kept: Block | None = None

    def kept_back(self, block: Block, frames: int) -> Block:
        """Return the frames that are certainly audio, now that `block` has been decoded."""
        if not frames:
            return block
        joined = block if self._kept is None else np.concatenate((self._kept, block), axis=1)
        passed = max(joined.shape[1] - frames, 0)
        self._kept = joined[:, passed:]
        return joined[:, :passed]


def decode_packets(
    codec: str,
    packets: Iterator[bytes],
    *,
    extradata: bytes = b"",
    options: Mapping[str, str] | None = None,
) -> Iterator[AudioFrame]:
    """Decode packets that a walk of this package found.

    Args:
        codec: ffmpeg's name of the decoder.
        packets: in order.
        extradata: codec configuration for the decoder.
        options: of the decoder.

    Raises:
        av.FFmpegError: a packet does not decode.
    """
    import av

    context = decoder(codec, extradata, options)
    for packet in chain((av.Packet(data) for data in packets if data), (None,)):
        yield from decode(context, packet)


def decoder(
    codec: str, extradata: bytes = b"", options: Mapping[str, str] | None = None
) -> AudioCodecContext:
    """Create one of ffmpeg's decoders, by its name."""
    import av

    context: AudioCodecContext = av.CodecContext.create(codec, "r")  # type: ignore[assignment]
    context.thread_count = 1  # the same bytes each time, and no threads beside those of the model
    context.options = dict(options or {})
    if extradata:
        context.extradata = extradata
    return context


def decode(context: AudioCodecContext, packet: Packet[Any] | None) -> Iterator[AudioFrame]:
    """Decode one packet; None flushes the decoder."""
    import av

    try:
        yield from context.decode(packet)
    except av.EOFError:  # nothing held
        if packet is not None:
            raise


def _readable(frames: Iterator[AudioFrame]) -> Iterator[AudioFrame]:
    """The same, with planes that can be read.

    PyAV counts the planes of a frame up to a null pointer, which is certain to follow for up to 8
    channels only. More are interleaved by ffmpeg's libraries, value for value.
    """
    import av

    packers: dict[tuple[str, int, str], Any] = {}
    for frame in frames:
        if not frame.format.is_planar or frame.layout.nb_channels <= _MOST_PLANES:
            yield frame
            continue
        name = frame.format.name
        key = name, frame.sample_rate, frame.layout.name
        if key not in packers:
            packers[key] = av.AudioResampler(format=name.removesuffix("p"))
        yield from packers[key].resample(frame)
    for packer in packers.values():
        yield from packer.resample(None)


def _form(frame: AudioFrame, known: dict[tuple[int, str], DecodedFormat]) -> DecodedFormat:
    """Format of a frame; known: cache of the formats of earlier frames."""
    key = frame.sample_rate, frame.layout.name
    if key not in known:
        known[key] = DecodedFormat(
            frame.sample_rate, tuple(one.name for one in frame.layout.channels)
        )
    return known[key]


def _values(frame: AudioFrame) -> Block:
    """(channels, frames) float32; integers as value / 2**(bits - 1)."""
    dtype = _DTYPES[frame.format.name.removesuffix("p")]
    channels, frames = frame.layout.nb_channels, frame.samples
    if frame.format.is_planar:
        planes = frame.planes[:channels]
        rows = [np.frombuffer(memoryview(plane), dtype, frames) for plane in planes]
        data = np.stack(rows) if len(rows) > 1 else rows[0][np.newaxis]
    else:
        values = np.frombuffer(memoryview(frame.planes[0]), dtype, frames * channels)
        data = values.reshape(-1, channels).T
    if dtype == np.uint8:
        return (data.astype(np.float32) - np.float32(128)) / np.float32(128)
    if dtype == np.int16:
        return data.astype(np.float32) / np.float32(2**15)
    if dtype == np.int32:  # exact up to 24 bits, and rounded once beyond
        return (data.astype(np.float64) / 2.0**31).astype(np.float32)
    return data.astype(np.float32)


def failure() -> type[Exception]:
    """What ffmpeg's libraries raise."""
    import av

    return av.FFmpegError


def error_text(error: Exception) -> str:
    """Text of a libav error, for a message."""
    reason = getattr(error, "strerror", None) or type(error).__name__
    return " ".join(str(reason).split()).rstrip(". ")
