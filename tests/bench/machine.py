"""What the figures were taken on: they mean little without it."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from bridge import __version__
from tests.bench.peers import ROOT

# Instructions that decide how fast matrices are multiplied.
TELLING_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile")
PACKAGES = ("torch", "numpy", "soundfile")


def describe() -> dict[str, str]:
    """The machine and our versions, as rows of a table."""
    model, flags = _processor()
    facts = {
        "processor": f"{model}, {os.cpu_count()} logical cores",
        "instructions": ", ".join(name for name in TELLING_FLAGS if name in flags) or "not known",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": platform.platform(),
        "Python": platform.python_version(),
        "stembridge": __version__ + _commit(),
    }
    for name in PACKAGES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = "not installed"
    if hasattr(os, "getloadavg"):
        facts["load before"] = (
            f"{os.getloadavg()[0]:.2f} (processes that wanted to run, last minute)"
        )
    return facts


def _processor() -> tuple[str, frozenset[str]]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine(), frozenset()
    facts = {key.strip(): text.strip() for key, _, text in (line.partition(":") for line in lines)}
    model = facts.get("model name") or platform.machine()
    return model, frozenset(facts.get("flags", facts.get("Features", "")).split())


def _commit() -> str:
    """Of the working tree, with a word where it has changes; nothing without git."""
    words = ["git", "describe", "--always", "--dirty=, changed since"]
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f" at {done.stdout.strip()}"
