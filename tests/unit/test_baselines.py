"""The separators without weights, and the oracle: what they promise on signals that are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from separator.baselines import (
    CentreSides,
    HarmonicPercussive,
    MaskModel,
    SpectrogramGrid,
    ideal_ratio_masks,
    running_median,
)
from separator.errors import InputError
from separator.metrics import sdr_db
from separator.separator import Separator
from tests.excerpt import excerpt
from tests.hypothesis_profiles import examples

Array = NDArray[np.float32]
RATE_HZ = 44_100
MODELS = (HarmonicPercussive, CentreSides)
Make = Callable[[], MaskModel]
both = pytest.mark.parametrize("make", MODELS)


def noise(channels: int, frames: int, seed: int = 0) -> Array:
    random = np.random.default_rng(seed)
    return (0.1 * random.standard_normal((channels, frames))).astype(np.float32)


def stems(model: MaskModel, mixture: Array) -> dict[str, Array]:
    """Without the streaming engine."""
    with torch.inference_mode():
        out = model(torch.from_numpy(mixture)[None])[0].numpy()
    return dict(zip(model.sources, out, strict=True))


def tone(hz: float, frames: int = 2 * RATE_HZ) -> Array:
    wave = 0.3 * np.sin(2 * np.pi * hz * np.arange(frames) / RATE_HZ)
    return wave.astype(np.float32)


def clicks(frames: int = 2 * RATE_HZ) -> Array:
    wave = np.zeros(frames, np.float32)
    wave[5000::11_025] = 0.9
    return wave


@settings(max_examples=examples(30))
@given(st.sampled_from((3, 5, 17)), st.integers(1, 40), st.integers(0, 1), st.integers(0, 99))
def test_the_running_median_is_the_median(width: int, count: int, dim: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 9, (count, count + 3)).astype(np.float32)
    half = width // 2
    got = running_median(torch.from_numpy(values), width, dim).numpy()
    assert got.shape == values.shape
    inner = range(half, values.shape[dim] - half)  # the whole neighbourhood is there
    for place in inner:
        around = values.take(range(place - half, place + half + 1), axis=dim)
        np.testing.assert_array_equal(got.take(place, axis=dim), np.median(around, axis=dim))
    if count > half:
        pad = [(half, half) if axis == dim else (0, 0) for axis in (0, 1)]
        mirrored = np.pad(values, pad, mode="reflect")
        first = np.median(mirrored.take(range(width), axis=dim), axis=dim)
        np.testing.assert_array_equal(got.take(0, axis=dim), first)


@both
@settings(max_examples=examples(6))
@given(frames=st.integers(1, 90_000))
def test_the_stems_add_up_to_the_mixture(make: Make, frames: int) -> None:
    mixture = noise(2, frames)
    mixture[:, frames // 3 : frames // 2] = 0  # silence is shared out too, without NaN
    total = np.sum(list(stems(make(), mixture).values()), axis=0)
    np.testing.assert_allclose(total, mixture, atol=1e-6)


@both
def test_the_result_does_not_depend_on_the_segments(make: Make) -> None:
    mixture = np.stack([tone(440) + clicks(), tone(447)])
    expected = stems(make(), mixture)
    model = make()
    model.grid = SpectrogramGrid(steps=11, context=model.grid.context)
    model.plan = model.grid.plan
    for name, stem in stems(model, mixture).items():
        np.testing.assert_allclose(stem, expected[name], atol=1e-6)


@both
def test_they_work_in_the_streaming_engine(make: Make) -> None:
    ready = Separator(make(), "classical", torch.device("cpu"))
    mixture = noise(2, 200_000)
    whole = ready.separate(mixture, RATE_HZ)
    blocks = (mixture[:, i : i + 7777] for i in range(0, 200_000, 7777))
    streamed = list(ready.stream(blocks, RATE_HZ))
    for name, expected in stems(make(), mixture).items():
        np.testing.assert_allclose(whole[name], expected, atol=1e-6)
        joined = np.concatenate([block[name] for block in streamed], axis=1)
        np.testing.assert_allclose(joined, expected, atol=1e-6)
    assert np.abs(whole["residual"]).max() < 1e-6


@both
def test_they_take_batches(make: Make) -> None:
    audio = torch.from_numpy(noise(2, 30_000))
    model = make()
    together = model(torch.stack([audio, audio.flip(-1)]))
    assert together.shape == (2, 2, 2, 30_000)
    torch.testing.assert_close(together[0], model(audio[None])[0], atol=1e-6, rtol=0)


def test_tones_are_harmonic_and_clicks_are_percussive() -> None:
    tones = np.stack([tone(440), tone(660)])
    hits = np.stack([clicks(), clicks()])
    found = stems(HarmonicPercussive(), tones + hits)
    inner = slice(20_000, -20_000)  # the tones' beginnings and ends are hits
    assert sdr_db(tones[:, inner], found["harmonic"][:, inner]) > 25
    assert sdr_db(hits[:, inner], found["percussive"][:, inner]) > 10  # tones hide some of a hit


def test_what_is_alike_in_both_channels_is_the_centre() -> None:
    middle = np.stack([tone(1000)] * 2)
    left, right = np.stack([tone(300), 0 * tone(300)]), np.stack([0 * tone(3000), tone(3000)])
    against = np.stack([tone(6000), -tone(6000)])
    found = stems(CentreSides(), middle + left + right + against)
    assert sdr_db(middle, found["centre"]) > 30
    assert sdr_db(left + right + against, found["sides"]) > 30
    np.testing.assert_array_equal(found["centre"][0], found["centre"][1])


def test_mono_is_all_centre() -> None:
    mixture = np.repeat(noise(1, 60_000), 2, axis=0)
    found = stems(CentreSides(), mixture)
    np.testing.assert_allclose(found["centre"], mixture, atol=1e-6)


def test_on_real_music_they_do_better_than_doing_nothing() -> None:
    """The least that a baseline has to show; FitzGerald's is a floor, not a good separator."""
    track = excerpt()
    drums = track.stems["drums"]
    found = stems(HarmonicPercussive(), track.mixture)
    assert sdr_db(drums, track.mixture) < -4
    assert sdr_db(drums, found["percussive"]) > 2.5
    sides = stems(CentreSides(), track.mixture)["sides"]
    assert np.sum(sides**2) < 0.2 * np.sum(track.mixture**2)


