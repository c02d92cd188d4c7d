"""The same settings give the same bytes, however the segments are shared out among threads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import separator
from separator.weights import catalog
from tests.support import GOLDEN, require, thorough

SPLEETER = "spleeter/2stems.json"
HTDEMUCS = "demucs_v4/htdemucs_nobottom.safetensors"


def stems(path: Path | str, precision: str, workers: int) -> dict[str, np.ndarray]:
    music, rate_hz = soundfile.read(GOLDEN / "real" / "audio_example.flac", dtype="float32")
    ready = separator.load(path, device="cpu", precision=precision)
    ready._engine.strategy.placement.workers = workers
    return ready.separate(np.ascontiguousarray(music.T), rate_hz)


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        (SPLEETER, "float32"),
        *thorough([(SPLEETER, "bfloat16"), (HTDEMUCS, "float32"), (HTDEMUCS, "bfloat16")]),
    ],
)
def test_segments_side_by_side_are_those_one_after_the_other(name: str, precision: str) -> None:
    if torch.get_num_threads() < 2:
        pytest.skip("needs two cores: with one there is nothing to share out")
    path = require.golden(name)
    one = stems(path, precision, 1)
    for workers in (2, 3, 2):
        again = stems(path, precision, workers)
        for stem in one:
            assert np.array_equal(again[stem], one[stem]), (workers, stem)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_so_are_those_of_released_weights(precision: str) -> None:
    """They are large enough for torch to share every layer out among threads."""
    require.weights(catalog.find("htdemucs").weights)
    one = stems("htdemucs", precision, 1)
    for workers in (2, 3):
        again = stems("htdemucs", precision, workers)
        assert all(np.array_equal(again[stem], one[stem]) for stem in one), workers
