"""Tags and zeros in front of, between and behind the frames of a stream, and their lengths.

Sources: "ID3 tag version 2.4.0 - Main Structure" sections 3.1 and 3.4, ID3v1.1, "APEv2
specification" (Hydrogenaudio), "Lyrics3 v2.00".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.audio.streams.buffer import Buffer

_ID3V1_BYTES = 128
_ID3V1_EXTENDED_BYTES = 227
_APE_BYTES = 32
_LYRICS_TAIL_BYTES = 15  # six digits of size, then LYRICS200
_HEAD_BYTES = 32


def id3_bytes(head: bytes) -> int:
    """Length of the ID3v2 tag that begins with these 10 bytes; 0 without one."""
    if (
        len(head) < 10
        or head[:3] != b"ID3"
        or 0xFF in head[3:5]
        or any(b & 0x80 for b in head[6:10])
    ):
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return 10 + size + (10 if head[5] & 0x10 else 0)


def leading(buffer: Buffer, at: int) -> int:
    """Length of the tag that begins at `at`; 0 without one."""
    head = buffer.at(at, _HEAD_BYTES)
    if head[:3] == b"ID3":
        return id3_bytes(head)
    if head[:4] == b"TAG+":
        return _ID3V1_EXTENDED_BYTES
    if head[:3] == b"TAG":
        return _ID3V1_BYTES
    if head[:8] == b"APETAGEX" and len(head) == _HEAD_BYTES and head[23] & 0x20:  # its header
        return _APE_BYTES + int.from_bytes(head[12:16], "little")
    if head[:11] == b"LYRICSBEGIN":
        end = buffer.find(b"LYRICS200", at) or buffer.find(b"LYRICSEND", at)
        return end + 9 - at if end else 0
    return 0


def sound_end(buffer: Buffer) -> int:
    """Offset where the tags at the end of the file begin."""
    end = buffer.end
    while True:
        size = _trailing(buffer, end)
        if not 0 < size <= end - buffer.start:
            return end
        end -= size


def _trailing(buffer: Buffer, end: int) -> int:
    """Length of the tag that ends at `end`; 0 without one."""
    if buffer.at(end - _ID3V1_BYTES, 3) == b"TAG":
        extended = end - _ID3V1_BYTES - _ID3V1_EXTENDED_BYTES
        return _ID3V1_BYTES + (_ID3V1_EXTENDED_BYTES if buffer.at(extended, 4) == b"TAG+" else 0)
    foot = buffer.at(end - _APE_BYTES, _APE_BYTES)
    if foot[:8] == b"APETAGEX" and not foot[23] & 0x20:
        header_bytes = _APE_BYTES if foot[23] & 0x80 else 0
        return int.from_bytes(foot[12:16], "little") + header_bytes
    lyrics = buffer.at(end - _LYRICS_TAIL_BYTES, _LYRICS_TAIL_BYTES)
    if lyrics[6:] == b"LYRICS200" and lyrics[:6].isdigit():
        return int(lyrics[:6]) + _LYRICS_TAIL_BYTES
    foot = buffer.at(end - 10, 10)
    if foot[:3] == b"3DI":
        return id3_bytes(b"ID3" + foot[3:])
    return 0


def padding_end(buffer: Buffer, at: int) -> int:
    """End of the tag or of the run of zeros that begins at `at`; `at` if there is neither.

    A tag may claim to end behind the file.
    """
    return at + leading(buffer, at) if leading(buffer, at) else buffer.zeros_end(at)


def skip_padding(buffer: Buffer, at: int) -> int:
    """Offset behind all tags and zeros from `at` on."""
    while at < buffer.end:
        behind = padding_end(buffer, at)
        if behind == at:
            return at
        at = behind
    return buffer.end


def unread_bytes(buffer: Buffer, at: int) -> int:
    """Number of bytes from `at` on that are neither zeros nor tags."""
    at = skip_padding(buffer, at)
    return max(sound_end(buffer) - at, 0)
