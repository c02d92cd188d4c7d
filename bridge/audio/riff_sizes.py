"""64-bit sizes of RIFF files, and the true sizes of their `data` chunks.

Sources: EBU Tech 3306 (RF64), ITU-R BS.2088 (BW64); `bridge.audio.unknown_sizes`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from bridge.audio.signatures import find_file, is_id
from bridge.audio.unknown_sizes import is_unknown, is_unknown_64
from bridge.audio.views import bytes_at

IN_DS64 = 0xFFFFFFFF
"""The size of an RF64 that stands in its ds64 chunk."""

_WRAP = 1 << 32


@dataclass
class DataSizes:
    """True sizes of the `data` chunks of one file, derived from its header's claims."""

    file: BinaryIO
    magic: bytes
    riff_bytes: int
    file_bytes: int
    long_bytes: int | None
    block_bytes: int
    seen: int = 0
    unknown: bool = False

    def true_bytes(self, offset: int, size_bytes: int) -> int:
        """Return the size of the data that begin at `offset` and claim `size_bytes`."""
        self.seen += 1
        if self.long_bytes is not None and self.seen == 1 and size_bytes in {0, IN_DS64}:
            if not is_unknown_64(self.long_bytes):
                return self.long_bytes
            size_bytes = IN_DS64
        if self._is_unknown(offset, size_bytes):
            self.unknown = True
            return find_file(self.file, self.magic, offset, self.file_bytes) - offset
        if self.long_bytes is not None:
            return size_bytes
        return size_bytes + _wrapped_bytes(self.riff_bytes, self.file_bytes)

    def _is_unknown(self, offset: int, size_bytes: int) -> bool:
        end = offset + size_bytes
        with_riff = is_unknown(self.riff_bytes) and end == self.riff_bytes + 8
        if not with_riff and not is_unknown(size_bytes, self.block_bytes):
            return False
        if end > self.file_bytes:
            return True
        # A file may be longer than the size that stands for "unknown": then no chunk follows there.
        head = bytes_at(self.file, end, 8)
        following = int.from_bytes(head[4:], "big" if self.magic == b"RIFX" else "little")
        return not is_id(head[:4]) or end + 8 + following > self.file_bytes + 1


def read_ds64(file: BinaryIO) -> tuple[int | None, int | None]:
    """Read the 64-bit sizes of RIFF and data; ds64 must come first (EBU Tech 3306 section 3)."""
    head = file.read(24)
    if len(head) < 24 or head[:4] != b"ds64":
        return None, None
    riff_bytes, data_bytes = struct.unpack("<QQ", head[8:])
    return riff_bytes, data_bytes


def _wrapped_bytes(claimed: int, file_bytes: int) -> int:
    """Bytes lost in a RIFF file above 4 GiB whose 32-bit sizes wrapped around."""
    lost = file_bytes - 8 - claimed
    return lost if lost > 0 and lost % _WRAP == 0 else 0
