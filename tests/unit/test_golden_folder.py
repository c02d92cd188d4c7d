"""No golden file without a test."""

from __future__ import annotations

import json

from tests.support import require
from tests.unit.golden_files import (
    DEMUCS_V1,
    DEMUCS_V2,
    HYBRID,
    SPLEETER_2_STEMS,
    SPLEETER_MORE_STEMS,
)

CHECKPOINTS = {".th", ".safetensors"}
NO_MODEL_YET = {"modern"}  # RoFormers and MDX23C: no model of this version reads them


def compared() -> set[str]:
    """Every output that a test compares with, and every checkpoint that one loads."""
    spleeter = (*SPLEETER_2_STEMS, *SPLEETER_MORE_STEMS)
    found = {f"spleeter/{name}.npz" for name in spleeter}
    found |= {f"demucs_v1/{name}.{end}" for name in DEMUCS_V1 for end in ("npz", "th")}
    for name in DEMUCS_V2:
        about = json.loads(require.golden(f"demucs_v2/{name}.json").read_text())
        found |= {f"demucs_v2/{name}.npz", f"demucs_v2/{about['checkpoint']}"}
    for folder, name, checkpoint_name in HYBRID:
        found |= {f"{folder}/{name}.npz", f"{folder}/{checkpoint_name}"}
    return found | {"real/htdemucs.npz", "real/spleeter_2stems.npz"}


def test_every_golden_file_has_a_test() -> None:
    folder = require.corpus().parent / "golden"
    there = {
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if file.suffix in {".npz", *CHECKPOINTS}
        and file.relative_to(folder).parts[0] not in NO_MODEL_YET
    }
    assert there == compared()
