"""What kind of file it is, and whether it is as long as it says, before a decoder opens it.

For the files that are not RIFF-like. Sources: Apple/EA "AIFF 1.3", "AIFF-C", Apple "Core Audio
Format 1.0", Sun "au(5)", Sony Pictures "Wave64", RFC 3533 (Ogg), ISO/IEC 11172-3 (MPEG audio)
with the Xing/LAME header, ID3v2.4 section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.chunks import CONTAINERS, MAX_CHUNKS, reading, walk
from bridge.errors import NoFrames, NotAudio, TruncatedBounce, UnsupportedBounce

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MAGIC = {
    **CONTAINERS,
    b"fLaC": "FLAC",
    b"OggS": "OGG",
    b"caff": "CAF",
    b".snd": "AU",
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
_FORMS = {b"AIFF": "AIFF", b"AIFC": "AIFF", b"8SVX": "SVX", b"16SV": "SVX"}
_UNREAD = {
    b"MAC ": "a Monkey's Audio",
    b"DSD ": "a DSD",
    b"FRM8": "a DSD",
}
_XING_SLACK_BYTES = 3000  # encoders disagree on counting the header frame: two of the largest
_MAX_ZERO_BYTES = 16 << 20  # in front of a stream; more is a file that was never written


@dataclass(frozen=True)
class Kind:
    """A file's container, and where it starts behind an ID3 tag."""

    container: str
    start: int


def sniff(file: BinaryIO) -> Kind:
    """The container by the file's first bytes, whatever its name says.

    Raises UnsupportedBounce for audio that no decoder here reads, NotAudio for anything else.
    """
    file.seek(0)
    head = file.read(12)
    start = 0
    if head[:3] == b"ID3" and len(head) >= 10:
        size = sum(
            (byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True)
        )
        start = 10 + size + (10 if head[5] & 0x10 else 0)
        file.seek(start)
        following = file.read(4)
        return Kind("FLAC" if following == b"fLaC" else _elementary(following) or "MP3", start)
    if head[:4] in _MAGIC:
        return Kind(_MAGIC[head[:4]], start)
    if head[:4] == b"FORM" and head[8:12] in _FORMS:
        return Kind(_FORMS[head[8:12]], start)
    stream = _elementary(head)
    if stream:
        return Kind(stream, start)
    if not head.strip(b"\0"):
        return _behind_zeros(file)
    if head[4:8] in _MP4:
        return Kind("MP4", 0)
    known = _UNREAD.get(head[:4]) or _UNREAD.get(head[4:8])
    if known:
        raise UnsupportedBounce(f"{known} file, which is not read; export WAV, AIFF or FLAC")
    raise NotAudio(
        f"not audio: starts with {_shown(head[:8])}, not with RIFF, RF64, FORM, fLaC or the like; "
        "export it again from the DAW"
    )


def container_of(path: Path) -> str:
    """The container of a file; raises like `sniff` and `chunks.reading`."""
    with reading(path) as file:
        return sniff(file).container


def check_sizes(file: BinaryIO, kind: Kind, file_bytes: int) -> None:
    """Hold the sizes in the header against the file's.

    Raises TruncatedBounce (also for a header that its writer never finished) and NoFrames.
    Containers without a size to check pass.
    """
    check = _CHECKS.get(kind.container)
    if check:
        check(file, kind.start, file_bytes)


def truncated(claimed_bytes: int, present_bytes: int) -> TruncatedBounce:
    """The error for audio that its header claims and the file lacks."""
    return TruncatedBounce(
        f"cut off: its header claims {claimed_bytes:,} bytes of audio, {present_bytes:,} are "
        "there; render it again, or take what is there with --accept-truncated",
        claimed_bytes=claimed_bytes,
        present_bytes=present_bytes,
    )


def unfinished(following_bytes: int) -> TruncatedBounce:
    """The error for a header that still waits for its writer to fill in the size."""
    return TruncatedBounce(
        f"unfinished: its header says that there is no audio yet, but {following_bytes:,} bytes "
        "follow; let the render finish, or take what is there with --accept-truncated",
        present_bytes=following_bytes,
    )


