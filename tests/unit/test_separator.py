"""The streaming engine around a model whose right answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import separator
from separator import errors
from separator.devices import choose_device
from tests.toy import SHARES, Toy, toy

RATES_HZ = [8_000, 22_050, 44_100, 48_000, 88_200, 96_000, 192_000]


def music(frames: int, channels: int = 2, rate_hz: int = 44_100) -> np.ndarray:
    """Band-limited noise (below 3 kHz), so that every rate can carry it."""
    rng = np.random.default_rng(frames + channels)
    spectrum = np.fft.rfft(rng.standard_normal((channels, frames)))
    spectrum[:, np.fft.rfftfreq(frames, 1 / rate_hz) > 3000] = 0
    wave = np.fft.irfft(spectrum, frames)
    return (0.5 * wave / max(np.abs(wave).max(), 1e-9)).astype(np.float32)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_any_rate_and_channel_count_comes_back_as_it_came(rate_hz: int, channels: int) -> None:
    mixture = music(30_001, channels, rate_hz)
    stems = toy().separate(mixture, rate_hz)
    assert list(stems) == ["vocals", "drums", "residual"]
    inside = slice(2000, -2000)  # the converter's filter rings at a hard beginning and end
    for name, share in SHARES.items():
        assert stems[name].shape == mixture.shape
        assert stems[name].dtype == np.float32
        np.testing.assert_allclose(stems[name][:, inside], share * mixture[:, inside], atol=2e-4)
    np.testing.assert_allclose(sum(stems.values()), mixture, atol=1e-6)


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000, 192_000])
def test_stems_are_not_delayed(rate_hz: int) -> None:
    mixture = np.zeros((1, 40_000), np.float32)
    mixture[0, 20_000] = 1.0
    stems = toy().separate(mixture, rate_hz)
    assert np.argmax(np.abs(stems["vocals"][0])) == 20_000


@pytest.mark.parametrize("frames", [1, 2, 100, 5_999, 6_000, 6_001, 12_000])
def test_every_length_is_kept_and_nulls(frames: int) -> None:
    for rate_hz in (44_100, 48_000, 192_000):
        rng = np.random.default_rng(frames)
        mixture = (3.0 * rng.standard_normal((2, frames))).astype(np.float32)  # over full scale
        stems = toy().separate(mixture, rate_hz)
        assert {s.shape for s in stems.values()} == {mixture.shape}
        total = sum(s.astype(np.float64) for s in stems.values())
        assert np.abs(total - mixture).max() <= 2e-7 * np.abs(mixture).max()


@pytest.mark.parametrize("rate_hz", [44_100, 96_000])
@pytest.mark.parametrize("block_frames", [1, 77, 4096, 9_000, 100_000])
def test_blocks_of_any_size_give_the_frames_of_one_array(rate_hz: int, block_frames: int) -> None:
    mixture = music(20_000)
    whole = toy().separate(mixture, rate_hz)
    blocks = [mixture[:, i : i + block_frames] for i in range(0, 20_000, block_frames)]
    out = list(toy().stream(iter(blocks), rate_hz))
    for name, expected in whole.items():
        streamed = np.concatenate([block[name] for block in out], axis=1)
        np.testing.assert_allclose(streamed, expected, atol=1e-5)


def test_residual_options() -> None:
    mixture = music(10_000)
    off = toy("off").separate(mixture, 48_000)
    added = toy("add-to-last").separate(mixture, 48_000)
    stem = toy("stem").separate(mixture, 48_000)
    assert list(off) == list(added) == ["vocals", "drums"]
    assert list(stem) == ["vocals", "drums", "residual"]
    np.testing.assert_array_equal(off["drums"], stem["drums"])
    np.testing.assert_array_equal(off["vocals"], added["vocals"])
    np.testing.assert_allclose(added["drums"], stem["drums"] + stem["residual"], atol=1e-6)
    np.testing.assert_allclose(sum(added.values()), mixture, atol=1e-6)


def test_what_the_models_rate_cannot_carry_is_in_the_residual() -> None:
    time_s = np.arange(48_000) / 96_000
    mixture = np.sin(2 * np.pi * 30_000 * time_s)[None].astype(np.float32)  # above 22.05 kHz
    stems = toy().separate(mixture, 96_000)
    assert np.abs(stems["vocals"][:, 2000:-2000]).max() < 1e-3
    assert np.abs(stems["residual"][:, 2000:-2000]).max() > 0.99


def test_the_module_alone_equals_the_stream() -> None:
    mixture = music(25_000)
    with torch.inference_mode():
        stems = Toy()(torch.from_numpy(mixture)[None])
    assert stems.shape == (1, 2, 2, 25_000)
    streamed = toy("off").separate(mixture, 44_100)
    np.testing.assert_allclose(stems[0, 0].numpy(), streamed["vocals"], atol=1e-6)


def test_memory_does_not_grow_with_the_stream() -> None:
    """An endless source is consumed lazily: what is held is bounded by a few segments."""
    produced = 0

    def endless():
        nonlocal produced
        while True:
            produced += 1000
            yield np.zeros((2, 1000), np.float32)

    received = 0
    for block in toy().stream(endless(), 48_000):
        received += block["vocals"].shape[1]
        assert produced - received < 40_000
        if received > 400_000:
            break


def test_empty_audio_gives_empty_stems() -> None:
    stems = toy().separate(np.zeros((2, 0), np.float32), 48_000)
    assert {s.shape for s in stems.values()} == {(2, 0)}
    assert list(toy().stream([], 48_000)) == []


@pytest.mark.parametrize(
    ("mixture", "rate_hz", "message"),
    [
        (
            np.zeros(100, np.float32),
            44_100,
            r"an array \(channels, frames\), not of shape \(100,\)",
        ),
        (np.zeros((0, 100), np.float32), 44_100, r"not of shape \(0, 100\)"),
        (np.zeros((2, 100), np.int16), 44_100, "floating point with full scale at 1.0, not int16"),
        (np.full((2, 100), np.nan, np.float32), 44_100, "NaN or infinite"),
        (np.full((2, 100), np.inf, np.float32), 44_100, "NaN or infinite"),
        (np.zeros((2, 100), np.float32), 7_999, "7999 Hz is outside 8000 to 192000 Hz"),
        (np.zeros((2, 100), np.float32), 384_000, "384000 Hz is outside"),
        (np.zeros((2, 0), np.float32), 1, "1 Hz is outside"),
    ],
)
def test_bad_input_is_named(mixture: np.ndarray, rate_hz: int, message: str) -> None:
    with pytest.raises(errors.InputError, match=message):
        toy().separate(mixture, rate_hz)


def test_channels_may_not_change_on_the_way() -> None:
    blocks = [np.zeros((2, 5000), np.float32), np.zeros((1, 5000), np.float32)]
    with pytest.raises(errors.InputError, match="1 channels, the ones before had 2"):
        list(toy().stream(blocks, 44_100))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name_or_path": "spleeter:3stems"},
            "no model named 'spleeter:3stems': did you mean 'spl",
        ),
        ({"name_or_path": "nowhere.json"}, "nowhere.json: no such file"),
        ({"name_or_path": "spleeter:2stems", "precision": "int4"}, "precision is one of"),
        ({"name_or_path": "spleeter:2stems", "residual": "maybe"}, "residual is one of"),
        ({"name_or_path": "spleeter:2stems", "device": "warp"}, "device 'warp' cannot be used"),
    ],
)
def test_load_names_what_it_cannot_do(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(errors.SeparatorError, match=message):
        separator.load(**arguments)


def test_auto_device_is_one_that_works() -> None:
    assert torch.ones(2, device=choose_device("auto")).sum().item() == 2
