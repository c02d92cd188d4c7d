"""Check of Linux's limit of inotify watches, one for each folder, shared by a user's programs.

watchdog does not report a sub-folder without a watch; its bounces would be found late, by scans.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_IN_DELETE_SELF = 0x400  # inotify(7); any event would do
_EXHAUSTED = "inotify watch limit reached"


def check_watches(folder: Path) -> None:
    """Raise OSError (ENOSPC) if the system does not grant one more watch.

    Adds a watch on `folder` and removes it. Does nothing where that is not possible.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    if descriptor < 0:  # no instance left, which is another limit
        return
    try:
        watch = libc.inotify_add_watch(descriptor, os.fsencode(folder), _IN_DELETE_SELF)
        if watch < 0 and ctypes.get_errno() == errno.ENOSPC:
            raise OSError(errno.ENOSPC, _EXHAUSTED)
    finally:
        os.close(descriptor)
