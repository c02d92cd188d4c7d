"""A short name for the numbers a model computes with, found without loading it (or torch)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from separator.errors import BadCheckpoint, UnknownModel
from separator.weights import catalog

# Raised when the architecture code changes what comes out for the same weights.
ARCHITECTURE = 1


def model_version(name_or_path: str | Path) -> str:
    """16 hexadecimal digits: equal for equal weights, configuration and architecture.

    Args:
        name_or_path: as for `separator.load`.

    Raises:
        UnknownModel: no such name and no such file.
    """
    path = Path(name_or_path)
    facts: dict[str, Any] = {"architecture": ARCHITECTURE}
    if path.suffix == ".json":
        facts["files"] = [hashlib.sha256(data).hexdigest() for data in _contents(path)]
    else:
        entry = catalog.find(str(name_or_path))
        bundle = catalog.load().weights[entry.weights]
        facts["stems"] = entry.stems
        facts["config"] = entry.config
        facts["archives"] = [source.archive.sha256 for source in bundle.sources]
    text = json.dumps(facts, sort_keys=True, default=dict)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _contents(config: Path) -> list[bytes]:
    try:
        text = config.read_bytes()
        folder = config.parent / str(json.loads(text)["model_dir"])
        files = sorted(file for file in folder.iterdir() if file.is_file())
        return [text, *(file.read_bytes() for file in files)]
    except FileNotFoundError as error:
        raise UnknownModel(f"{error.filename}: no such file") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadCheckpoint(f"{config}: not a Spleeter configuration ({error})") from None
