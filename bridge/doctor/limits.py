"""Checks of system limits: file events, open files, file sizes, clock."""

from __future__ import annotations

import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.doctor.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

# inotify counts one watch per folder; a session archive has a few thousand.
COMFORTABLE_WATCHES = 8192
# Desktops use a few dozen of these themselves.
COMFORTABLE_INSTANCES = 64
# Events that a burst may queue between two reads; lost ones are found by a later scan.
COMFORTABLE_QUEUE = 4096
# Threads, pipes, the ledger, weights in several files and every open stem: about a hundred.
COMFORTABLE_FILES = 256
# An hour of stereo at 96 kHz as float32 takes 2.8 GB.
COMFORTABLE_FILE_BYTES = 4e9
# 1 January 2024: an earlier clock was never set.
_EARLIEST_S = 1_704_067_200
_INOTIFY = Path("/proc/sys/fs/inotify")


def events() -> Iterator[Finding]:
    """Check the file events of the system."""
    if not sys.platform.startswith("linux"):
        yield Finding("events", f"native events of {platform.system()}")
        return
    names = ("max_user_watches", "max_user_instances", "max_queued_events")
    try:
        watches, instances, queue = (int((_INOTIFY / name).read_text()) for name in names)
    except (OSError, ValueError):
        yield Finding("events", "no inotify here: `watch --poll` works all the same", warn=True)
        return
    few = watches < COMFORTABLE_WATCHES
    advice = "; raise fs.inotify.max_user_watches or use `watch --poll`" if few else ""
    yield Finding("events", f"inotify, for up to {watches:,} folders{advice}", warn=few)
    few = instances < COMFORTABLE_INSTANCES
    advice = "; raise fs.inotify.max_user_instances or use `watch --poll`" if few else ""
    yield Finding("event users", f"up to {instances:,} programs at once{advice}", warn=few)
    few = queue < COMFORTABLE_QUEUE
    advice = "; raise fs.inotify.max_queued_events, or bursts are found late" if few else ""
    yield Finding("event queue", f"up to {queue:,} events at once{advice}", warn=few)


def process_limits() -> Iterator[Finding]:
    """Check the process limits set by a shell or a service manager."""
    try:
        import resource
    except ImportError:  # Windows has none of these
        return
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    few = 0 <= files < COMFORTABLE_FILES
    advice = f"; raise `ulimit -n` to {COMFORTABLE_FILES} at least" if few else ""
    yield Finding("open files", f"{_limit(files, resource.RLIM_INFINITY)}{advice}", warn=few)
    size = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    small = size != resource.RLIM_INFINITY and size < COMFORTABLE_FILE_BYTES
    shown = "unlimited" if size == resource.RLIM_INFINITY else f"up to {size / 1e6:.0f} MB"
    advice = "; raise `ulimit -f`, or long stems cannot be written" if small else ""
    yield Finding("file size", f"{shown}{advice}", warn=small)


def clock(ledger: Path) -> Finding:
    """Check the clock; a wrong one confuses the order of jobs."""
    now_s = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now_s))
    try:
        written_s = ledger.stat().st_mtime
    except OSError:
        written_s = now_s
    if now_s < _EARLIEST_S:
        return Finding("clock", f"{shown}: not set; set it", warn=True)
    if written_s > now_s + 60:
        return Finding(
            "clock", f"{shown}: the ledger was written later than that; set it", warn=True
        )
    return Finding("clock", shown)


def _limit(value: int, unlimited: int) -> str:
    return "unlimited" if value == unlimited else f"up to {value:,} at once"
