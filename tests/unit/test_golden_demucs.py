"""Demucs 1 and 2 and Conv-TasNet against the official implementations, on their own outputs.

Each golden folder holds tiny networks with random weights, saved as that release saved its
models: version 1 as a pickled tuple that says class and arguments itself, version 2 as a bare
state dict. `x` is the mixture that the official network was given, `y` what came out.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import separator
from separator.separator import Separator
from tests.support import require, snr_db
from tests.unit.golden_files import DEMUCS_V1, DEMUCS_V2

LEAST_SNR_DB = 80.0  # the bound that the project states for float32
ARCHITECTURES = {"Demucs": "demucs-v2", "ConvTasNet": "conv-tasnet"}  # of bare state dicts


def check(ours: Separator, arrays: Path) -> None:
    golden = np.load(arrays)
    with torch.inference_mode():
        stems = ours.model(torch.from_numpy(golden["x"])[None].to(ours.device))[0].cpu().numpy()
    assert stems.shape == golden["y"].shape
    for source, stem, theirs in zip(ours.sources, stems, golden["y"], strict=True):
        snr = snr_db(stem, theirs)
        print(f"{arrays.stem} {source}: {snr:.1f} dB")
        assert snr >= LEAST_SNR_DB, source


@pytest.mark.parametrize("name", DEMUCS_V1)
def test_a_file_of_version_1_says_all_itself(name: str) -> None:
    ours = separator.load_checkpoint(require.golden(f"demucs_v1/{name}.th"))
    assert ours.sources == ("drums", "bass", "other", "vocals")
    check(ours, require.golden(f"demucs_v1/{name}.npz"))


@pytest.mark.parametrize("name", DEMUCS_V2)
def test_a_state_dict_of_version_2_with_its_arguments(name: str) -> None:
    about = json.loads(require.golden(f"demucs_v2/{name}.json").read_text())
    ours = separator.load_checkpoint(
        require.golden(f"demucs_v2/{about['checkpoint']}"),
        architecture=ARCHITECTURES[about["class"]],
        arguments=about["kwargs"],
    )
    assert ours.sources == tuple(about["kwargs"]["sources"])
    check(ours, require.golden(f"demucs_v2/{name}.npz"))
