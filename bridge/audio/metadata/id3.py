"""ID3v2 tags: parsed from untrusted files, written for the `id3 ` chunk of a WAV.

mutagen reads and writes the frames. This module selects which frames it may parse: text and
pictures, and no compressed frames, because a few kilobytes could unpack to gigabytes. Source:
ID3v2.2, ID3v2.3 and ID3v2.4 "main structure" and "native frames".
"""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bridge.audio.metadata.model import Picture
from bridge.audio.metadata.tags import Tagged, collect_tags

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# What mutagen raises for invalid data, and what slips past its own checks.
UNREADABLE = (ValueError, LookupError, TypeError, ArithmeticError, EOFError, struct.error)

_MAX_FRAMES = 1000  # real tags have fewer than 100
_FRAME_OF = {
    "TITLE": "TIT2",
    "ARTIST": "TPE1",
    "ALBUM": "TALB",
    "DATE": "TDRC",
    "GENRE": "TCON",
    "TRACKNUMBER": "TRCK",
    "DISCNUMBER": "TPOS",
    "ALBUMARTIST": "TPE2",
    "CONDUCTOR": "TPE3",
    "REMIXER": "TPE4",
    "COMPOSER": "TCOM",
    "LYRICIST": "TEXT",
    "ORGANIZATION": "TPUB",
    "COPYRIGHT": "TCOP",
    "ISRC": "TSRC",
    "BPM": "TBPM",
    "KEY": "TKEY",
    "ENCODEDBY": "TENC",
    "ENCODER": "TSSE",
    "LANGUAGE": "TLAN",
    "GROUPING": "TIT1",
    "SUBTITLE": "TIT3",
}
_NAME_OF = {frame: name for name, frame in _FRAME_OF.items()}
_OF_V22 = {
    "TT2": "TIT2",
    "TP1": "TPE1",
    "TP2": "TPE2",
    "TAL": "TALB",
    "TYE": "TYER",
    "TCO": "TCON",
    "TRK": "TRCK",
    "TPA": "TPOS",
    "TCM": "TCOM",
    "TCR": "TCOP",
    "TRC": "TSRC",
    "TBP": "TBPM",
    "TEN": "TENC",
    "TSS": "TSSE",
    "TKE": "TKEY",
    "COM": "COMM",
    "ULT": "USLT",
}
# Length and size of the audio file it was in: derived, and false for a stem.
_FALSE_FOR_STEMS = {"CTOC", "TLEN", "TSIZ", "TDLY", "TOFN", "TFLT"}
_COMPRESSED_OR_ENCRYPTED = {3: 0xC0, 4: 0x0C}  # bits of the second flag byte
_UNSYNCHRONISED, _HAS_LENGTH, _HAS_GROUP = 0x02, 0x01, {3: 0x20, 4: 0x40}


def read(data: bytes) -> Tagged:
    """Parse the tags and pictures of a whole ID3v2 tag; empty for anything else."""
    kept, left = b"", []
    chapters = []
    for name, body in _frames(data):
        if name == "CHAP" and body is not None:
            chapters.append(_chapter(body, data[3]))
            continue
        wanted = name in {"COMM", "USLT", "APIC"} or name[:1] == "T"
        if body is None or not wanted or len(name) < 4:
            left += [f"ID3 {name}"] * (name not in _FALSE_FOR_STEMS)
        elif name not in _FALSE_FOR_STEMS:
            kept += _plain_frame(name, body)
    found = _read_clean(kept, left)
    return replace(found, chapters=tuple(chapter for chapter in chapters if chapter))


def _chapter(body: bytes, version: int) -> tuple[int, int, str] | None:
    """Start and end in ms and title of a chapter; None if damaged.

    Source: "ID3v2 Chapter Frame Addendum".
    """
    at = body.find(b"\0") + 1
    if not at or len(body) < at + 16:
        return None
    start_ms, end_ms = struct.unpack(">II", body[at : at + 8])
    inside = _frames_from(body[at + 16 :], 0, version)
    title = next((text for name, text in inside if name == "TIT2"), None)
    tags = _read_clean(_plain_frame("TIT2", title), ()).tags if title else {}
    return start_ms, max(end_ms, start_ms), tags.get("TITLE", ("",))[0]


def _plain_frame(name: str, body: bytes) -> bytes:
    return name.encode() + struct.pack(">I", len(body)) + bytes(2) + body


def _read_clean(frames: bytes, left: Sequence[str]) -> Tagged:
    """Parse a version 2.3 tag rebuilt from the selected plain frames, with mutagen."""
    try:
        return _understood(frames, left)
    except UNREADABLE:
        return Tagged(left=("ID3 (damaged)",))


def _understood(frames: bytes, left: Sequence[str]) -> Tagged:
    from mutagen import MutagenError
    from mutagen.id3 import ID3

    clean = b"ID3\3\0\0" + syncsafe(len(frames)) + frames
    try:
        tag: Any = ID3(io.BytesIO(clean))
    except MutagenError:
        return Tagged(left=tuple(left))
    tags, false = collect_tags(_texts(tag))
    pictures = tuple(
        Picture.sanitised(str(frame.mime), bytes(frame.data), int(frame.type), str(frame.desc))
        for frame in tag.getall("APIC")
        if frame.data
    )
    return Tagged(tags, pictures, tuple(dict.fromkeys((*left, *false))))


