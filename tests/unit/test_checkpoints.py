"""`separator.load_checkpoint`: every release's files, what the caller may say, what goes wrong."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import separator
from separator import architectures, building
from separator.errors import BadCheckpoint, InputError, UnknownModel
from separator.models.bag import Bag
from separator.separator import Separator
from separator.weights import catalog, formats
from separator.weights.checkpoint import Checkpoint
from separator.weights.entries import Licence, MemberEntry, ModelEntry
from tests.support import GOLDEN

V1 = GOLDEN / "demucs_v1" / "demucs_v1.th"
TASNET_V1 = GOLDEN / "demucs_v1" / "tasnet_v1.th"
V2 = GOLDEN / "demucs_v2" / "demucs_v2-f212de40.th"
TASNET_V2 = GOLDEN / "demucs_v2" / "tasnet_v2-7b35921b.th"
SPLEETER = GOLDEN / "spleeter"
KWARGS: dict[str, Any] = json.loads((GOLDEN / "demucs_v2" / "demucs_v2.json").read_text())["kwargs"]


def v2(state: dict[str, Any], path: Path) -> Separator:
    """Saves a state and loads it as version 2's network of the golden file."""
    torch.save(state, path)
    return separator.load_checkpoint(path, architecture="demucs-v2", arguments=KWARGS)


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = torch.load(V2, weights_only=True)
    return loaded


def outputs(path: Path, **said: Any) -> torch.Tensor:
    model = separator.load_checkpoint(path, **said).model
    mixture = torch.from_numpy(np.load(V2.with_name("demucs_v2.npz"))["x"])[None]
    with torch.inference_mode():
        made: torch.Tensor = model(mixture)
    return made


# What the files say, what the caller says


@pytest.mark.parametrize(
    ("path", "architecture"), [(V1, "demucs-v1"), (TASNET_V1, "conv-tasnet")], ids=["v1", "tasnet"]
)
def test_a_file_of_version_1_needs_no_help(path: Path, architecture: str) -> None:
    ours = separator.load_checkpoint(path)
    assert ours.sources == ("drums", "bass", "other", "vocals")
    assert ours.name == str(path)
    same = separator.load_checkpoint(str(path), architecture=architecture)
    assert {k: v.sum() for k, v in same.model.state_dict().items()} == {
        k: v.sum() for k, v in ours.model.state_dict().items()
    }


def test_a_checkpoint_that_says_what_it_is_loads_by_its_path_alone() -> None:
    assert separator.load(V1, residual="off").outputs == ("drums", "bass", "other", "vocals")


def test_a_folder_stands_for_the_one_checkpoint_in_it(tmp_path: Path) -> None:
    shutil.copy(V1, tmp_path)
    (tmp_path / "SHA256SUMS").write_text("whatever\n")
    assert separator.load_checkpoint(tmp_path).sources
    shutil.copy(TASNET_V1, tmp_path)
    with pytest.raises(BadCheckpoint, match=r"found demucs_v1\.th, tasnet_v1\.th"):
        separator.load_checkpoint(tmp_path)


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="found none"):
        separator.load_checkpoint(tmp_path)


def test_a_bare_state_dict_needs_its_architecture() -> None:
    with pytest.raises(
        InputError, match=r"does not record its architecture: .* demucs-v2"
    ) as caught:
        separator.load_checkpoint(V2)
    assert str(V2) in str(caught.value)


def test_a_bare_state_dict_needs_its_arguments() -> None:
    with pytest.raises(InputError, match="sources"):
        separator.load_checkpoint(V2, architecture="demucs-v2")


@pytest.mark.parametrize("architecture", ["demucs", "HTDemucs", "", "os.system"])
def test_an_unknown_architecture(architecture: str) -> None:
    with pytest.raises(InputError, match="architecture is one of spleeter, demucs-v1"):
        separator.load_checkpoint(V2, architecture=architecture)


