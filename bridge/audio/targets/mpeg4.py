"""AAC in an M4A file, through FFmpeg's encoder.

AAC has 1024 frames of delay in front, and its last packet is padded. Both are stated twice: in the
edit list (ISO/IEC 14496-12 section 8.6.6), and in iTunSMPB, the tag of iTunes for it, for players
that ignore edit lists.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from mutagen import mp4

from bridge.audio.metadata.model import Mark
from bridge.audio.mp4_output import EncodingFailed, Mp4Output, StreamEncoding
from bridge.audio.targets.finishing import sync_and_hash, tagging_errors
from bridge.audio.targets.readback import decode_file
from bridge.audio.targets.tags import stem_tags
from bridge.errors import OutputError, PromiseBroken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from bridge.audio.targets.spec import Spec

PACKET_FRAMES = 1024
"""Of AAC LC (ISO/IEC 14496-3). FFmpeg's encoder begins with a packet that is all delay."""

_ITUNES = "----:com.apple.iTunes:"
_TEXT_ATOMS = {
    "TITLE": "\xa9nam",
    "ARTIST": "\xa9ART",
    "ALBUMARTIST": "aART",
    "ALBUM": "\xa9alb",
    "COMPOSER": "\xa9wrt",
    "GENRE": "\xa9gen",
    "DATE": "\xa9day",
    "COMMENT": "\xa9cmt",
    "DESCRIPTION": "desc",
    "COPYRIGHT": "cprt",
}
COVERS = {"image/jpeg": mp4.MP4Cover.FORMAT_JPEG, "image/png": mp4.MP4Cover.FORMAT_PNG}


class M4aWriter:
    """Writer of one M4A file, which is tagged and hashed when it is closed.

    Raises like `SequentialWriter`.
    """

    encoder_delay_frames = PACKET_FRAMES

    def __init__(self, path: Path, spec: Spec) -> None:
        self.path = path
        self.spec = spec
        self.peak = 0.0
        self.clipped = 0
        self.sha256 = ""
        self._frames = 0
        kbps = spec.bitrate_kbps or spec.target.default_kbps
        coding = StreamEncoding("aac", "fltp", bit_rate=1000 * kbps if kbps else None)
        with self._refusals():
            self._file = Mp4Output(
                path,
                (coding,),
                container="ipod",
                rate_hz=spec.rate_hz,
                channels=spec.channels,
                chapters=_chapters(spec),
            )

    def write_float(self, block: NDArray[np.floating]) -> None:
        """Append (channels, frames) float, ±1.0 full scale."""
        if not np.isfinite(block).all():
            raise PromiseBroken(f"{self.path.name}: NaN or Inf after frame {self._frames:,}")
        channels, frames = block.shape
        if channels != self.spec.channels or self._frames + frames > self.spec.frames:
            raise PromiseBroken(
                f"{self.path.name}: a block of {channels} channels, {frames:,} frames does not fit"
            )
        self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))
        self._frames += frames
        with self._refusals():
            self._file.write(0, block)

    def write_int(self, block: NDArray[np.int32]) -> None:
        """Raise PromiseBroken: AAC holds no integers."""
        raise PromiseBroken(f"{self.path.name}: integers for an AAC file")

    def replace_bext(self, bext: bytes) -> None:
        """Do nothing: an M4A has no field for the loudness of a `bext`."""

    def close(self) -> None:
        """Check the length, end the stream, tag and hash the file, and sync it to the disk."""
        if self.sha256:
            return
        if self._frames != self.spec.frames:
            raise PromiseBroken(
                f"{self.path.name}: {self._frames:,} frames written, {self.spec.frames:,} announced"
            )
        with self._refusals():
            self._file.close()
        with tagging_errors(self.path):
            _complete(self.path, self.spec)
        self.sha256 = sync_and_hash(self.path)
        self._measure_peak()

    def _measure_peak(self) -> None:
        """Decode the file: AAC may exceed the peak of its input."""
        found = decode_file(self.path)
        if found.frames != self.spec.frames:
            raise PromiseBroken(
                f"{self.path.name}: {found.frames:,} frames decode, {self.spec.frames:,} were "
                "encoded"
            )
        self.peak = found.peak

    def discard(self) -> None:
        """Close and remove the file."""
        self._file.discard()

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Raise errors of the encoder as OutputError."""
        try:
            yield
        except EncodingFailed as error:
            raise OutputError(
                f"cannot write {self.path} ({error}): check the disk, then `stembridge retry`"
            ) from error


def _chapters(spec: Spec) -> tuple[Mark, ...]:
    """Convert the markers to contiguous chapters.

    A point lasts until the next marker, a region as long as it is. A chapter track begins at 0 and
    has no gaps: players would move the first marker to the front and extend a region to the next
    marker. Gaps are therefore filled with chapters without a name.
    """
    marks = spec.metadata.marks
    if marks and marks[0].position_frames > 0:
        marks = (Mark(0), *marks)
    found: list[Mark] = []
    for mark, following in pairwise((*marks, Mark(spec.frames))):
        start, next_start = mark.position_frames, following.position_frames
        end = start + mark.length_frames if mark.length_frames else max(next_start, start)
        found.append(replace(mark, length_frames=end - start))
        if end < next_start < spec.frames:
            found.append(Mark(end, length_frames=next_start - end))
    return tuple(found)


def _complete(path: Path, spec: Spec) -> None:
    file = mp4.MP4(path)
    if file.tags is None:
        file.add_tags()
    metadata = spec.metadata
    for name, values in stem_tags(metadata).items():
        if name in _TEXT_ATOMS:
            file[_TEXT_ATOMS[name]] = list(values)
        else:
            file[_ITUNES + name] = [mp4.MP4FreeForm(value.encode()) for value in values]
    if metadata.tempo_bpm is not None:
        file["tmpo"] = [round(metadata.tempo_bpm)]
    pictures = [one for one in metadata.pictures if one.mime in COVERS]
    if pictures:
        file["covr"] = [mp4.MP4Cover(one.data, COVERS[one.mime]) for one in pictures]
    file[_ITUNES + "iTunSMPB"] = [mp4.MP4FreeForm(_gapless(spec.frames).encode())]
    file.save(padding=lambda _: 0)


def _gapless(frames: int) -> str:
    """Value of iTunSMPB: delay, padding and length in hexadecimal, the other fields 0."""
    padding = -(PACKET_FRAMES + frames) % PACKET_FRAMES
    head = f" 00000000 {PACKET_FRAMES:08X} {padding:08X} {frames:016X}"
    return head + " 00000000" * 8
