"""Ogg: walks every page of every link of a chain, and counts frames by pages and by packets."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from bridge.audio import libav
from bridge.audio.streams.buffer import Buffer
from bridge.audio.streams.gaps import Gap, gap_warnings
from bridge.audio.streams.model import Run, Walk, check_agreement
from bridge.audio.streams.ogg_codecs import codec_of
from bridge.audio.streams.ogg_pages import Page, is_intact, packets, pages
from bridge.errors import BounceError, NoFrames, TruncatedBounce, UnsupportedBounce

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from av.audio.frame import AudioFrame

    from bridge.audio.streams.ogg_codecs import Codec

_MAX_LINKS = 10_000  # a day of radio has some hundred titles
_MAX_STREAMS = 64  # beside each other, in one link


def walk(file: BinaryIO, start: int, end: int) -> Walk:
    """Walk an Ogg stream between two byte offsets of a file.

    In each link, the first of several concurrent streams with audio is taken.

    Raises UnsupportedBounce if there is no supported audio or the links differ, NoFrames, and
    BounceError for missing and damaged pages.
    """
    buffer = Buffer(file, start, end)
    links, gaps = _links(buffer)
    streams = [stream for link in links if (stream := _stream(buffer, link)) is not None]
    if not streams:
        raise UnsupportedBounce(
            "an Ogg without Vorbis, Opus, FLAC or Speex, which is not read; export WAV or FLAC"
        )
    counts = [stream.count() for stream in streams]
    found = [each for each in zip(streams, counts, strict=True) if each[1].decoded]
    cut = _cut(links[-1], gaps, counts[-1], *(found[-1] if found else ()))
    if not found:
        raise cut or NoFrames("a header without audio; render it again")
    runs = tuple(stream.run(count) for stream, count in found)
    check_agreement(runs)
    stream, count = found[-1]
    claimed = stream.claimed_frames(count) - runs[-1].skip_frames
    return Walk(
        runs=runs,
        subtype=streams[0].codec.subtype,
        cut=cut,
        claimed_frames=claimed if cut and len(runs) == 1 and claimed > count.decoded else None,
        warnings=(
            *gap_warnings(gaps, "Ogg", first=start, last=links[-1].end),
            *dict.fromkeys(_warnings(links, found, ended=cut is not None or count.ended)),
        ),
    )


def _warnings(
    links: list[_Link], found: list[tuple[_Stream, _Count]], *, ended: bool
) -> Iterator[str]:
    strays = sum(link.stray_bytes for link in links)
    if strays:
        yield f"{strays:,} bytes of streams whose beginning is missing were left out"
    for number, (stream, count) in enumerate(found, 1):
        yield from stream.notes(count)
        missing = stream.claimed_frames(count) - count.decoded
        if missing > 0 and number < len(found):
            yield f"{missing:,} frames are missing before byte {stream.link.end:,}"
    if not ended:
        yield "its last page has no end mark: sound may be missing at its end"


def _cut(
    link: _Link,
    gaps: list[Gap],
    last: _Count,
    stream: _Stream | None = None,
    count: _Count | None = None,
) -> TruncatedBounce | None:
    """The error for what is missing at the end.

    Args:
        link: the last one.
        gaps: in the whole file.
        last: of the last stream.
        stream, count: the last one with sound, if there is any.
    """
    reason = ""
    if (gaps and gaps[-1].incomplete and gaps[-1].at >= link.end) or last.open_packet:
        reason = "its last Ogg page is incomplete"
    elif stream and count and stream.claimed_frames(count) > count.decoded:
        claimed = stream.claimed_frames(count)
        reason = f"it claims {claimed:,} frames, {count.decoded:,} are there"
    if not reason:
        return None
    return TruncatedBounce(
        f"cut off: {reason}; export it again, or take what is there with --accept-truncated",
        present_bytes=link.end,
    )


@dataclass
class _Link:
    """Logical streams that lie beside each other, from byte `start` to byte `end`.

    stray_bytes: of pages whose stream does not begin here.
    """

    start: int
    end: int = 0
    first_pages: list[Page] = field(default_factory=list)
    has_data: bool = False
    stray_bytes: int = 0

    def add(self, page: Page) -> None:
        """Add a page of this link."""
        self.end = page.end
        self.has_data = self.has_data or not page.begins
        if page.begins:
            if len(self.first_pages) == _MAX_STREAMS:
                raise UnsupportedBounce(f"more than {_MAX_STREAMS} streams in one Ogg file")
            self.first_pages.append(page)
        elif all(page.serial != first.serial for first in self.first_pages):
            self.stray_bytes += page.end - page.at


def _links(buffer: Buffer) -> tuple[list[_Link], list[Gap]]:
    links: list[_Link] = []
    gaps: list[Gap] = []
    for page in pages(buffer):
        if isinstance(page, Gap):
            gaps.append(page)
            continue
        if not links or (page.begins and links[-1].has_data):
            if len(links) == _MAX_LINKS:
                raise UnsupportedBounce(f"more than {_MAX_LINKS:,} files joined; join fewer")
            links.append(_Link(page.at))
        links[-1].add(page)
    return links, gaps


@dataclass
class _Count:
    """Length of a stream by its pages and packets.

    Attributes:
        extradata: header packets for the decoder.
        decoded: frames of all packets.
        first_frames: of the packets up to the first page with a position, first_position.
        last_position: of the last page with a position.
        last_frames: of the packets that end on that page.
        pages: number of pages with a position.
        ended: the last page has the end mark.
        open_packet: the last packet is incomplete.
    """

    extradata: bytes = b""
    decoded: int = 0
    first_frames: int = 0
    first_position: int | None = None
    last_position: int = 0
    last_frames: int = 0
    pages: int = 0
    ended: bool = False
    open_packet: bool = False


@dataclass(frozen=True)
class _Stream:
    """Logical stream of a link, with its first packet and concurrent audio streams."""

    buffer: Buffer
    link: _Link
    serial: int
    first_packet: bytes
    others: int

    @property
    def codec(self) -> Codec:
        """Create a codec, whose count begins at the first packet."""
        codec = codec_of(self.first_packet)
        assert codec is not None
        return codec

    def count(self) -> _Count:
        """Count all frames. Raises BounceError for missing and damaged pages and headers."""
        codec, count = self.codec, _Count()
        headers: list[bytes] = []
        on_page = 0
        for number, (packet, page) in enumerate(packets(self.buffer, self._pages(count))):
            if codec.is_header(packet, number):
                headers.append(packet)
            else:
                if not count.extradata:
                    count.extradata = codec.extradata(headers)
                on_page += codec.frames(packet)
            if page is not None and page.position is not None:
                count.decoded += on_page
                if on_page and count.first_position is None:
                    count.first_position, count.first_frames = page.position, count.decoded
                count.pages += on_page > 0
                count.last_position, count.last_frames = page.position, on_page
                on_page = 0
        count.decoded += on_page
        return count

    def run(self, count: _Count) -> Run:
        """Return the stream as one run."""
        skip, frames = self._place(count)
        return Run(
            rate_hz=self.codec.rate_hz,
            channels=self.codec.channels,
            decode=partial(self._decoded, count.extradata),
            coded_frames=count.decoded,
            skip_frames=skip,
            frames=min(frames, count.decoded - skip),
        )

    def claimed_frames(self, count: _Count) -> int:
        """Return the frames that the packets should hold, by the position of the last page."""
        skip, frames = self._place(count)
        return skip + frames

    def notes(self, count: _Count) -> Iterator[str]:
        """Yield warnings about the stream."""
        if self.others:
            yield f"only the first of {self.others + 1} streams of sound in it was taken"
        if self._excess(count) > count.last_frames:
            yield (
                f"its last page says {count.last_position:,} frames, but {count.decoded:,} are "
                "there: all were taken"
            )

    def _start(self, count: _Count) -> int:
        """Position of the first frame: above 0 in a stream cut out of a longer one.

        Below 0, frames in front of 0 are not audio (Vorbis I, A.2); but in a stream of one page,
        the end is cut.
        """
        start = (count.first_position or 0) - count.first_frames
        early = start < 0 and count.pages > 1 and self.codec.starts_early
        return start if start > 0 or early else 0

    def _excess(self, count: _Count) -> int:
        """Frames behind the position of the last page: padding of the encoder."""
        if count.first_position is None:
            return 0
        return count.decoded - (count.last_position - self._start(count))

    def _place(self, count: _Count) -> tuple[int, int]:
        """Frames in front of the audio, and of the audio."""
        excess = self._excess(count)
        # Only packets of the last page can be beyond its position (RFC 7845 section 4.4).
        kept = count.decoded - (excess if excess <= count.last_frames else 0)
        skip = self.codec.skip_frames + max(-self._start(count), 0)
        return skip, max(kept - skip, 0)

    def _pages(self, count: _Count | None = None) -> Iterator[Page]:
        """Pages of this stream. Raises BounceError if one is missing or damaged."""
        before: Page | None = None
        for page in pages(Buffer(self.buffer.file, self.link.start, self.link.end)):
            if isinstance(page, Gap) or page.serial != self.serial:
                continue
            if before is not None and not page.follows(before):
                raise BounceError(
                    f"damaged: Ogg pages are missing at byte {page.at:,}; export it again"
                )
            if not is_intact(self.buffer, page):
                raise BounceError(
                    f"damaged: the Ogg page at byte {page.at:,} fails its checksum; export it again"
                )
            if count is not None:
                count.ended = page.ends
                count.open_packet = page.lacing[-1:] == b"\xff"
            before = page
            yield page

    def _decoded(self, extradata: bytes) -> Iterator[AudioFrame]:
        return libav.decode_packets(
            self.codec.decoder,
            self._sound_packets(),
            extradata=extradata,
            options=self.codec.options,
        )

    def _sound_packets(self) -> Iterator[bytes]:
        codec = self.codec
        for number, (packet, _) in enumerate(packets(self.buffer, self._pages())):
            if not codec.is_header(packet, number):
                yield packet


def _stream(buffer: Buffer, link: _Link) -> _Stream | None:
    """First stream with supported audio; None if there is none."""
    found = []
    for page in link.first_pages:
        first = next(packets(buffer, [page]), None)
        if first is not None and codec_of(first[0]) is not None:
            found.append((page.serial, first[0]))
    if not found:
        return None
    serial, first_packet = found[0]
    return _Stream(buffer, link, serial, first_packet, len(found) - 1)
