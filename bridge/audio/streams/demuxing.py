"""Audio tracks of a container: their list, and the decoded packets of one of them.

FFmpeg's libraries demux the container; the walks of this package count the packets to expect.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.audio import libav
from bridge.audio.streams.ogg_codecs import Opus
from bridge.audio.streams.subtypes import subtype_name
from bridge.audio.text import shown
from bridge.errors import BounceError, UnsupportedBounce

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import BinaryIO

    from av.audio.codeccontext import AudioCodecContext
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

# By ffmpeg's name of the format.
_WORDS = {
    "asf": "Windows Media",
    "matroska": "Matroska",
    "mov": "MP4",
    "mpegts": "MPEG transport stream",
    "wv": "WavPack",
}
# All packets of a track, whatever its edit list says: that is ours to read.
_ALL_PACKETS = {"mov": {"ignore_editlist": "1"}}

# Other decoders than ffmpeg's first choice: floats instead of 16 bits, the reference of Opus; and
# Vorbis without its first packet, which only prepares the second.
_DECODERS: dict[str, tuple[str, Mapping[str, str]]] = {
    "opus": ("libopus", Opus.options),
    "mp2": ("mp2float", {}),
    "vorbis": ("vorbis", {}),
}

_ESCAPED, _USAC = 31, 42  # audio object types of an AAC (ISO/IEC 14496-3 section 1.6.2)


@dataclass(frozen=True)
class Packets:
    """Expected packets of a track: their bytes and their number; None: not counted."""

    size_bytes: int | None
    count: int | None = None

    def check(self, size_bytes: int, count: int) -> None:
        """Raise BounceError if the container gave other packets than were counted."""
        for what, counted, read in (
            ("bytes", self.size_bytes, size_bytes),
            ("packets", self.count, count),
        ):
            if counted is not None and counted != read:
                raise BounceError(
                    f"damaged: {counted:,} {what} of sound were counted in it, {read:,} could be "
                    "read; export it again"
                )


@dataclass(frozen=True)
class MediaStream:
    """Audio track of a container.

    Attributes:
        index, id: in the container.
        codec: ffmpeg's name.
        format: ffmpeg's name of the sample format.
        extradata: codec configuration for the decoder.
        label: number, language and title, for messages.
    """

    index: int
    id: int
    codec: str
    format: str
    rate_hz: int
    channels: int
    extradata: bytes
    label: str

    @property
    def subtype(self) -> str:
        """soundfile's name of the codec if it has one, else ffmpeg's."""
        return subtype_name(self.codec, self.format, self.extradata)


def list_streams(file: BinaryIO, container: str) -> tuple[MediaStream, ...]:
    """List the audio tracks of an open file; `container` is ffmpeg's name of its format.

    A track without a decoder has an empty codec and the rate 0. Raises UnsupportedBounce if
    FFmpeg's libraries refuse the file.
    """
    with open_demuxer(file, container) as found:
        return tuple(_stream(number, one) for number, one in enumerate(found.streams.audio, 1))


def _stream(number: int, found: AudioStream) -> MediaStream:
    context: AudioCodecContext | None = found.codec_context
    if context is None:
        return MediaStream(
            found.index, found.id, "", "", 0, 0, b"", f"{number} (of an unknown kind)"
        )
    return MediaStream(
        index=found.index,
        id=found.id,
        codec=context.name,
        format=context.format.name if context.format else "",
        rate_hz=context.sample_rate,
        channels=_channels(context),
        extradata=context.extradata or b"",
        label=_label(number, context.name, found.metadata),
    )


def _label(number: int, codec: str, metadata: Mapping[str, str]) -> str:
    known = [codec, *(shown(metadata[name]) for name in ("language", "title") if name in metadata)]
    return f"{number} ({', '.join(word for word in known if word != 'und')})"


def other_streams_warning(chosen: MediaStream, found: Sequence[MediaStream]) -> tuple[str, ...]:
    """Return the warning for audio tracks beside the chosen one; empty without any."""
    left = [stream.label for stream in found if stream.index != chosen.index]
    if not left:
        return ()
    return (
        f"of {len(found)} tracks of sound only {chosen.label} was taken, not {', '.join(left)}",
    )


def decode_stream(
    file: BinaryIO, container: str, stream: MediaStream, expected: Packets
) -> Iterator[AudioFrame]:
    """Decode all packets of a track, without regard to delays and edits.

    Args:
        file: open for reading.
        container: ffmpeg's name of its format.
        stream: the track.
        expected: its packets by our own count.

    Raises:
        BounceError: the packets differ from those counted.
        av.FFmpegError: a packet does not decode.
    """
    import av
    from av.stream import Discard

    _check_layouts(stream)
    size_bytes = count = 0
    with open_demuxer(file, container, all_packets=True) as found:
        chosen = next(one for one in found.streams.audio if one.index == stream.index)
        for other in found.streams:
            if other.index != stream.index:
                other.discard = Discard.all  # is not even read
        own = _own_decoder(stream)
        context = own or _set(chosen.codec_context)
        for packet in found.demux(chosen):
            size_bytes += packet.size
            count += packet.size > 0
            # Its side data would have the decoder leave frames out.
            plain = av.Packet(bytes(packet)) if own and packet.size else packet
            yield from libav.decode(context, plain if packet.size else None)
    expected.check(size_bytes, count)


def _own_decoder(stream: MediaStream) -> AudioCodecContext | None:
    """Decoder that replaces ffmpeg's default for a codec; None to keep the default."""
    if stream.codec not in _DECODERS:
        return None
    name, options = _DECODERS[stream.codec]
    return libav.decoder(name, stream.extradata, options)


def _set(context: AudioCodecContext) -> AudioCodecContext:
    from av.codec.context import Flags2

    _channels(context)
    context.thread_count = 1
    context.flags2 |= int(Flags2.skip_manual)
    return context


def _channels(context: AudioCodecContext) -> int:
    """How many; and the container's layout of them is forgotten.

    PyAV frees a layout of another order than ffmpeg's own with each object that shows it, and the
    library frees it once more. Decoders that know a layout of their own still state it.
    """
    count = context.channels
    if count:
        context.layout = f"{count} channels"
    return count


def _check_layouts(stream: MediaStream) -> None:
    """Raise UnsupportedBounce for the one decoder that may state a layout of another order."""
    if stream.codec == "aac" and len(stream.extradata) > 1:
        packed = int.from_bytes(stream.extradata[:2], "big")
        kind = packed >> 11
        if kind == _ESCAPED and 32 + (packed >> 5 & 63) == _USAC:
            raise UnsupportedBounce("xHE-AAC, which is not read; export WAV, AIFF or FLAC")


@contextmanager
def open_demuxer(
    file: BinaryIO, container: str, *, all_packets: bool = False
) -> Iterator[InputContainer]:
    """Open a file with FFmpeg's demuxer for its container.

    Args:
        file: open for reading.
        container: ffmpeg's name of its format.
        all_packets: include packets that the edit list leaves out.

    Raises:
        UnsupportedBounce: the library refuses the file.
    """
    import av

    options = _ALL_PACKETS.get(container) if all_packets else None
    file.seek(0)
    try:
        found = av.open(file, "r", format=container, options=options, metadata_errors="ignore")
    except av.FFmpegError as error:
        raise UnsupportedBounce(
            f"this {_WORDS[container]} file cannot be read ({libav.error_text(error)}); "
            "export WAV, AIFF or FLAC"
        ) from error
    with found:
        yield found
