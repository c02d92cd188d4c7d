"""The golden two-stem model, made small."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support import GOLDEN


def write_tiny_model(folder: Path) -> Path:
    """The golden two-stem model, its segments and its band made small: short jobs are short.

    1.5 s in place of 12, and 2.8 kHz in place of 11: what lies above goes with the last stem.
    """
    golden = GOLDEN / "spleeter"
    settings = json.loads((golden / "2stems.json").read_text())
    settings["model_dir"] = str(golden / "2stems")
    settings["T"] = 64  # the least that six halvings allow
    settings["F"] = 256
    path = folder / "tiny.json"
    path.write_text(json.dumps(settings))
    return path
