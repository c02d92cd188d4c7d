"""The fast copy of the weights: same tensors, and no change to it goes unnoticed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from separator.weights import prepared
from separator.weights.checkpoint import Checkpoint
from separator.weights.folders import SUMS

ID = "spleeter-2stems"
STATE: dict[str, Any] = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a.bias": np.array([1.5], np.float16),
}
ARGUMENTS: dict[str, Any] = {"segment": Fraction(39, 5), "sources": ["a", "b"], "depth": None}


class Reader:
    """Counts how often the checkpoint itself is read."""

    def __init__(self, *, renamed: bool = True) -> None:
        self.calls = 0
        self.renamed = renamed

    def __call__(self, folder: Path) -> Checkpoint:
        assert (folder / SUMS).exists()
        self.calls += 1
        return Checkpoint("htdemucs", ARGUMENTS, state=STATE, renamed=self.renamed)


class FakeStore:
    """A store whose weights are there and intact; counts the full verifications."""

    def __init__(self, cache_dir: Path) -> None:
        self.cache_dir = cache_dir
        self.verified = 0
        self.write_sums("0")

    def write_sums(self, digit: str) -> None:
        self.folder(ID).mkdir(exist_ok=True)
        (self.folder(ID) / SUMS).write_text(digit * 64 + "  model.index\n")

    def folder(self, weights_id: str) -> Path:
        return self.cache_dir / weights_id

    def cached(self, weights_id: str) -> bool:
        return self.folder(weights_id).exists()

    def ensure(self, weights_id: str, **_: object) -> Path:
        self.verified += 1
        return self.folder(weights_id)


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return FakeStore(tmp_path)


def check(store: FakeStore, read: Reader) -> None:
    checkpoint = prepared.checkpoint(store, ID, read)  # type: ignore[arg-type]
    assert checkpoint.architecture == "htdemucs"
    assert checkpoint.arguments == ARGUMENTS
    assert checkpoint.renamed is read.renamed
    assert list(checkpoint.state) == list(STATE)
    for name, value in STATE.items():
        np.testing.assert_array_equal(checkpoint.state[name], value)
        assert checkpoint.state[name].dtype == value.dtype


def test_the_second_time_the_copy_is_read(store: FakeStore) -> None:
    read = Reader()
    check(store, read)
    check(store, read)
    assert (read.calls, store.verified) == (1, 1)


@pytest.mark.parametrize("damage", ["a byte", "the end", "everything"])
def test_a_damaged_copy_is_made_anew(store: FakeStore, damage: str) -> None:
    read = Reader()
    check(store, read)
    (copy,) = (store.cache_dir / "prepared").iterdir()
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 1
    changed = {"a byte": bytes(content), "the end": bytes(content[:-20]), "everything": b""}
    copy.write_bytes(changed[damage])
    check(store, read)
    assert (read.calls, store.verified) == (2, 2)
    check(store, read)
    assert read.calls == 2
    assert len(list((store.cache_dir / "prepared").iterdir())) == 1


def test_other_weights_have_another_copy(store: FakeStore) -> None:
    read = Reader()
    check(store, read)
    store.write_sums("1")
    check(store, read)
    assert read.calls == 2


def test_a_cache_that_cannot_be_written_costs_only_time(store: FakeStore) -> None:
    read = Reader()
    (store.cache_dir / "prepared").write_text("a file where the folder should be")
    check(store, read)
    check(store, read)
    assert read.calls == 2


def test_what_is_only_mapped_into_memory_gets_no_copy(store: FakeStore) -> None:
    read = Reader(renamed=False)
    check(store, read)
    check(store, read)
    assert (read.calls, store.verified) == (2, 2)
    assert not (store.cache_dir / "prepared").exists()