def test_another_architecture_than_the_file_says() -> None:
    with pytest.raises(InputError, match="is a checkpoint of demucs-v1, not of htdemucs"):
        separator.load_checkpoint(V1, architecture="htdemucs")


def test_the_arguments_of_the_caller_win(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    assert v2(state, tmp_path / "a.th").sources == ("drums", "bass", "other", "vocals")
    renamed = {**KWARGS, "sources": ["a", "b", "c", "d"]}
    ours = separator.load_checkpoint(V2, architecture="demucs-v2", arguments=renamed)
    assert ours.sources == ("a", "b", "c", "d")
    assert separator.load_checkpoint(V1, arguments={"sources": list("abcd")}).sources == (
        *("a", "b", "c", "d"),
    )


def test_positional_arguments_get_their_names() -> None:
    checkpoint = Checkpoint("demucs-v2", {"depth": 4}, (["a", "b"], 1))
    told = building.resolve_arguments(checkpoint, None, {"audio_channels": 2})
    assert told.arguments == {"sources": ["a", "b"], "audio_channels": 2, "depth": 4}
    assert told.positional == ()
    with pytest.raises(BadCheckpoint, match="has 99 arguments"):
        building.resolve_arguments(Checkpoint("demucs-v2", {}, (1,) * 99), None, None)


def test_what_newer_versions_no_longer_have_is_left_out_as_officially() -> None:
    with pytest.warns(UserWarning, match="no argument 'old': ignored"):
        told = building.resolve_arguments(Checkpoint("demucs-v2", {"old": 3}), None, None)
    assert told.arguments == {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        separator.load_checkpoint(V1)


def test_an_unknown_argument_of_the_caller_is_an_error() -> None:
    with pytest.raises(InputError, match="no argument 'chanels'"):
        separator.load_checkpoint(V2, architecture="demucs-v2", arguments={**KWARGS, "chanels": 4})


@pytest.mark.parametrize("name", architectures.NAMES[1:])
def test_every_architecture_has_its_classes(name: str) -> None:
    found = architectures.demucs_family(name)
    assert "sources" in found.config.OFFICIAL_ORDER
    assert callable(found.from_official_state)


# Weights that do not fit


def test_half_precision_gives_nearly_the_same(
    tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    torch.save({name: tensor.half() for name, tensor in state.items()}, tmp_path / "half.th")
    said = {"architecture": "demucs-v2", "arguments": KWARGS}
    half, whole = outputs(tmp_path / "half.th", **said), outputs(V2, **said)
    assert half.dtype == torch.float32
    assert 0 < (half - whole).abs().max() < 1e-2 * whole.abs().max()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite(
    tmp_path: Path, state: dict[str, torch.Tensor], value: float
) -> None:
    state["lstm.linear.bias"][3] = value
    with pytest.raises(BadCheckpoint, match=r"lstm\.linear\.bias holds values that are not fin"):
        v2(state, tmp_path / "a.th")


def test_a_missing_tensor(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    del state["lstm.linear.bias"]
    with pytest.raises(BadCheckpoint, match=r"a\.th: the checkpoint lacks lstm\.linear\.bias$"):
        v2(state, tmp_path / "a.th")


def test_a_tensor_too_many(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    state["lstm.extra"] = torch.ones(3)
    with pytest.raises(BadCheckpoint, match=r"the model has no lstm\.extra of the checkpoint"):
        v2(state, tmp_path / "a.th")


def test_a_tensor_of_another_shape(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    state["lstm.linear.bias"] = torch.ones(33)
    with pytest.raises(BadCheckpoint, match=r"bias has shape \(33,\), .* requires \(32,\)"):
        v2(state, tmp_path / "a.th")


def test_another_depth_than_the_weights_have() -> None:
    with pytest.raises(BadCheckpoint, match=r"lacks encoder\.4\.conv\.weight and \d+ more"):
        separator.load_checkpoint(V2, architecture="demucs-v2", arguments={**KWARGS, "depth": 5})


def test_a_training_counter_is_neither_needed_nor_in_the_way() -> None:
    model = torch.nn.BatchNorm1d(3)
    state = {name: value + 0 for name, value in model.state_dict().items()}
    building.load_state(model, state)
    del state["num_batches_tracked"]
    building.load_state(model, state)


@pytest.mark.parametrize(
    "arguments",
    [
        {"channels": 1 << 40},
        {"channels": 10**400},
        {"depth": 1000},
        {"depth": -1},
        {"lstm_layers": 1 << 30},
        {"kernel_size": 1 << 30},
        {"growth": 1e300},
        {"growth": float("nan")},
        {"channels": 4.0},
        {"channels": True},
        {"channels": "4"},
        {"sources": ["a"] * 1000},
        {"sources": [["a"]]},
    ],
    ids=repr,
)
def test_hostile_arguments_in_a_file(tmp_path: Path, arguments: dict[str, Any]) -> None:
    """As the hub writes them: JSON from anywhere."""
    described = {
        "klass": "demucs.model.Demucs",
        "args": "[]",
        "kwargs": json.dumps({**KWARGS, **arguments}),
    }
    head = json.dumps({"__metadata__": described}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(head).to_bytes(8, "little") + head)
    with pytest.raises(BadCheckpoint) as caught:
        separator.load_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_memory_that_cannot_be_had_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(_config: object) -> None:
        torch.empty(1 << 60)

    real = architectures.demucs_family("demucs-v2")
    greedy = architectures.Architecture(real.config, build, real.from_official_state)  # type: ignore[arg-type]
    monkeypatch.setattr(architectures, "demucs_family", lambda _name: greedy)
    with pytest.raises(InputError, match="no network can be built"):
        separator.load_checkpoint(V2, architecture="demucs-v2", arguments=KWARGS)


# Files that are none


@pytest.mark.parametrize(
    "content", [b"", b"RIFF", b"PK\x03\x04", b"\x80\x02}.", b"\x1f\x8b", b"version https://git-lfs"]
)
def test_a_file_that_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.th").write_bytes(content)
    with pytest.raises(BadCheckpoint) as caught:
        separator.load_checkpoint(tmp_path / "a.th")
    assert str(tmp_path / "a.th") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="no such file"):
        separator.load_checkpoint(tmp_path / "absent.th")


@pytest.mark.parametrize(
    "value",
    [
        [1, 2],
        {},
        {"a": 3},
        {1: torch.ones(2)},
        {"klass": "demucs.htdemucs.HTDemucs", "args": (), "kwargs": {}, "state": {}},
        (1, 2, 3, 4),
        torch.ones(3),
        None,
    ],
    ids=repr,
)
def test_a_file_of_torch_that_holds_no_model(tmp_path: Path, value: object) -> None:
    torch.save(value, tmp_path / "a.th")
    with pytest.raises(BadCheckpoint):
        formats.read(tmp_path / "a.th")


# Spleeter


def test_spleeter_with_the_official_configuration(tmp_path: Path) -> None:
    config = json.loads((SPLEETER / "2stems.json").read_text())
    by_json = separator.load_checkpoint(SPLEETER / "2stems.json")
    folder = separator.load_checkpoint(SPLEETER / "2stems", arguments=config)
    index = separator.load_checkpoint(
        SPLEETER / "2stems" / "model.index", architecture="spleeter", arguments=config
    )
    state = by_json.model.state_dict()
    for other in (folder, index):
        assert other.sources == by_json.sources == ("vocals", "accompaniment")
        for name, value in other.model.state_dict().items():
            assert torch.equal(value, state[name])


def test_spleeter_needs_a_configuration() -> None:
    with pytest.raises(InputError, match="give the official configuration"):
        separator.load_checkpoint(SPLEETER / "2stems")
    with pytest.raises(InputError, match="instrument_list"):
        separator.load_checkpoint(SPLEETER / "2stems", arguments={"sample_rate": 44_100})


def test_wrong_architecture_is_refused() -> None:
    with pytest.raises(InputError, match="no checkpoint of demucs-v2"):
        separator.load_checkpoint(SPLEETER / "2stems", architecture="demucs-v2")
    with pytest.raises(InputError, match="no checkpoint of spleeter"):
        separator.load_checkpoint(V1, architecture="spleeter")


def test_the_wiener_filter_is_spleeters() -> None:
    config = json.loads((SPLEETER / "2stems.json").read_text())
    ours = separator.load_checkpoint(SPLEETER / "2stems", arguments=config, wiener=True)
    assert ours.two_passes
    with pytest.raises(InputError, match="Wiener filter works with Spleeter only"):
        separator.load_checkpoint(V1, wiener=True)


def test_an_unknown_precision() -> None:
    with pytest.raises(InputError, match="precision"):
        separator.load_checkpoint(V1, precision="float128")


# Models of the catalog


class Shelf:
    """A store whose weights are there: a folder of one checkpoint for each id."""

    def __init__(self, cache_dir: Path, files: dict[str, Path]) -> None:
        self.cache_dir = cache_dir
        for weights_id, file in files.items():
            self.folder(weights_id).mkdir()
            shutil.copy(file, self.folder(weights_id))
            (self.folder(weights_id) / "SHA256SUMS").write_text(f"{weights_id}\n")

    def folder(self, weights_id: str) -> Path:
        return self.cache_dir / weights_id

    def cached(self, _weights_id: str) -> bool:
        return True

    def ensure(self, weights_id: str, **_: object) -> Path:
        return self.folder(weights_id)


def bag(*members: MemberEntry) -> ModelEntry:
    return ModelEntry(
        name="bag",
        family="demucs",
        stems=tuple(KWARGS["sources"]),
        members=members,
        segment_s=10,
        licence=Licence("MIT", "nobody", "nowhere"),
        note="",
        gflop_per_s=1,
        size_bytes=1,
    )


def test_a_bag_of_plain_and_packed_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice: the second time, the packed member comes from its prepared copy."""
    shelf = Shelf(tmp_path, {"plain": V2, "packed": GOLDEN / "packed" / "demucs_v2_q.th"})
    weights = {"plain": (1.0, 1.0, 0.0, 0.0), "packed": (0.0, 1.0, 1.0, 1.0)}
    entry = bag(*(MemberEntry(key, "demucs-v2", row, KWARGS) for key, row in weights.items()))
    monkeypatch.setattr(catalog, "find", {"bag": entry}.__getitem__)
    said = {"architecture": "demucs-v2", "arguments": KWARGS}
    plain = outputs(V2, **said)
    packed = outputs(GOLDEN / "packed" / "demucs_v2_q.th", **said)
    expected = torch.stack([plain, (plain + packed) / 2, packed, packed])[range(4), :, range(4)]
    mixture = torch.from_numpy(np.load(V2.with_name("demucs_v2.npz"))["x"])[None]
    for _ in range(2):
        ours = separator.load("bag", store=shelf)  # type: ignore[arg-type]
        assert isinstance(ours.model, Bag)
        with torch.inference_mode():
            made = ours.model(mixture)
        torch.testing.assert_close(made, expected.transpose(0, 1))
        assert len(list((tmp_path / "prepared").iterdir())) == 1


def test_a_damaged_member_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(tmp_path, {"plain": V2})
    member = MemberEntry("plain", "demucs-v2", (1.0,) * 4, {**KWARGS, "depth": 3})
    entry = bag(member)
    monkeypatch.setattr(catalog, "find", {"bag": entry}.__getitem__)
    with pytest.raises(BadCheckpoint, match=r"^bag: .*encoder\.3\.conv\.weight"):
        separator.load("bag", store=shelf)  # type: ignore[arg-type]
