"""Extraction of catalogued files from a .tar.gz or a zip.

Names in an archive are only compared, never used as paths: files are written under the catalog's
names.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import zipfile
import zlib
from typing import TYPE_CHECKING, BinaryIO

from separator.errors import BadCheckpoint, WrongChecksum
from separator.weights.entries import UrlFile, checksum_matches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Protocol

    from separator.weights.entries import BundleSource, PackedFile

    class ReadableStream(Protocol):
        """A binary stream that can be read in blocks."""

        def read(self, size: int, /) -> bytes: ...


BLOCK_BYTES = 1 << 20
MAX_MEMBER_BYTES = 4 << 30  # the largest weights have 2.6 GB
DAMAGED_ERRORS = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # a compression that zipfile does not know
    RuntimeError,  # an encrypted zip
)


def sha256_of(stream: ReadableStream) -> str:
    """SHA-256 of the rest of a stream, in hex."""
    digest = hashlib.sha256()
    while block := stream.read(BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


def extract_source(source: BundleSource, archive: BinaryIO, into: Path) -> dict[str, str]:
    """Write the source's files, from an archive or a plain file; see `extract`."""
    if not isinstance(source.archive, UrlFile):
        return extract(archive, source.files, into)
    (file,) = source.files
    archive.seek(0)
    digest = _copy(archive, into / file.name, MAX_MEMBER_BYTES)
    if not checksum_matches(
        file.sha256, digest
    ):  # it was verified before; nothing may change in between
        raise WrongChecksum(f"{file.name} is not the one in the catalog")
    return {file.name: digest}


def extract(
    archive: BinaryIO,
    files: Sequence[PackedFile],
    into: Path,
    *,
    max_member_bytes: int = MAX_MEMBER_BYTES,
) -> dict[str, str]:
    """Write files of an archive into a folder and flush them to the disk.

    A file matches by its whole path, or by the end of it where the archive has a top folder.

    Args:
        archive: a .tar.gz or a zip, seekable.
        files: the catalogued files to extract.
        into: an existing folder; files of these names must not exist.
        max_member_bytes: size limit of one file.

    Returns:
        file name -> sha256 in hex.

    Raises:
        BadCheckpoint: the archive is damaged, or a file is missing, duplicated or too large.
        WrongChecksum: a file's sha256 is not the catalog's.
    """
    sums: dict[str, str] = {}
    try:
        for path, stream in _unpacked(archive, max_member_bytes * (len(files) + 1)):
            file = _match(path, files)
            if file is None:
                continue
            if file.name in sums:
                raise BadCheckpoint(f"the archive has {file.path} twice")
            sums[file.name] = _copy(stream, into / file.name, max_member_bytes)
    except DAMAGED_ERRORS as error:
        raise BadCheckpoint(f"the archive is damaged ({error})") from None
    for file in files:
        if file.name not in sums:
            raise BadCheckpoint(f"the archive lacks {file.path}")
        if not checksum_matches(file.sha256, sums[file.name]):
            raise WrongChecksum(f"{file.path} in the archive is not the one in the catalog")
    return sums


class _Bounded:
    """A stream with a size limit, against decompression bombs."""

    def __init__(self, stream: ReadableStream, budget_bytes: int) -> None:
        self._stream = stream
        self._budget_bytes = budget_bytes

    def read(self, size: int) -> bytes:
        block = self._stream.read(size)
        self._budget_bytes -= len(block)
        if self._budget_bytes < 0:
            raise BadCheckpoint("the archive unpacks to more than the allowed size")
        return block


def _unpacked(archive: BinaryIO, budget_bytes: int) -> Iterator[tuple[str, ReadableStream]]:
    """Regular files of the archive: (name in the archive, content)."""
    archive.seek(0)
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for item in zipped.infolist():
                if not item.is_dir():
                    with zipped.open(item) as stream:
                        yield item.filename, stream
        return
    archive.seek(0)
    unpacked = _Bounded(gzip.GzipFile(fileobj=archive), budget_bytes)
    with tarfile.open(fileobj=unpacked, mode="r|") as tarred:  # type: ignore[call-overload]
        for entry in tarred:
            content = tarred.extractfile(entry) if entry.isreg() else None
            if content is not None:
                yield entry.name, content


def _match(path: str, files: Sequence[PackedFile]) -> PackedFile | None:
    for file in files:
        if path == file.path or path.endswith(f"/{file.path}"):
            return file
    return None


def _copy(stream: ReadableStream, target: Path, max_bytes: int) -> str:
    digest = hashlib.sha256()
    size = 0
    with target.open("xb") as file:
        while block := stream.read(BLOCK_BYTES):
            size += len(block)
            if size > max_bytes:
                raise BadCheckpoint(f"{target.name} is larger than {max_bytes >> 20} MiB")
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()