def _texts(tag: Any) -> Iterator[tuple[str, str]]:
    for frame in tag.values():
        name = frame.FrameID
        if name == "APIC":
            continue
        if name in {"COMM", "TXXX"}:
            label = frame.desc or "COMMENT"
        elif name == "USLT":
            yield "LYRICS", str(frame.text)
            continue
        else:
            label = _NAME_OF.get(name, name)
        values: Any = getattr(frame, "genres", None) or getattr(frame, "text", ())
        for value in values:
            yield label, str(value)


def _frames(data: bytes) -> Iterator[tuple[str, bytes | None]]:
    """Yield name and body of each frame as plain bytes; None for a body that is not parsed."""
    if len(data) < 10 or data[:3] != b"ID3" or data[3] not in {2, 3, 4}:
        return
    version, flags = data[3], data[5]
    body = data[10 : 10 + _plain(data[6:10])]
    if flags & 0x80 and version < 4:  # all of it is unsynchronised
        body = body.replace(b"\xff\0", b"\xff")
    if version == 2:
        yield from _frames_v22(body)
        return
    at = 0
    if flags & 0x40:  # an extended header, which nothing here needs
        at = _plain(body[:4]) if version == 4 else 4 + int.from_bytes(body[:4], "big")
    yield from _frames_from(body, at, version)


def _frames_from(body: bytes, at: int, version: int) -> Iterator[tuple[str, bytes | None]]:
    """Yield the frames from byte `at` on, of version 2.3 or 2.4."""
    for _ in range(_MAX_FRAMES):
        name, size = body[at : at + 4], _frame_size(body, at, version)
        if len(body) < at + 10 or not name.isalnum() or not name.isascii():
            return
        content = body[at + 10 : at + 10 + size]
        yield name.decode(), _unwrapped(content, body[at + 9], version)
        at += 10 + size


def _frames_v22(body: bytes) -> Iterator[tuple[str, bytes | None]]:
    at = 0
    for _ in range(_MAX_FRAMES):
        name, size = body[at : at + 3], int.from_bytes(body[at + 3 : at + 6], "big")
        if len(body) < at + 6 or not name.isalnum() or not name.isascii():
            return
        now = _OF_V22.get(name.decode())
        yield now or name.decode(), body[at + 6 : at + 6 + size] if now else None
        at += 6 + size


def _frame_size(body: bytes, at: int, version: int) -> int:
    """Size of a frame: 7 bits per byte in version 2.4, except from writers that use 8."""
    size = int.from_bytes(body[at + 4 : at + 8], "big")
    if version == 3:
        return size
    safe = _plain(body[at + 4 : at + 8])
    after = body[at + 10 + safe : at + 14 + safe]
    after_plain = body[at + 10 + size : at + 14 + size]
    looks_right = not after.strip(b"\0") or after.isalnum()
    return size if not looks_right and after_plain.isalnum() else safe


def _unwrapped(content: bytes, flags: int, version: int) -> bytes | None:
    if flags & _COMPRESSED_OR_ENCRYPTED[version]:
        return None
    if flags & _HAS_GROUP[version]:
        content = content[1:]
    if version == 4 and flags & _HAS_LENGTH:
        content = content[4:]
    if version == 4 and flags & _UNSYNCHRONISED:
        content = content.replace(b"\xff\0", b"\xff")
    return content


def write(tags: Mapping[str, tuple[str, ...]], pictures: Sequence[Picture]) -> bytes:
    """Encode tags and pictures as a version 2.4 tag; empty without either."""
    from mutagen.id3 import APIC, COMM, ID3, TXXX, USLT, Encoding, Frames

    if not tags and not pictures:
        return b""
    tag: Any = ID3()
    for name, values in tags.items():
        text = list(values)
        if name == "COMMENT":
            tag.add(COMM(encoding=Encoding.UTF8, lang="XXX", desc="", text=text))
        elif name == "LYRICS":
            tag.add(USLT(encoding=Encoding.UTF8, lang="XXX", desc="", text="\n".join(text)))
        elif name in _FRAME_OF:
            tag.add(Frames[_FRAME_OF[name]](encoding=Encoding.UTF8, text=text))
        else:
            tag.add(TXXX(encoding=Encoding.UTF8, desc=name, text=text))
    for number, picture in enumerate(pictures):
        # Two pictures of one description would be one to readers.
        label = picture.description or ("" if not number else str(number + 1))
        tag.add(
            APIC(
                encoding=Encoding.UTF8,
                mime=picture.mime,
                type=picture.kind,
                desc=label,
                data=picture.data,
            )
        )
    out = io.BytesIO()
    tag.save(out, v2_version=4, padding=lambda _: 0)
    return out.getvalue()


def _plain(size: bytes) -> int:
    """Decode a number of seven bits per byte."""
    value = 0
    for byte in size:
        value = value << 7 | byte & 0x7F
    return value


def syncsafe(size: int) -> bytes:
    """Encode a size of up to 28 bits, seven bits per byte."""
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
