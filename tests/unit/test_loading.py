"""From a name to a ready separator: bags, methods without weights, options by name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import separator
from separator.errors import InputError, UnknownModel
from separator.models.bag import Bag
from separator.version import model_version
from separator.weights.entries import MemberEntry
from separator.weights.store import Store
from tests.support import GOLDEN
from tests.unit.weight_archives import of_files
from tests.unit.weights_server import Server

TINY = GOLDEN / "demucs_v1" / "demucs_v1.th"
SOURCES = ("drums", "bass", "other", "vocals")
EXPERTS = {"a": (1.0, 0.0, 0.0, 0.0), "b": (0.0, 1.0, 0.5, 0.0), "c": (0.0, 0.0, 0.5, 2.0)}


def noise() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (2, 50_000)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Of a catalog with one bag of three networks (three times the same), from a real server."""
    content = TINY.read_bytes()
    with Server(content) as server:
        digest = hashlib.sha256(content).hexdigest()
        plain = of_files(server, dict.fromkeys(EXPERTS, digest))
        members = tuple(MemberEntry(name, "demucs-v1", row) for name, row in EXPERTS.items())
        entry = replace(
            plain.models[0], family="demucs", stems=SOURCES, members=members, segment_s=3.0
        )
        known = replace(plain, models=(entry,))
        monkeypatch.setattr("separator.weights.catalog.load", lambda: known)
        yield Store(tmp_path, catalog=known)


def fetched(store: Store) -> list[str]:
    return [name for name in EXPERTS if store.cached(name)]


def test_a_bag_of_the_catalog_is_the_mean_of_its_networks(store: Store) -> None:
    bag = separator.load("bag", store=store, residual="off")
    assert isinstance(bag.model, Bag)
    assert bag.model.weights == tuple(EXPERTS.values())
    assert {member.model.segment_s for member in bag.model.members} == {3.0}  # not its own 10
    alone = separator.load(TINY, residual="off", segment_s=3.0).separate(noise(), 44_100)
    for name, stem in bag.separate(noise(), 44_100).items():
        np.testing.assert_allclose(stem, alone[name], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        ({"stems": ("drums",)}, ["a"]),
        ({"stems": ("vocals", "bass")}, ["b", "c"]),
        ({"two_stems": "other"}, ["b", "c"]),
        ({"two_stems": "drums", "other_method": "add"}, ["a", "b", "c"]),
        ({"stems": ("drums", "residual")}, ["a", "b", "c"]),
        ({"stems": ("other",), "residual": "add-to-last"}, ["a", "b", "c"]),
        ({"stems": ("vocals",), "residual": "add-to-last"}, ["c"]),
        ({"stems": ("bass",), "residual": "add-to-last"}, ["b"]),
    ],
)
def test_only_what_is_needed_is_fetched(
    store: Store, options: dict[str, Any], needed: list[str]
) -> None:
    ours = separator.load("bag", store=store, **options)
    assert fetched(store) == needed
    stems = ours.separate(noise(), 44_100)
    assert tuple(stems) == ours.outputs
    everything = separator.load("bag", store=store, **options | {"stems": None})
    for name, stem in everything.separate(noise(), 44_100).items():
        if name in stems:
            np.testing.assert_allclose(stems[name], stem, atol=1e-5)


@pytest.mark.parametrize("name", ["classical:hpss", "classical:centre"])
def test_methods_without_weights(name: str) -> None:
    assert name in separator.available()
    stems = separator.load(name, residual="off").separate(noise(), 44_100)
    np.testing.assert_allclose(sum(stems.values()), noise(), atol=1e-5)
    with pytest.raises(InputError, match="works with Spleeter only"):
        separator.load(name, wiener=True)


def test_an_option_that_there_is_not() -> None:
    with pytest.raises(InputError, match="no option 'shift': choose from residual, stems, two_"):
        separator.load("classical:hpss", shift=1)


def test_versions_tell_models_apart() -> None:
    names = ["htdemucs", "htdemucs_ft", "mdx", "spleeter:2stems", "spleeter:2stems-16kHz"]
    names += ["classical:hpss", "classical:centre", str(TINY), str(GOLDEN / "spleeter/2stems.json")]
    assert len({model_version(name) for name in names}) == len(names)
    assert model_version(TINY) == model_version(str(TINY))
    with pytest.raises(UnknownModel, match=r"nowhere\.th: no such file"):
        model_version("nowhere.th")
