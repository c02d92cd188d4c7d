"""Checks of libraries, weights and memory."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from bridge.doctor.findings import Finding
from separator.errors import SeparatorError
from separator.version import is_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.config import Settings

# Memory of the worker, measured on Linux with the CPU build of PyTorch over 40 s of stereo: 0.7 GB
# with spleeter:2stems (73 MB of weights), 1.6 GB with htdemucs (84 MB). It does not follow from
# the size of the weights, so the larger value is used for all models.
_RUNNING_BYTES = 1.6e9
_CGROUP = Path("/sys/fs/cgroup")


def programs(settings: Settings, model: str) -> Iterator[Finding]:
    """Check torch, the weights of the default model, and the audio libraries."""
    yield _torch(settings)
    yield _weights(settings, model)
    yield _package("pedalboard")
    yield _package("soundfile")
    yield _package("av")


def memory(model: str) -> Iterator[Finding]:
    """Check cores, and free memory against the need of the default model."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("cores", f"{cores or 1} for this process")
    needed_bytes = _RUNNING_BYTES + _weights_bytes(model)
    left_bytes, whose = float(psutil.virtual_memory().available), "available"
    limit_bytes = cgroup_left_bytes(_CGROUP, Path("/proc/self/cgroup"))
    if limit_bytes is not None and limit_bytes < left_bytes:
        left_bytes, whose = limit_bytes, "left in this control group"
    little = left_bytes < needed_bytes
    advice = "; close other programs, raise the limit or take a smaller model" if little else ""
    needed = f"{needed_bytes / 1e9:.1f} GB needed by {model}"
    text = f"{left_bytes / 1e9:.1f} GB {whose}, {needed}{advice}"
    yield Finding("memory", text, warn=little)


def cgroup_left_bytes(root: Path, membership: Path) -> float | None:
    """Memory left by the tightest limit on this process; None without a limit (cgroups v2).

    root: mount point of control groups. membership: the kernel's file with this process's group.
    """
    try:
        line = membership.read_text(encoding="utf-8").splitlines()[-1]
    except (OSError, IndexError):
        return None
    own = root / line.rpartition(":")[2].lstrip("/")
    left_bytes = None
    for group in (own, *own.parents):
        try:
            limit = (group / "memory.max").read_text(encoding="ascii").strip()
            used = (group / "memory.current").read_text(encoding="ascii").strip()
        except OSError:
            continue  # the root group has neither
        if limit.isdigit() and used.isdigit():
            here_bytes = float(int(limit) - int(used))
            left_bytes = here_bytes if left_bytes is None else min(left_bytes, here_bytes)
    return left_bytes


def _torch(settings: Settings) -> Finding:
    try:
        import torch

        from separator.devices import choose_device

        device = choose_device(settings.device)
    except (ImportError, OSError) as error:
        return Finding("torch", f"cannot be imported ({error}): reinstall stembridge", fine=False)
    except SeparatorError as error:
        return Finding("torch", str(error), fine=False)
    threads = torch.get_num_threads()
    return Finding("torch", f"{torch.__version__} on {device}, {threads} threads")


def _weights(settings: Settings, name: str) -> Finding:
    from separator import architectures
    from separator.weights import catalog
    from separator.weights.store import Store

    if name in architectures.CLASSICAL:
        return Finding("weights", f"{name}: needs none")
    if is_path(name):
        exists = Path(name).exists()
        return Finding("weights", f"{name}: {'found' if exists else 'no such file'}", fine=exists)
    store = Store(settings.cache_dir)
    try:
        cached = store.has(catalog.find(name))
    except SeparatorError as error:
        return Finding("weights", str(error), fine=False)
    todo = "cached" if cached else f"not cached: `stembridge models pull {name}` downloads them"
    others = [entry.name for entry in catalog.models() if entry.name != name and store.has(entry)]
    also = f"; cached too: {', '.join(others)}" if others else ""
    return Finding("weights", f"{name}: {todo}{also}", warn=not cached)


def _weights_bytes(name: str) -> float:
    """Size of a model's weights; 0 if not known."""
    from separator.weights import catalog

    known = {entry.name: entry.size_bytes for entry in catalog.models()}
    return float(known.get(name) or 0)


def _package(name: str) -> Finding:
    try:
        __import__(name)
    except (ImportError, OSError) as error:
        return Finding(name, f"cannot be imported ({error}): reinstall stembridge", fine=False)
    return Finding(name, metadata.version(name))
