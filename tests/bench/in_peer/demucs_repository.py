"""Weights as a local repository of demucs 4: what its own training would have left there.

Runs in the environment of demucs. Usage: demucs_repository.py WEIGHTS.npz FOLDER NAME
"""

from __future__ import annotations

import hashlib
import io
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from demucs.htdemucs import HTDemucs

# What the released model was built with, where that differs from the class's defaults.
RELEASED = {
    "sources": ["drums", "bass", "other", "vocals"],
    "segment": Fraction(39, 5),
    "bottom_channels": 512,
    "dconv_mode": 3,
}
SUM_DIGITS = 8  # of the sha256 that demucs checks in NAME-SUM.th


def main(source: Path, folder: Path, name: str) -> None:
    with np.load(source) as arrays:
        state = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    HTDemucs(**RELEASED).load_state_dict(state)  # now, not in the first measurement
    buffer = io.BytesIO()
    torch.save({"klass": HTDemucs, "args": (), "kwargs": RELEASED, "state": state}, buffer)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()[:SUM_DIGITS]
    folder.mkdir(parents=True, exist_ok=True)
    for older in folder.glob(f"{name}-*.th"):  # two of one name are an error there
        older.unlink()
    (folder / f"{name}-{digest}.th").write_bytes(content)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
