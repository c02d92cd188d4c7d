"""Write errors of the system as errors of the bridge, and disk space of a job."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bridge.errors import DiskFull, FileTooLarge, OutputBlocked, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Staged audio is float32.
_STAGED_BYTES = 4
# Metadata, manifest, and rounding to blocks of the file system.
_OVERHEAD_BYTES = 1 << 20
# Size of a trial file, within the limit of every file system (FAT32: 4 GB).
_TRIAL_BYTES = 1 << 30

_FULL = {
    errno.ENOSPC: "free some space or choose another output folder",
    errno.EDQUOT: "free some of your quota or choose another output folder",
}
_GONE = "the drive or its connection is gone: bring it back"
_BLOCKED = {
    errno.EACCES: "allow writing there or choose another output folder",
    errno.EPERM: "allow writing there or choose another output folder",
    errno.EROFS: "the disk is read-only: make it writable or choose another output folder",
    errno.EIO: "the disk reports an error: check it or choose another output folder",
    **dict.fromkeys((errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ENOTCONN), _GONE),
    **dict.fromkeys((errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH), _GONE),
}
_TOO_LARGE = (
    "no file may be that long there: raise `ulimit -f`, or choose another output folder if it is "
    "on a FAT32 drive"
)
_OTHERS = {
    errno.ENOENT: "the folder is gone: create it or choose another output folder",
    errno.EEXIST: "remove it",
    errno.EXDEV: "the folder of the bounce lies on another disk: let it be in the output folder",
    errno.ENAMETOOLONG: "give the bounce a shorter name",
}


def output_error(error: OSError, place: Path) -> OutputError:
    """Convert an OSError of a write into an OutputError with a remedy.

    DiskFull and OutputBlocked may concern every job and pass without a change to the bounce;
    FileTooLarge does not pass by itself.
    """
    number = error.errno or 0
    kind, remedy = OutputError, _OTHERS.get(number, "check the disk")
    if number in _FULL:
        kind, remedy = DiskFull, _FULL[number]
    elif number in _BLOCKED:
        kind, remedy = OutputBlocked, _BLOCKED[number]
    elif number == errno.EFBIG:
        kind, remedy = FileTooLarge, _TOO_LARGE
    reason = error.strerror or type(error).__name__
    return kind(
        f"cannot write {error.filename or place} ({reason}): {remedy}, then `stembridge retry`"
    )


@contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Context that converts write errors into OutputError and its subclasses."""
    try:
        yield
    except OSError as error:
        raise output_error(error, place) from error
    except UnicodeEncodeError as error:
        encoding = sys.getfilesystemencoding()
        if encoding == "utf-8":
            raise
        raise OutputError(
            f"cannot write {place}: {encoding}, the encoding of the locale, lacks a character of "
            "that name; set a UTF-8 locale, then `stembridge retry`"
        ) from error


def job_bytes(
    *, frames: int, channels: int, separated: int, outputs: int, value_bytes: int, chain: bool
) -> int:
    """Peak disk space of a job in bytes.

    All separated stems are staged as float32 until the end; in addition there is first one more
    stem while effects are rendered, then the outputs.

    Args:
        frames: length of the bounce.
        channels: channels of the bounce.
        separated: number of separated stems that the outputs need.
        outputs: number of published files.
        value_bytes: bytes of one value in an output, such as 3 for 24 bits.
        chain: whether effects are rendered.
    """
    values = frames * channels
    extra = max(_STAGED_BYTES * chain, outputs * value_bytes)
    return values * (separated * _STAGED_BYTES + extra) + _OVERHEAD_BYTES


def check_space(folder: Path, needed_bytes: int) -> None:
    """Raise DiskFull when the file system of `folder` has less than `needed_bytes` free.

    User quotas are not included, as no portable call reports them; `reserve` finds those.
    """
    with disk_errors(folder):
        free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise DiskFull(
            f"the disk at {_mount_point(folder)} has {_size(free_bytes)} free and this bounce "
            f"needs {_size(needed_bytes)} temporarily: free some space, then `stembridge retry`"
        )


def reserve(folder: Path, needed_bytes: int) -> None:
    """Allocate `needed_bytes`, synced, in new files in `folder`; the caller removes them.

    Only an allocation reveals quotas, reserved blocks and thin volumes. On systems without
    `posix_fallocate` a few bytes are written. Raises OutputError.
    """
    check_space(folder, needed_bytes)
    left_bytes, number = max(needed_bytes, 1), 0
    while left_bytes > 0:
        path = folder / f"trial {number}"
        with disk_errors(path), path.open("xb") as file:
            file.write(b"\0")
            file.flush()
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, min(left_bytes, _TRIAL_BYTES))
            os.fsync(file.fileno())
        left_bytes -= _TRIAL_BYTES
        number += 1


def _mount_point(folder: Path) -> Path:
    """Mount point of the file system of an existing folder."""
    whole = folder.resolve()
    return next(place for place in (whole, *whole.parents) if os.path.ismount(place))


def _size(count_bytes: int) -> str:
    return f"{count_bytes / 1e9:.2f} GB" if count_bytes >= 1e8 else f"{count_bytes / 1e6:.1f} MB"
