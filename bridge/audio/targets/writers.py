"""Writers for every target."""

from __future__ import annotations

import struct
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from bridge.audio.chunks import Chunk
from bridge.audio.encode import FLOAT_BITS, StemWriter
from bridge.audio.metadata.id3 import write
from bridge.audio.metadata.model import Mark
from bridge.audio.sequential_writer import SequentialWriter
from bridge.audio.targets import caf
from bridge.audio.targets.aiff import AiffTemplate, pascal
from bridge.audio.targets.caf import CafTemplate
from bridge.audio.targets.coded import CodedWriter
from bridge.audio.targets.mpeg4 import COVERS, M4aWriter
from bridge.audio.targets.tags import MAX_CHAPTERS, stem_tags, untagged_chunks
from bridge.audio.targets.w64 import W64Template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bridge.audio.metadata.model import Metadata
    from bridge.audio.probe import AudioInfo
    from bridge.audio.sequential_writer import FileTemplate
    from bridge.audio.targets.registry import Target
    from bridge.audio.targets.spec import Spec, Writer

# AIFF 1.3: a marker's position has 32 bits, and its number 15.
_AIFF_POSITION, _AIFF_MARKS = 0xFFFFFFFF, 0x7FFF
# "Core Audio Format Specification 1.0", information chunk: the names that it gives.
_CAF_NAMES = {
    "TITLE": "title",
    "ARTIST": "artist",
    "ALBUM": "album",
    "COMPOSER": "composer",
    "GENRE": "genre",
    "DATE": "recorded date",
    "COMMENT": "comments",
    "COPYRIGHT": "copyright",
    "TRACKNUMBER": "track number",
    "BPM": "tempo",
    "KEY": "key signature",
}
_AIFF_TEXTS = {b"NAME": "TITLE", b"AUTH": "ARTIST", b"(c) ": "COPYRIGHT", b"ANNO": "COMMENT"}


@contextmanager
def open_writer(path: Path, spec: Spec) -> Iterator[Writer]:
    """Create a new file: closed at the end, removed after an error."""
    writer = _opened(path, spec)
    try:
        yield writer
        writer.close()
    except BaseException:
        writer.discard()
        raise


def _opened(path: Path, spec: Spec) -> Writer:
    name = spec.target.name
    if name == "wav":
        return StemWriter(
            path,
            rate_hz=spec.rate_hz,
            channels=spec.channels,
            frames=spec.frames,
            subtype=spec.subtype,
            channel_mask=spec.channel_mask,
            extensible=spec.extensible,
            chunks=spec.metadata.chunks,
            rf64=spec.rf64,
        )
    if name in TEMPLATES:
        return SequentialWriter(path, TEMPLATES[name](spec))
    return M4aWriter(path, spec) if name == "m4a" else CodedWriter(path, spec)


def _aiff(spec: Spec) -> AiffTemplate:
    tags = stem_tags(spec.metadata)
    texts = [
        Chunk(id_, tags[name][0].encode()) for id_, name in _AIFF_TEXTS.items() if name in tags
    ]
    chunks = [*texts, *_aiff_marks(spec.metadata)]
    chunks += [chunk for chunk in spec.metadata.chunks if chunk.id == b"iXML"]
    id3 = write(tags, spec.metadata.pictures)
    if id3:
        chunks.append(Chunk(b"ID3 ", id3))
    form = (spec.rate_hz, spec.channels, spec.frames, spec.subtype, spec.channel_mask)
    return AiffTemplate(*form, tuple(chunks))


def _w64(spec: Spec) -> W64Template:
    return W64Template(replace(spec.wav, chunks=()), spec.metadata.chunks)


def _aiff_marks(metadata: Metadata) -> Iterator[Chunk]:
    """MARK chunk; the time reference is the name of a marker, where Logic writes it."""
    marks = [one for one in metadata.marks if one.position_frames <= _AIFF_POSITION]
    if metadata.time_reference is not None:
        marks.insert(0, Mark(0, f"Timestamp: {metadata.time_reference}"))
    if marks:
        body = b"".join(
            struct.pack(">hI", number, mark.position_frames) + pascal(mark.name)
            for number, mark in enumerate(marks[:_AIFF_MARKS], 1)
        )
        yield Chunk(b"MARK", struct.pack(">H", min(len(marks), _AIFF_MARKS)) + body)


def _caf(spec: Spec) -> CafTemplate:
    entries = {
        _CAF_NAMES.get(n, n.lower()): "; ".join(v) for n, v in stem_tags(spec.metadata).items()
    }
    chunks: list[tuple[bytes, bytes]] = [caf.information(entries)] if entries else []
    if spec.metadata.marks:
        chunks += caf.markers(spec.metadata.marks)
    form = (spec.rate_hz, spec.channels, spec.frames, spec.subtype, spec.channel_mask)
    return CafTemplate(*form, tuple(chunks))


TEMPLATES: dict[str, Callable[[Spec], FileTemplate]] = {"aiff": _aiff, "caf": _caf, "w64": _w64}
"""Layouts of the uncompressed formats, whose every byte is known beforehand."""


def not_carried(
    target: Target, metadata: Metadata, info: AudioInfo, subtype: str
) -> tuple[str, ...]:
    """List the user-facing names of metadata that a target cannot hold.

    Args:
        target: format of the files.
        metadata: of the bounce.
        info: of the bounce.
        subtype: of the files.
    """
    speakers = info.channel_mask if info.channels > 2 else None
    if target.name == "w64" and speakers and subtype in FLOAT_BITS:
        return ("channel mask (in Wave64 only beside integers)",)
    if target.name in {"wav", "w64"}:
        return ()
    lost: list[str] = []
    if target.name != "flac":
        lost += untagged_chunks(metadata, (b"iXML",) if target.name == "aiff" else ())
    lost += _marks_lost(target.name, metadata)
    held = {"caf": (), "m4a": COVERS}.get(target.name)
    if held is not None and any(picture.mime not in held for picture in metadata.pictures):
        lost.append("pictures")
    if metadata.cuesheet is not None and target.name != "flac":
        lost.append("CUESHEET (its tracks are markers)")
    return tuple(lost)


def _marks_lost(name: str, metadata: Metadata) -> list[str]:
    marks = metadata.marks
    if not marks or name == "flac":
        return []
    lost: list[str] = []
    if name in {"mp3", "ogg", "opus"}:
        lost.append("positions of markers below a millisecond")
    if name not in {"mp3", "m4a"} and any(mark.length_frames for mark in marks):
        lost.append("lengths of regions")
    nested = any(
        b.position_frames < a.position_frames + a.length_frames for a, b in pairwise(marks)
    )
    if name == "m4a" and nested:
        lost.append("lengths of regions in which others begin")
    if name in {"ogg", "opus"} and len(marks) > MAX_CHAPTERS:
        lost.append(f"markers beyond {MAX_CHAPTERS}")
    beyond = any(mark.position_frames > _AIFF_POSITION for mark in marks)
    if name == "aiff" and beyond:
        lost.append(f"markers beyond frame {_AIFF_POSITION:,}")
    return lost
