"""Container detection, and size checks before a decoder opens the file.

Sources: ISO/IEC 11172-3 (MPEG audio) with the Xing/LAME header, ISO/IEC 13818-7 (ADTS), ATSC A/52.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.chunks import CONTAINERS, open_bounce
from bridge.audio.extents.model import truncated_error
from bridge.audio.known_formats import HEAD_BYTES, known_format_error
from bridge.audio.streams.buffer import Buffer
from bridge.audio.streams.mpegts import packet_form
from bridge.audio.streams.tag_blocks import padding_end
from bridge.audio.views import size_bytes
from bridge.errors import NotAudio

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MAGIC = {
    **CONTAINERS,
    b"fLaC": "FLAC",
    b"OggS": "OGG",
    b"caff": "CAF",
    b".snd": "AU",
    b"dns.": "AU",
    b"riff": "W64",
    b"Crea": "VOC",
    b"NIST": "NIST",
    b"#!AM": "AMR",
    b"wvpk": "WAVPACK",
    b"\x1a\x45\xdf\xa3": "MATROSKA",
    b"\x30\x26\xb2\x75": "ASF",
}
# Types of a first box; older QuickTime files have no `ftyp`.
_MP4 = {b"ftyp", b"moov", b"mdat", b"wide", b"pnot", b"skip", b"free"}
_SIZE_ZEROS = 3
_FORMS = {b"AIFF": "AIFF", b"AIFC": "AIFF", b"8SVX": "SVX", b"16SV": "SVX"}
_XING_SLACK_BYTES = 3000  # encoders disagree on counting the header frame: two of the largest


_VOWELS = {"AIFF", "AU", "AAC", "AC3", "AMR", "ASF", "MP3", "MP4", "OGG", "RF64", "SVX"}


@dataclass(frozen=True)
class DetectedContainer:
    """Container of a file, and its start behind tags and zeros."""

    container: str
    start: int


def sniff(file: BinaryIO) -> DetectedContainer:
    """Detect the container by the file's first bytes, regardless of its name.

    Tags in front (ID3v2, APE, any number of them) and zeros are skipped.

    Raises UnsupportedBounce for audio without a decoder here, NotAudio for anything else.
    """
    buffer = Buffer(file, 0, size_bytes(file))
    first = buffer.at(0, HEAD_BYTES)
    at = 0
    while True:
        head = buffer.at(at, HEAD_BYTES)
        if container := _container(head):
            return DetectedContainer(container, at)
        if reason := known_format_error(head):
            raise reason
        behind = padding_end(buffer, at)
        if behind == at:
            break
        # The size of an MP4's first box begins with zeros, too.
        early = range(max(behind - _SIZE_ZEROS, at + 1), behind)
        at = next((n for n in early if buffer.at(n + 4, 4) in _MP4), behind)
    if first[:3] == b"ID3":
        return DetectedContainer("MP3", at)
    raise _unknown(first)


def _container(head: bytes) -> str | None:
    if head[:4] in CONTAINERS and head[8:12] != b"WAVE":
        return None
    if head[:4] in _MAGIC:
        return _MAGIC[head[:4]]
    if head[:4] == b"FORM" and head[8:12] in _FORMS:
        return _FORMS[head[8:12]]
    if head[4:8] in _MP4:
        return "MP4"
    if packet_form(head):
        return "MPEG-TS"
    return _elementary(head)


def _elementary(head: bytes) -> str | None:
    """Stream type by a frame header without a container."""
    if head[:2] == b"\x0b\x77":
        return "AC3"
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xF6 == 0xF0:
        return "AAC"
    return "MP3" if _is_mpeg(head) else None


def _unknown(head: bytes) -> NotAudio:
    if head[:4] in CONTAINERS:
        return NotAudio("not a WAV file: no RIFF/WAVE header; export it again from the DAW")
    return NotAudio(
        f"not audio: starts with {_shown(head[:8])}, not with RIFF, RF64, FORM, fLaC or the like; "
        "export it again from the DAW"
    )


def with_article(container: str) -> str:
    """Return a container's name with its article, for messages."""
    return f"{'an' if container in _VOWELS else 'a'} {container}"


def container_of(path: Path) -> str:
    """Detect the container of a file; raises like `sniff` and `chunks.open_bounce`."""
    with open_bounce(path) as file:
        return sniff(file).container


def check_sizes(file: BinaryIO, kind: DetectedContainer, file_bytes: int) -> None:
    """Check the sizes in the header against the file's size.

    Raises TruncatedBounce. Containers without a size to check pass; those whose audio can be
    located are checked by `bridge.audio.extents`.
    """
    check = _CHECKS.get(kind.container)
    if check:
        check(file, kind.start, file_bytes)


def _check_mp3(file: BinaryIO, start: int, file_bytes: int) -> None:
    """Check the byte count of the Xing header, if there is one."""
    file.seek(start)
    frame = file.read(256)
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if at < 0:
        return
    flags = int.from_bytes(frame[at + 4 : at + 8], "big")
    if not flags & 2:  # 1: number of frames follows, 2: number of bytes follows
        return
    field = at + 8 + (4 if flags & 1 else 0)
    claimed = int.from_bytes(frame[field : field + 4], "big")
    if claimed > file_bytes - start + _XING_SLACK_BYTES:
        raise truncated_error(claimed, file_bytes - start)


_CHECKS: dict[str, Callable[[BinaryIO, int, int], None]] = {
    "MP3": _check_mp3,
}


def _is_mpeg(head: bytes) -> bool:
    """Whether there are eleven bits of sync and a valid layer and bit rate."""
    return (
        len(head) > 2
        and head[0] == 0xFF
        and head[1] >> 5 == 7
        and head[1] >> 1 & 3 != 0
        and head[2] >> 4 != 15
    )


def _shown(head: bytes) -> str:
    if all(0x20 <= byte < 0x7F for byte in head):
        return repr(head.decode("ascii"))
    return "bytes " + head.hex(" ")