@pytest.mark.parametrize("width", [1, 4, -17])
def test_a_median_has_a_middle(width: int) -> None:
    with pytest.raises(InputError, match="3, 5, 7"):
        HarmonicPercussive(width)


@settings(max_examples=examples(6))
@given(st.integers(1, 5), st.integers(1, 2), st.integers(1, 80_000))
def test_the_oracle_adds_up_to_the_mixture(count: int, channels: int, frames: int) -> None:
    true = noise(count * channels, frames).reshape(count, channels, frames)
    mixture = 0.5 * true.sum(axis=0)  # whatever the mixture is
    estimates = ideal_ratio_masks(true, mixture)
    assert estimates.shape == true.shape
    np.testing.assert_allclose(estimates.sum(axis=0), mixture, atol=1e-6)


def test_the_oracle_knows_what_does_not_overlap() -> None:
    true = np.stack([[tone(hz)] for hz in (200, 1000, 5000)])
    for stem, estimate in zip(true, ideal_ratio_masks(true, true.sum(axis=0)), strict=True):
        assert sdr_db(stem, estimate) > 35


def test_the_oracle_is_a_ceiling_on_real_music() -> None:
    track = excerpt()
    true = np.stack(list(track.stems.values()))
    estimates = ideal_ratio_masks(true, track.mixture)
    # Measured: drums 10.7, bass 9.3, other 7.4, vocals 9.7; above what the best model reaches.
    scores = dict(zip(track.stems, map(sdr_db, true, estimates), strict=True))
    least = {"drums": 10.5, "bass": 9.2, "other": 7.2, "vocals": 9.5}
    assert all(scores[name] > least[name] for name in least), scores
