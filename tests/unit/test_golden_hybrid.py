"""Demucs 3 and 4 against the official implementations, on their own outputs.

Each golden folder holds tiny networks with random weights, saved as that release saved its models:
version 3 as a pickled dict, version 4 as the hub's safetensors and once as a pickle in half
precision. `x` is the mixture that the official network was given, `y` what came out. The files of
the larger ones are not in the repository.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch

import separator
from separator.models.htdemucs import HTDemucs, HTDemucsConfig
from tests.support import GOLDEN, require, snr_db
from tests.unit.golden_files import HYBRID

LEAST_SNR_DB = 80.0  # the bound that the project states for float32
LEAST_HALF_SNR_DB = 40.0  # ... and for weights kept in half precision
LEAST_REAL_SNR_DB = 70.0  # ... through the whole chunked path

HALF = {"htdemucs-9b4493cf.th"}
RELEASED = {
    "sources": ["drums", "bass", "other", "vocals"],
    "segment": "39/5",
    "bottom_channels": 512,
    "dconv_mode": 3,
}


@pytest.mark.parametrize(("folder", "name", "checkpoint"), HYBRID)
def test_a_released_format_gives_the_official_output(
    folder: str, name: str, checkpoint: str
) -> None:
    ours = separator.load_checkpoint(
        require.golden(f"{folder}/{checkpoint}"), device="cpu", precision="float32"
    )
    about = json.loads(require.golden(f"{folder}/{name}.json").read_text())
    assert ours.sources == tuple(about["kwargs"]["sources"])
    arrays = np.load(require.golden(f"{folder}/{name}.npz"))
    with torch.inference_mode():
        stems = ours.model(torch.from_numpy(arrays["x"])[None])[0].numpy()
    assert stems.shape == arrays["y"].shape
    for source, stem, theirs in zip(ours.sources, stems, arrays["y"], strict=True):
        snr = snr_db(stem, theirs)
        print(f"{checkpoint} {source}: {snr:.1f} dB")
        assert snr >= (LEAST_HALF_SNR_DB if checkpoint in HALF else LEAST_SNR_DB), source


def test_htdemucs_as_released_has_every_parameter_and_no_other() -> None:
    model = HTDemucs(HTDemucsConfig.from_official(RELEASED))
    assert sum(parameter.numel() for parameter in model.parameters()) == 41_984_456
    assert model.segment_frames == 343_980
    listed = json.loads(require.golden("real/htdemucs.json").read_text())["parameter_sums"]
    official = {name: torch.empty(0) for name in listed}
    assert set(HTDemucs.from_official_state(official)) == set(model.state_dict())


@pytest.mark.thorough
def test_the_released_weights_give_the_official_result_on_music() -> None:
    """The whole way: level, segments, cross-fade."""
    require.weights("demucs-955717e8")
    arrays = np.load(require.golden("real/htdemucs.npz"))
    music = soundfile.read(GOLDEN / "real" / "audio_example.flac", dtype="float32")[0].T
    ours = separator.load("htdemucs", device="cpu", precision="float32", residual="off")
    stems = ours.separate(np.ascontiguousarray(music), 44_100)
    for source in ours.sources:
        keys = [key for key in arrays.files if key.startswith(f"{source}_")]
        assert keys
        starts = [int(key.rsplit("_", 1)[1]) for key in keys]
        theirs = [arrays[key] for key in keys]
        slices = [stems[source][:, a : a + s.shape[1]] for a, s in zip(starts, theirs, strict=True)]
        snr = snr_db(np.concatenate(slices, axis=1), np.concatenate(theirs, axis=1))
        print(f"htdemucs {source}: {snr:.1f} dB")
        assert snr >= LEAST_REAL_SNR_DB, source
