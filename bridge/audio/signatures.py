"""Signatures of sound files that are long enough to be found in the middle of a file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO

from bridge.audio.views import state_of

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD_BYTES = 16
"""Of a file, to know what it is."""

_PIECE_BYTES = 1 << 20
_MOST_FOUND = 256  # results of searches that are kept
_FOUND: dict[tuple[object, ...], int] = {}

_AU_CODECS = 40  # au(5) and its successors number them from 1 to 27

# Enough of each header that chance does not write it into 100 GiB of audio.
_HEADERS = re.compile(
    rb"(?:RIFF|RIFX|RF64|BW64)....WAVE"
    rb"|FORM....(?:AIFF|AIFC|8SVX|16SV)"
    rb"|caff\x00\x01..desc"
    rb"|riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
    rb"|fLaC[\x00\x80]\x00\x00\x22"
    rb"|OggS\x00[\x00-\x07].{8}"
    rb"|Creative Voice F"
    rb"|NIST_1A\n",
    re.DOTALL,
)


def is_id(name: bytes) -> bool:
    """Whether four bytes can be the id of a chunk: printable ASCII."""
    return len(name) == 4 and all(0x20 <= byte < 0x7F for byte in name)


def begins_file(head: bytes) -> bool:
    """Whether a sound file begins with these 16 bytes."""
    return _HEADERS.match(head) is not None or _begins_au(head)


def _begins_au(head: bytes) -> bool:
    """Whether these bytes begin an AU: its signature is short, so its fields are checked, too."""
    if head[:4] not in {b".snd", b"dns."}:
        return False
    order: Callable[[bytes], int] = _big if head[:1] == b"." else _little
    return 24 <= order(head[4:8]) <= _PIECE_BYTES and 1 <= order(head[12:16]) <= _AU_CODECS


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def find_file(file: BinaryIO, name: bytes, start: int, end: int) -> int:
    """Find the start of another sound file within an open one.

    The first search takes about a second per gigabyte; its result is cached while the file is
    unchanged, since a file is opened several times during a job.

    Args:
        file: open for reading.
        name: first four bytes of the file to find. Not AU, whose signature is too short.
        start: first possible offset.
        end: of the search; the first 16 bytes of the file must end before it.

    Returns:
        The offset; `end` if there is none.
    """
    state = state_of(file)
    key = (*state, name, start, end) if state else None
    if key is None:
        return _search(file, name, start, end)
    if key not in _FOUND:
        place = _search(file, name, start, end)
        if len(_FOUND) >= _MOST_FOUND:
            _FOUND.clear()
        _FOUND[key] = place
        return place
    return _FOUND[key]


def _search(file: BinaryIO, name: bytes, start: int, end: int) -> int:
    at, carried = start, b""
    file.seek(start)
    while at < end:
        piece = carried + file.read(min(_PIECE_BYTES, end - at))
        if len(piece) == len(carried):
            break
        found = piece.find(name)
        while found >= 0 and not _HEADERS.match(piece, found):
            found = piece.find(name, found + 1)
        if found >= 0:
            return at - len(carried) + found
        at += len(piece) - len(carried)
        carried = piece[-HEAD_BYTES + 1 :]
    return end
