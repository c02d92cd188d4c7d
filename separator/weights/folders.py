"""One folder of the cache: completeness, integrity, and atomic replacement."""

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
FETCHING = ("pip-", "npm-")  # prefixes of their scratch folders
LINE = re.compile(r"([0-9a-f]{64})  ([^/\\]+)")


def is_complete(folder: Path, bundle: Bundle) -> bool:
    """Whether the folder has all files of one of the bundle's sources; content is not read."""
    sums = _sums(folder, bundle)
    return bool(sums) and all((folder / name).is_file() for name in sums)


def is_intact(folder: Path, bundle: Bundle) -> bool:
    """Whether all files match their recorded sha256 and the catalog's."""
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
    """The recorded sums if they match one of the sources, else an empty dict."""
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
    """Write SHA256SUMS, in the format of `sha256sum --check`, and flush the folder to the disk."""
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
    with (folder / SUMS).open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    _sync(folder)


@contextmanager
def replaced_folder(folder: Path, cache: Path) -> Iterator[Path]:
    """An empty folder to fill, which replaces `folder` by a rename at the end.

    After an error, `folder` is unchanged.
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
    """Delete scratch folders of killed processes; the caller must hold the lock."""
    downloads = cache / "downloads"
    fetching = (path for name in FETCHING for path in downloads.glob(f"{name}*"))
    for leftover in (*cache.glob(f"{SCRATCH}*"), *fetching):
        shutil.rmtree(leftover, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Make renames in a folder durable; Windows neither has nor needs this."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
