"""Our Spleeter against the official TensorFlow implementation, on its own outputs.

The golden files hold slices of every stem, made by Spleeter 2.4.2: with tiny networks saved by
TensorFlow itself, and with the released weights on real music. Tolerance: 80 dB of SNR over all
slices of a stem, the bound that the project states for float32.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import separator
from separator.separator import Separator
from tests.support import GOLDEN, require, snr_db
from tests.unit.golden_files import SPLEETER_2_STEMS, SPLEETER_MORE_STEMS

SPLEETER = GOLDEN / "spleeter"
LEAST_SNR_DB = 80.0


@cache
def mix(path: Path) -> np.ndarray:
    return np.ascontiguousarray(soundfile.read(path, dtype="float32", always_2d=True)[0].T)


def snr_of(stem: np.ndarray, slices: dict[int, np.ndarray]) -> float:
    """Signal to noise over the concatenated slices {start: (channels, frames)}."""
    cut = [stem[:, start : start + s.shape[1]] for start, s in slices.items()]
    return snr_db(np.concatenate(cut, axis=1), np.concatenate(list(slices.values()), axis=1))


def slices_of(file: Path, sources: tuple[str, ...]) -> dict[str, dict[int, np.ndarray]]:
    arrays = np.load(file)
    found: dict[str, dict[int, np.ndarray]] = {source: {} for source in sources}
    for key in arrays.files:
        source, start = key.rsplit("_", 1)
        array = arrays[key]
        found[source][int(start)] = array if array.shape[0] == 2 else array.T
    assert all(found.values()), "every stem has its slices"
    return found


def check(ours: Separator, audio: np.ndarray, file: Path) -> None:
    stems = ours.separate(audio, 44_100)
    for source, slices in slices_of(file, ours.sources).items():
        snr = snr_of(stems[source], slices)
        print(f"{file.stem} {source}: {snr:.1f} dB")
        assert snr >= LEAST_SNR_DB, source


@pytest.mark.parametrize("name", SPLEETER_2_STEMS)
def test_tiny_networks_equal_the_official_result(name: str) -> None:
    config = SPLEETER / f"{name}.json"
    wiener = json.loads(config.read_text())["golden"]["mwf"]
    ours = separator.load(config, residual="off", wiener=wiener)
    check(ours, mix(SPLEETER / "mix.flac"), SPLEETER / f"{name}.npz")


@pytest.mark.parametrize("name", SPLEETER_MORE_STEMS)
def test_more_stems_equal_the_official_result(name: str) -> None:
    ours = separator.load(SPLEETER / f"{name}.json", residual="off")
    check(ours, mix(SPLEETER / "mix.flac"), require.golden(f"spleeter/{name}.npz"))


def test_the_released_weights_equal_the_official_result_on_music() -> None:
    require.weights()
    ours = separator.load("spleeter:2stems", precision="float32", residual="off")
    music = mix(GOLDEN / "real" / "audio_example.flac")
    audio = np.concatenate([music, music[:, ::-1]], axis=1)
    check(ours, audio, GOLDEN / "real" / "spleeter_2stems.npz")


@pytest.mark.parametrize("block_frames", [1, 4096, 44_100, 441_000])
def test_streams_of_any_block_size_equal_one_array(block_frames: int) -> None:
    ours = separator.load(SPLEETER / "2stems.json", residual="stem")
    audio = mix(SPLEETER / "mix.flac")
    if block_frames == 1:
        audio = audio[:, :60_000]  # a hundred thousand Python calls are enough
    blocks = (audio[:, i : i + block_frames] for i in range(0, audio.shape[1], block_frames))
    streamed = list(ours.stream(blocks, 44_100))
    for name, expected in ours.separate(audio, 44_100).items():
        whole = np.concatenate([block[name] for block in streamed], axis=1)
        np.testing.assert_allclose(whole, expected, atol=1e-5)


def test_the_wiener_filter_streams_in_two_passes() -> None:
    ours = separator.load(SPLEETER / "2stems-mwf.json", residual="off", wiener=True)
    audio = mix(SPLEETER / "mix.flac")[:, :100_000]
    blocks = [audio[:, i : i + 30_000] for i in range(0, 100_000, 30_000)]
    streamed = list(ours.stream(blocks, 44_100))
    for name, expected in ours.separate(audio, 44_100).items():
        whole = np.concatenate([block[name] for block in streamed], axis=1)
        np.testing.assert_allclose(whole, expected, atol=1e-5)
    with pytest.raises(separator.errors.InputError, match="reads the mixture twice"):
        next(ours.stream(iter(blocks), 44_100))


def test_the_module_takes_batches() -> None:
    model = separator.load(SPLEETER / "2stems.json").model
    audio = torch.from_numpy(mix(SPLEETER / "mix.flac")[:, :50_000])
    together = model(torch.stack([audio, audio.flip(-1)]))  # needs no inference mode
    alone = model(audio[None])
    assert together.shape == (2, 2, 2, 50_000)
    torch.testing.assert_close(together[0], alone[0], atol=1e-5, rtol=0)


def test_other_rates_lose_nothing_above_the_models_band() -> None:
    ours = separator.load(SPLEETER / "2stems.json", residual="add-to-last")
    audio = mix(SPLEETER / "mix.flac")[:, :100_000]
    for rate_hz in (44_100, 48_000, 96_000):
        stems = ours.separate(audio, rate_hz)
        np.testing.assert_allclose(sum(stems.values()), audio, atol=1e-6)