def _check_aiff(file: BinaryIO, _start: int, file_bytes: int) -> None:
    file.seek(4)
    claimed = int.from_bytes(file.read(4), "big")
    sound = next((ref for ref in walk(file, 12, file_bytes, ">") if ref.id == b"SSND"), None)
    if sound is None:
        if claimed + 8 > file_bytes:
            raise TruncatedBounce("cut off before its audio begins; render it again")
        raise NoFrames("an AIFF without audio (no SSND chunk); render it again")
    present = file_bytes - sound.offset
    # Offset and block size, 8 bytes, come before the audio.
    if sound.size_bytes <= 8 < present and claimed + 8 < file_bytes:
        raise unfinished(present - 8)
    if sound.size_bytes > present:
        raise truncated(max(sound.size_bytes - 8, 0), max(present - 8, 0))


def _check_caf(file: BinaryIO, _start: int, file_bytes: int) -> None:
    at = 8
    while at + 12 <= file_bytes:
        file.seek(at)
        head = file.read(12)
        size = int.from_bytes(head[4:], "big", signed=True)
        at += 12
        if head[:4] == b"data":
            # -1: the writer did not know, and the audio is the rest; 4 bytes of edit count first.
            if size > file_bytes - at:
                raise truncated(size - 4, max(file_bytes - at - 4, 0))
            return
        if size < 0:
            return
        at += size


def _check_au(file: BinaryIO, _start: int, file_bytes: int) -> None:
    file.seek(4)
    offset, size = (int.from_bytes(file.read(4), "big") for _ in range(2))
    present = max(file_bytes - offset, 0)
    if size == 0xFFFFFFFF:  # au(5): length not known, the audio is the rest
        return
    if not size and present:
        raise unfinished(present)
    if size > present:
        raise truncated(size, present)


def _check_w64(file: BinaryIO, _start: int, file_bytes: int) -> None:
    file.seek(16)
    claimed = int.from_bytes(file.read(8), "little")
    at = 40
    for _ in range(MAX_CHUNKS):
        file.seek(at)
        head = file.read(24)
        if len(head) < 24:
            break
        size = int.from_bytes(head[16:], "little")  # with these 24 bytes
        if head[:4] == b"data" and at + size > file_bytes:
            raise truncated(size - 24, file_bytes - at - 24)
        at += max(-(-size // 8) * 8, 24)  # chunks begin at multiples of 8
        if at >= file_bytes:
            break
    if claimed > file_bytes:
        raise truncated(claimed, file_bytes)


def _check_mp3(file: BinaryIO, start: int, file_bytes: int) -> None:
    """The Xing header counts the bytes of the stream; without one there is nothing to check."""
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
        raise truncated(claimed, file_bytes - start)


_CHECKS: dict[str, Callable[[BinaryIO, int, int], None]] = {
    "AIFF": _check_aiff,
    "CAF": _check_caf,
    "AU": _check_au,
    "W64": _check_w64,
    "MP3": _check_mp3,
}


def _elementary(head: bytes) -> str | None:
    """The stream that begins with a frame header of its kind, without a container around it."""
    if head[:2] == b"\x0b\x77":
        return "AC3"
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xF6 == 0xF0:
        return "AAC"
    return "MP3" if _is_mpeg(head) else None


def _behind_zeros(file: BinaryIO) -> Kind:
    """The stream behind zeros at the beginning; raises NotAudio for anything else."""
    file.seek(0)
    at = 0
    while at < _MAX_ZERO_BYTES and (piece := file.read(1 << 16)):
        found = piece.lstrip(b"\0")
        if found:
            at += len(piece) - len(found)
            file.seek(at)
            stream = _elementary(file.read(4))
            if stream:
                return Kind(stream, at)
            break
        at += len(piece)
    raise NotAudio("not audio: begins with zeros; export it again from the DAW")


def _is_mpeg(head: bytes) -> bool:
    """Eleven bits of sync, a layer and a bit rate that exist."""
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
