"""Our command: how it is called, what it says of itself, where its stems are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from separator.weights import catalog
from tests.bench.peers import ROOT, Command

if TYPE_CHECKING:
    from pathlib import Path

HELP_LIMIT_S = 120
NO_SETTINGS = {"STEMBRIDGE_CONFIG": os.devnull}  # of whoever runs the bench
PRESETS = ROOT / "presets"  # the shipped ones
PLAIN_PRESET = "stems"  # of them, the one without effects
# Without the residual and without a common gain our stems are what the model says, as the peers'.
BARE_PRESET = """\
schema: 1
summary: the stems as the model gives them
residual: off
headroom:
  mode: none
"""


def split(track: Path, out: Path, *options: str) -> Command:
    """Makes stems of one file, in a folder of its own below `out`."""
    words = ("-m", "bridge", "split", str(track), "--out", str(out), *options)
    return Command((sys.executable, *words), NO_SETTINGS)


def manifest(track: Path, out: Path) -> dict[str, Any]:
    """What it wrote about the run."""
    text = (out / track.stem / "manifest.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def stem_path(track: Path, out: Path, stem: str) -> Path:
    return out / track.stem / f"{track.stem} - {stem}.wav"


def stems(model: str) -> tuple[str, ...]:
    """Of a model of the catalog."""
    return catalog.find(model).stems


def precisions() -> tuple[str, ...]:
    """The values of --precision beside its default; none where the command does not have it.

    The command itself refuses bfloat16 where the processor does not have it.
    """
    return ("float32", "bfloat16") if "--precision" in _help("split") else ()


@cache
def _help(command: str) -> str:
    words = [sys.executable, "-m", "bridge", command, "--help"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=HELP_LIMIT_S, check=True)
    return done.stdout


def show_help() -> Command:
    """How long the program itself takes to start."""
    return Command((sys.executable, "-m", "bridge", "--help"))
