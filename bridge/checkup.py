"""What `doctor` looks at: facts of this machine that decide whether the bridge works on it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from bridge import __version__
from bridge.config import DEFAULT_MODEL
from separator.errors import SeparatorError
from separator.version import is_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.config import Settings

# A four-minute stereo bounce at 96 kHz takes about 1 GB as bounce, staged floats and stems.
COMFORTABLE_BYTES = 5 * 10**9
# inotify counts one watch per folder; a session archive has a few thousand.
COMFORTABLE_WATCHES = 8192


@dataclass(frozen=True)
class Finding:
    """One check. fine is False only for what stops the bridge."""

    name: str
    text: str
    fine: bool = True
    warn: bool = False

    @property
    def mark(self) -> str:
        """ok, !! or -- at a glance."""
        return "!!" if not self.fine else "--" if self.warn else "ok"


def examine(settings: Settings) -> tuple[Finding, ...]:
    """All checks, in the order of the way that a bounce takes."""
    return (
        Finding("stembridge", f"{__version__} on Python {platform.python_version()}"),
        *_events(),
        _torch(settings),
        _weights(settings),
        _package("pedalboard"),
        _package("soundfile"),
        _writable("ledger", settings.state_dir),
        _writable("weights cache", settings.cache_dir),
        _disk(Path.cwd()),
        _ffmpeg(),
    )


def _torch(settings: Settings) -> Finding:
    try:
        import torch

        from separator.devices import choose_device

        device = choose_device(settings.device)
    except (ImportError, OSError) as error:
        return Finding(
            "torch", f"cannot be imported ({error}): install stembridge anew", fine=False
        )
    except SeparatorError as error:
        return Finding("torch", str(error), fine=False)
    threads = torch.get_num_threads()
    return Finding("torch", f"{torch.__version__} on {device}, {threads} threads")


def _weights(settings: Settings) -> Finding:
    from separator.weights import catalog
    from separator.weights.store import Store

    name = settings.model or DEFAULT_MODEL
    if is_path(name):
        there = Path(name).exists()
        return Finding("weights", f"{name}: {'there' if there else 'no such file'}", fine=there)
    try:
        entry = catalog.find(name)
        cached = Store(settings.cache_dir).has(entry)
    except SeparatorError as error:
        return Finding("weights", str(error), fine=False)
    todo = "cached" if cached else f"not cached: `stembridge models pull {name}` fetches them"
    return Finding("weights", f"{name}: {todo}", warn=not cached)


def _package(name: str) -> Finding:
    try:
        __import__(name)
    except (ImportError, OSError) as error:
        return Finding(name, f"cannot be imported ({error}): install stembridge anew", fine=False)
    return Finding(name, metadata.version(name))


def _events() -> Iterator[Finding]:
    if not sys.platform.startswith("linux"):
        yield Finding("events", f"the native ones of {platform.system()}")
        return
    folder = Path("/proc/sys/fs/inotify")
    try:
        watches = int((folder / "max_user_watches").read_text())
        instances = int((folder / "max_user_instances").read_text())
    except (OSError, ValueError):
        yield Finding("events", "no inotify here: `watch --poll` works all the same", warn=True)
        return
    few = watches < COMFORTABLE_WATCHES
    advice = "; raise fs.inotify.max_user_watches or use `watch --poll`" if few else ""
    text = f"inotify, up to {watches} folders, {instances} programs{advice}"
    yield Finding("events", text, warn=few)


def _writable(name: str, folder: Path) -> Finding:
    nearest = next(p for p in (folder, *folder.parents) if p.exists())
    if os.access(nearest, os.W_OK):
        return Finding(name, str(folder))
    return Finding(name, f"{folder}: {nearest} is not writable for you", fine=False)


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    little = free < COMFORTABLE_BYTES
    advice = ": may be too little for long bounces" if little else ""
    return Finding("disk", f"{free / 1e9:.1f} GB free in {folder}{advice}", warn=little)


def _ffmpeg() -> Finding:
    found = shutil.which("ffmpeg")
    return Finding("ffmpeg", found or "not found (only `evaluate` needs it, for .stem.mp4 files)")
