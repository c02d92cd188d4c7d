"""Identity of a bounce (content hash), and detection of changes while it is read."""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Large enough that the hash, not the system calls, sets the pace; small beside any audio buffer.
_BLOCK_BYTES = 1 << 20

# O_NONBLOCK: opening a FIFO without a writer would wait for ever. Windows has neither flag.
_OPEN_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


@dataclass(frozen=True, slots=True)
class Identity:
    """A bounce as it was read: where, size in bytes, modification time in ns, inode, content."""

    path: Path
    size: int
    mtime_ns: int
    inode: int
    sha256: str


def open_regular(path: Path) -> int:
    """Open a regular file for reading and return its descriptor; never blocks or follows a link.

    Raises OSError, or errors.NotAudio for a folder, link, FIFO, socket or device.
    """
    if not stat.S_ISREG(path.lstat().st_mode):  # first: opening a device can act on it
        raise _not_regular(path)
    descriptor = os.open(path, _OPEN_FLAGS)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):  # again, as the path may have been replaced
        return descriptor
    os.close(descriptor)
    raise _not_regular(path)


def identify(path: Path, waiting: Callable[[], None] = lambda: None) -> Identity:
    """Read the bounce at `path` once and return its identity.

    waiting: called after each block of 1 MiB; its exceptions are passed on.

    Raises:
        BounceChanged: the file was replaced, changed or removed meanwhile.
        NotAudio: it is not a regular file.
        OutputError: the system refused to read it.
    """
    with _reading(path):
        descriptor = open_regular(path)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            before = os.fstat(descriptor)
            digest, length = hashlib.sha256(), 0
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                length += len(block)
                waiting()
            after = os.fstat(descriptor)
        at_path = path.lstat()
    if not _state(before) == _state(after) == _state(at_path) or length != before.st_size:
        raise _changed(path, "changed while it was read")
    return Identity(path, before.st_size, before.st_mtime_ns, before.st_ino, digest.hexdigest())


def check_unchanged(identity: Identity, waiting: Callable[[], None] = lambda: None) -> None:
    """Check, after the last read, that the bounce is still what `identify` read.

    The content is hashed again, because times prove little: copying programs set them to those of
    the source, some file systems count in steps of two seconds, and network drives may show old
    values. It takes about a second for a gigabyte, mostly cached; separating that takes minutes.

    waiting: see `identify`.

    Raises errors.BounceChanged when size, modification time, inode or content differ, or the file
    is gone.
    """
    path = identity.path
    with _reading(path):
        now = path.lstat()
    seen = (now.st_size, now.st_mtime_ns, now.st_ino)
    known = (identity.size, identity.mtime_ns, identity.inode)
    if seen != known or identify(path, waiting) != identity:
        raise _changed(path, "changed while it was read")


def has_size_and_mtime(path: Path, size: int, mtime_ns: int) -> bool:
    """Whether `path` is a regular file of this size in bytes and modification time in ns."""
    try:
        now = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(now.st_mode) and (now.st_size, now.st_mtime_ns) == (size, mtime_ns)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Convert OSError into errors of the bridge."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise _changed(path, "was removed or renamed") from None
    except OSError as error:
        raise _unreadable(path, error) from error


def _state(result: os.stat_result) -> tuple[int, int, int, int]:
    return result.st_size, result.st_mtime_ns, result.st_ino, result.st_dev


def _changed(path: Path, what: str) -> errors.BounceChanged:
    return errors.BounceChanged(f"{path} {what}; leave it in place until its stems are there")


def _not_regular(path: Path) -> errors.NotAudio:
    return errors.NotAudio(f"{path} is not a regular file; put the audio file itself there")


def _unreadable(path: Path, error: OSError) -> errors.OutputError:
    return errors.OutputError(
        f"cannot read {path}: {error.strerror or error}; check permissions and the drive"
    )
