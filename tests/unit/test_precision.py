"""bfloat16: what it costs with the released weights on music, and who gets it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import soundfile
import torch

import separator
from separator import precision
from separator.errors import InputError
from separator.metrics import sdr_db
from separator.weights import catalog
from tests.excerpt import excerpt
from tests.support import GOLDEN, require, snr_db

MOST_MOVED_SDR_DB = 0.05
MEASURED = [entry.name for entry in catalog.models() if entry.bfloat16_snr_db is not None]


@cache
def stems(model: str, used: str, *, of_excerpt: bool) -> dict[str, np.ndarray]:
    require.weights(catalog.find(model).weights)
    if of_excerpt:
        audio, rate_hz = excerpt().mixture, excerpt().rate_hz
    else:
        read, rate_hz = soundfile.read(GOLDEN / "real" / "audio_example.flac", dtype="float32")
        audio = np.ascontiguousarray(read.T[:, :343_980])  # a segment of htdemucs
    ready = separator.load(model, device="cpu", precision=used, residual="off")
    assert ready.precision == used
    return ready.separate(audio, rate_hz)


def test_the_two_models_whose_weights_were_measured() -> None:
    assert MEASURED == ["spleeter:2stems", "htdemucs"]


@pytest.mark.thorough
@pytest.mark.parametrize("model", MEASURED)
def test_the_catalog_states_the_loss_on_music(model: str) -> None:
    exact = stems(model, "float32", of_excerpt=False)
    rounded = stems(model, "bfloat16", of_excerpt=False)
    found = {name: snr_db(rounded[name], exact[name]) for name in exact}
    print(model, {name: round(snr, 1) for name, snr in found.items()})
    stated = catalog.find(model).bfloat16_snr_db
    assert stated is not None
    assert min(found.values()) >= stated >= precision.LEAST_SNR_DB
    assert min(found.values()) < stated + 3  # as good as it says, and no better


@pytest.mark.thorough
@pytest.mark.process
@pytest.mark.parametrize("model", MEASURED)
def test_true_stems_come_out_as_well(model: str) -> None:
    exact = stems(model, "float32", of_excerpt=True)
    rounded = stems(model, "bfloat16", of_excerpt=True)
    truth = excerpt().stems
    for name in exact:
        true = truth.get(name)
        if true is None:  # accompaniment
            true = np.sum([truth[other] for other in truth if other != "vocals"], axis=0)
        moved = sdr_db(true, rounded[name]) - sdr_db(true, exact[name])
        print(f"{model} {name}: SDR moves by {moved:+.4f} dB")
        assert abs(moved) <= MOST_MOVED_SDR_DB


@pytest.mark.parametrize(
    ("device", "able", "measured_snr_db", "chosen"),
    [
        ("cpu", True, 40.0, "bfloat16"),
        ("cpu", True, 32.9, "float32"),
        ("cpu", True, None, "float32"),
        ("cpu", False, 40.0, "float32"),
        ("meta", True, 40.0, "float32"),
    ],
)
def test_auto_wants_a_measured_loss_and_a_cpu_that_can(
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    able: bool,
    measured_snr_db: float | None,
    chosen: str,
) -> None:
    class Model:
        takes_bfloat16 = True
        cast = False

        def to_bfloat16(self) -> None:
            self.cast = True

    monkeypatch.setattr(precision, "_cpu_multiplies_bfloat16", lambda: able)
    model = Model()
    used = precision.set_precision(model, "auto", torch.device(device), measured_snr_db)  # type: ignore[arg-type]
    assert used == chosen
    assert model.cast == (chosen == "bfloat16")


def test_a_checkpoint_of_the_user_is_computed_in_float32() -> None:
    path = require.golden("demucs_v4/htdemucs.safetensors")
    assert separator.load(path, device="cpu").precision == "float32"
    assert separator.load(path, device="cpu", precision="bfloat16").precision == "bfloat16"


def test_a_model_that_is_not_made_for_it_says_so() -> None:
    path = require.golden("demucs_v1/demucs_v1.th")
    with pytest.raises(InputError, match="float32 only"):
        separator.load(path, device="cpu", precision="bfloat16")


@pytest.mark.parametrize("asked", ["half", "", "BFLOAT16"])
def test_an_unknown_precision_is_refused_before_anything_is_fetched(asked: str) -> None:
    with pytest.raises(InputError, match="auto, float32, bfloat16"):
        separator.load("htdemucs", precision=asked)
