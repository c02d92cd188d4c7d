"""Reader of torch's zip files: members as views of the file.

torch stores members uncompressed, so no member can be larger than the file, and no memory is
allocated for them.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

from separator.errors import BadCheckpoint

if TYPE_CHECKING:
    from typing import IO

LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, ..., length of name, length of extra field
PICKLE = "/data.pkl"


class TorchZip:
    """A torch zip: `prefix`/data.pkl, `prefix`/data/KEY for each storage, and small notes."""

    def __init__(self, data: memoryview) -> None:
        """Read the directory.

        data: the whole file.

        Raises:
            BadCheckpoint: not an intact zip file, or not exactly one pickle in it.
        """
        self._data = data
        self._left_bytes = len(data)
        try:
            with zipfile.ZipFile(_stream(data)) as archive:
                items = archive.infolist()
        except zipfile.BadZipFile as error:
            raise BadCheckpoint(f"no intact zip file ({error})") from None
        except (EOFError, ValueError, NotImplementedError, struct.error) as error:
            raise BadCheckpoint(f"a damaged zip file ({error})") from None
        self._members = {item.filename: item for item in items}
        if len(self._members) != len(items):
            raise BadCheckpoint("a damaged zip file (two members have one name)")
        pickles = [name for name in self._members if name.endswith(PICKLE)]
        if len(pickles) != 1:
            raise BadCheckpoint(f"it has {len(pickles)} pickles, not 1")
        self.prefix = pickles[0].removesuffix(PICKLE)

    def __contains__(self, name: str) -> bool:
        return f"{self.prefix}/{name}" in self._members

    def view(self, name: str) -> memoryview:
        """The bytes of one member, verified by its CRC.

        Raises:
            BadCheckpoint: it is missing, compressed, outside of the file, or damaged.
        """
        member = self._members.get(f"{self.prefix}/{name}")
        if member is None:
            raise BadCheckpoint(f"it lacks {name[:64]!r}")
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise BadCheckpoint(f"its {name} is compressed or encrypted")
        self._left_bytes -= member.file_size  # crafted members may overlap
        if self._left_bytes < 0:
            raise BadCheckpoint(f"its {name} claims more bytes than the file has")
        start = self._start(member)
        content = self._data[start : start + member.file_size]
        if len(content) != member.file_size or zlib.crc32(content) != member.CRC:
            raise BadCheckpoint(f"its {name} is damaged (checksum); fetch the file again")
        return content

    def _start(self, member: zipfile.ZipInfo) -> int:
        """The member's first byte, behind its local header."""
        header = self._data[member.header_offset : member.header_offset + LOCAL_HEADER.size]
        if len(header) < LOCAL_HEADER.size:
            raise BadCheckpoint("a damaged zip file (a member lies outside of it)")
        signature, name, extra = LOCAL_HEADER.unpack(header)
        if signature != b"PK\x03\x04":
            raise BadCheckpoint("a damaged zip file (a member has no header)")
        return int(member.header_offset + LOCAL_HEADER.size + name + extra)


class _Raw(io.RawIOBase):
    """A raw file over a buffer, without a copy."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._data)}[whence]
        if start + offset < 0:
            raise ValueError("it begins before its own start")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        chunk = self._data[self._position : self._position + len(target)]
        target[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)


def _stream(data: memoryview) -> IO[bytes]:
    return io.BufferedReader(_Raw(data))
