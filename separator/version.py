"""Version of a model as a hash of its weights and configuration, without loading it or torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from separator.architectures import CLASSICAL
from separator.errors import BadCheckpoint, UnknownModel
from separator.weights import catalog
from separator.weights.archives import sha256_of

# Incremented when a change of the code changes the output for the same weights.
ARCHITECTURE_VERSION = 1


def model_version(name_or_path: str | Path) -> str:
    """16 hexadecimal digits: equal for equal weights, configuration and architecture.

    Args:
        name_or_path: as for `separator.load`.

    Raises:
        UnknownModel: no such name and no such file.
    """
    facts: dict[str, Any] = {"architecture": ARCHITECTURE_VERSION}
    if is_path(name_or_path):
        facts["files"] = [_sha256(file) for file in _files(Path(name_or_path))]
    elif str(name_or_path) in CLASSICAL:
        facts["method"] = str(name_or_path)
    else:
        entry = catalog.find(str(name_or_path))
        facts["stems"] = entry.stems
        facts["config"] = entry.config
        facts["members"] = [[m.stem_weights, dict(m.arguments)] for m in entry.members]
        facts["archives"] = [
            source.archive.sha256
            for bundle in catalog.load().bundles_of(entry)
            for source in bundle.sources
        ]
    text = json.dumps(facts, sort_keys=True, default=dict)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_path(name_or_path: str | Path) -> bool:
    """Whether this is a path instead of a catalog name, by its form; it need not exist."""
    text = str(name_or_path)
    return isinstance(name_or_path, Path) or "/" in text or "\\" in text or _ends_as_file(text)


def _ends_as_file(text: str) -> bool:
    return text.endswith((".json", ".th", ".safetensors", ".onnx", ".index", ".ckpt"))


def _files(path: Path) -> list[Path]:
    """The files that a checkpoint consists of."""
    try:
        if path.suffix != ".json":
            return sorted(path.iterdir()) if path.is_dir() else [path]
        folder = path.parent / str(json.loads(path.read_bytes())["model_dir"])
        return [path, *sorted(folder.iterdir())]
    except FileNotFoundError as error:
        raise UnknownModel(f"{error.filename}: no such file") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadCheckpoint(f"{path}: not a Spleeter configuration ({error})") from None


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return sha256_of(stream)
    except FileNotFoundError:
        raise UnknownModel(f"{file}: no such file") from None
    except OSError as error:
        raise BadCheckpoint(f"{file}: cannot be read ({error.strerror or error})") from None
