"""The fast copy of the weights: same tensors, and no change to it goes unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from separator.weights import prepared
from separator.weights.folders import SUMS


class Maker:
    """Counts how often the checkpoint itself is read."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, torch.Tensor]:
        self.calls += 1
        return {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1.5])}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / SUMS).write_text("0" * 64 + "  model.index\n")
    return weights


def same(state: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(state[name], value) for name, value in Maker()().items())


def test_the_second_time_the_copy_is_read(folder: Path, tmp_path: Path) -> None:
    make = Maker()
    assert same(prepared.state(folder, tmp_path, make))
    assert same(prepared.state(folder, tmp_path, make))
    assert make.calls == 1


@pytest.mark.parametrize("damage", ["a byte", "the end", "everything"])
def test_a_damaged_copy_is_made_anew(folder: Path, tmp_path: Path, damage: str) -> None:
    make = Maker()
    prepared.state(folder, tmp_path, make)
    (copy,) = (tmp_path / "prepared").iterdir()
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 1
    changed = {"a byte": bytes(content), "the end": bytes(content[:-20]), "everything": b""}
    copy.write_bytes(changed[damage])
    assert same(prepared.state(folder, tmp_path, make))
    assert make.calls == 2
    assert same(prepared.state(folder, tmp_path, make))
    assert make.calls == 2
    assert len(list((tmp_path / "prepared").iterdir())) == 1


def test_other_weights_have_another_copy(folder: Path, tmp_path: Path) -> None:
    make = Maker()
    prepared.state(folder, tmp_path, make)
    (folder / SUMS).write_text("1" * 64 + "  model.index\n")
    prepared.state(folder, tmp_path, make)
    assert make.calls == 2


def test_a_cache_that_cannot_be_written_costs_only_time(folder: Path, tmp_path: Path) -> None:
    make = Maker()
    (tmp_path / "prepared").write_text("a file where the folder should be")
    for _ in range(2):
        assert same(prepared.state(folder, tmp_path, make))
    assert make.calls == 2
