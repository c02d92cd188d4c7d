"""Linux's limit of inotify watches, one for each folder and shared by all programs of a user.

watchdog says nothing when a sub-folder gets no watch: its bounces would be found late, by walks.
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
    """Raises OSError (ENOSPC) when the system would not grant one more watch.

    A watch on `folder` is asked for and given back. Where that cannot be tried, all is well.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    if descriptor < 0:  # no instance left: that is another limit, and not for the watches we have
        return
    try:
        watch = libc.inotify_add_watch(descriptor, os.fsencode(folder), _IN_DELETE_SELF)
        if watch < 0 and ctypes.get_errno() == errno.ENOSPC:
            raise OSError(errno.ENOSPC, _EXHAUSTED)
    finally:
        os.close(descriptor)
