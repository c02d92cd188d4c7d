"""One folder of the cache: is it whole, is it intact, and how it gets into its place."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from separator.weights.archives import sha256_of
from separator.weights.entries import checksum_matches

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from separator.weights.entries import Bundle

SUMS = "SHA256SUMS"
SCRATCH = "scratch-"
FETCHING = ("pip-", "npm-")  # where these programs put what they fetch
LINE = re.compile(r"([0-9a-f]{64})  ([^/\\]+)")


def is_complete(folder: Path, bundle: Bundle) -> bool:
    """Whether the folder holds all files of one of the bundle's sources; their bytes unread."""
    sums = _sums(folder, bundle)
    return bool(sums) and all((folder / name).is_file() for name in sums)


def is_intact(folder: Path, bundle: Bundle) -> bool:
    """Whether all its files have the sha256 that was recorded, and that of the catalog."""
    sums = _sums(folder, bundle)
    if not sums:
        return False
    try:
        for name, expected in sums.items():
            with (folder / name).open("rb") as file:
                if sha256_of(file) != expected:
                    return False
    except OSError:
        return False
    return True


def _sums(folder: Path, bundle: Bundle) -> dict[str, str]:
    """The recorded sums, if they are those of one source; else nothing."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    found = [LINE.fullmatch(line) for line in lines]
    sums = {match[2]: match[1] for match in found if match}
    for source in bundle.sources:
        known = {file.name: file.sha256 for file in source.files}
        if sums.keys() == known.keys() and all(
            checksum_matches(expected, sums[name]) for name, expected in known.items()
        ):
            return sums
    return {}


def write_checksums(folder: Path, sums: Mapping[str, str]) -> None:
    """Writes SHA256SUMS (as `sha256sum --check` reads it) and flushes the folder to the disk."""
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
    with (folder / SUMS).open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    _sync(folder)


@contextmanager
def replaced_folder(folder: Path, cache: Path) -> Iterator[Path]:
    """An empty folder to fill; at the end it is renamed into its place, whatever was there before.

    After an error the place is as it was.
    """
    scratch, old = (cache / f"{SCRATCH}{uuid4().hex}" for _ in range(2))
    scratch.mkdir()
    try:
        yield scratch
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists():
            folder.replace(old)
        scratch.replace(folder)
        _sync(folder.parent)
    finally:
        for leftover in (scratch, old):
            shutil.rmtree(leftover, ignore_errors=True)


def remove_leftovers(cache: Path) -> None:
    """Removes what a killed process left; the caller holds the lock, so nobody needs it."""
    downloads = cache / "downloads"
    fetching = (path for name in FETCHING for path in downloads.glob(f"{name}*"))
    for leftover in (*cache.glob(f"{SCRATCH}*"), *fetching):
        shutil.rmtree(leftover, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Makes renames in a folder last; Windows has no such thing and needs none."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
