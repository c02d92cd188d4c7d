"""What torch.save wrote is read as torch itself reads it, in both of its formats."""

from __future__ import annotations

import gzip
import pickle
import struct
import warnings
import zipfile
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from separator.errors import BadCheckpoint, UnsafePickle
from separator.weights import formats
from separator.weights.mapping import memory_map
from separator.weights.official import CLASSES
from separator.weights.tensors import TensorStub
from separator.weights.torchfile import read_torch
from tests.hypothesis_profiles import examples
from tests.support import GOLDEN

CONTAINERS = {"zip": True, "stream": False}
DTYPES = [
    *(torch.float32, torch.float64, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8),
]


class Demucs(nn.Module):
    """Stands for the official class: pickled by name, in old files with its source."""


Demucs.__module__, Demucs.__qualname__ = "demucs.model", "Demucs"


def save(value: object, path: Path, container: str) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch cannot find the source of the stand-in
        torch.save(value, path, _use_new_zipfile_serialization=CONTAINERS[container])
    return path


def values(read: Any) -> dict[str, np.ndarray]:
    assert all(isinstance(item, TensorStub) for item in read.values())
    return {name: item.value for name, item in read.items()}


def numbers(tensor: torch.Tensor) -> np.ndarray:
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


@pytest.fixture
def official_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets pickle find the stand-in where the official class is."""
    import sys
    from types import ModuleType

    package, module = ModuleType("demucs"), ModuleType("demucs.model")
    module.Demucs = Demucs  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "demucs", package)
    monkeypatch.setitem(sys.modules, "demucs.model", module)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_type_of_tensor(tmp_path: Path, dtype: torch.dtype, container: str) -> None:
    saved = {"a": torch.arange(-3, 21).reshape(2, 3, 4).to(dtype), "b": torch.ones((), dtype=dtype)}
    read = values(read_torch(memory_map(save(saved, tmp_path / "a.th", container))))
    for name, tensor in saved.items():
        assert read[name].dtype == numbers(tensor).dtype
        np.testing.assert_array_equal(read[name], numbers(tensor))


@pytest.mark.parametrize("container", CONTAINERS)
def test_views_of_one_storage(tmp_path: Path, container: str) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    saved = OrderedDict(
        whole=base,
        transposed=base.t(),
        column=base[:, 2],
        block=base[1:3, ::2],
        last=base[3, 5],
        empty=base[:0],
        again=base,
    )
    read = values(read_torch(memory_map(save(saved, tmp_path / "a.th", container))))
    for name, tensor in saved.items():
        np.testing.assert_array_equal(read[name], tensor.numpy())
    assert np.shares_memory(read["whole"], read["column"])


def test_nothing_is_copied(tmp_path: Path) -> None:
    data = memory_map(save({"a": torch.ones(1000)}, tmp_path / "a.th", "zip"))
    (array,) = values(read_torch(data)).values()
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))
    array[:] = 2  # torch wants writable memory; the file stays as it is
    assert values(read_torch(memory_map(tmp_path / "a.th")))["a"].max() == 1


@pytest.mark.parametrize("container", CONTAINERS)
@given(data=st.data())
@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_strided_tensor(tmp_path: Path, container: str, data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 4), max_size=4))
    tensor = torch.randn(shape).permute(data.draw(st.permutations(range(len(shape)))))
    for axis in range(tensor.ndim):
        tensor = tensor.narrow(axis, 0, data.draw(st.integers(1, tensor.shape[axis])))
    read = values(read_torch(memory_map(save({"a": tensor}, tmp_path / "a.th", container))))
    np.testing.assert_array_equal(read["a"], tensor.numpy())


@pytest.mark.parametrize("container", CONTAINERS)
def test_plain_values_and_fractions(tmp_path: Path, container: str) -> None:
    saved = {"a": [1, -2, 1 << 40, 0.5, "text", None, True, (1, (2,))], "b": Fraction(39, 5)}
    saved["c"] = {1: "a number as key", "inner": {}}
    assert read_torch(memory_map(save(saved, tmp_path / "a.th", container))) == saved


def test_a_fraction_as_older_pythons_pickle_it(tmp_path: Path) -> None:
    class Old(Fraction):
        def __reduce__(self) -> tuple[object, ...]:  # CPython 3.10, Lib/fractions.py
            return Fraction, (str(self),)

    read = read_torch(memory_map(save({"a": Old(39, 5)}, tmp_path / "a.th", "zip")))
    assert read == {"a": Fraction(39, 5)}


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_state_dict_with_its_version_notes(tmp_path: Path, container: str) -> None:
    saved = nn.Sequential(nn.Conv1d(2, 3, 5), nn.BatchNorm1d(3)).state_dict()
    assert hasattr(saved, "_metadata")
    read = values(read_torch(memory_map(save(saved, tmp_path / "a.th", container))))
    assert list(read) == list(saved)
    np.testing.assert_array_equal(read["0.weight"], saved["0.weight"].numpy())


def test_parameters(tmp_path: Path) -> None:
    saved = {"a": nn.Parameter(torch.ones(3))}
    assert values(read_torch(memory_map(save(saved, tmp_path / "a.th", "zip"))))["a"].sum() == 3


@pytest.mark.usefixtures("official_module")
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("packed", [False, True])
def test_a_model_of_version_1(tmp_path: Path, container: str, *, packed: bool) -> None:
    """Old files name the class with the text of its source, and were offered gzipped."""
    state = {"a": torch.randn(3, 4)}
    path = save((Demucs, (4,), {"channels": 8}, state), tmp_path / "a.th", container)
    if container == "stream":
        assert b"module" in path.read_bytes()
    if packed:
        (tmp_path / "a.th.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "a.th.gz"
    checkpoint = formats.read(path)
    assert checkpoint.architecture == "demucs-v1"
    assert checkpoint.positional == (4,)
    assert checkpoint.arguments == {"channels": 8}
    np.testing.assert_array_equal(checkpoint.state["a"], state["a"].numpy())


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("demucs_v2/*.th")), ids=lambda path: path.stem)
def test_golden_state_dicts_as_torch_reads_them(path: Path) -> None:
    theirs = torch.load(path, weights_only=True)
    ours = formats.read(path)
    assert ours.architecture is None
    assert list(ours.state) == list(theirs)
    for name, tensor in theirs.items():
        np.testing.assert_array_equal(ours.state[name], tensor.numpy())


SAVED = {"a": torch.arange(100.0), "b": torch.arange(7, dtype=torch.int64)}


@pytest.mark.parametrize("container", CONTAINERS)
def test_truncated_files_are_refused(tmp_path: Path, container: str) -> None:
    whole = save(SAVED, tmp_path / "a.th", container).read_bytes()
    for length in range(0, len(whole) - 1, 13):
        (tmp_path / "b.th").write_bytes(whole[:length])
        with pytest.raises(BadCheckpoint) as caught:
            formats.read(tmp_path / "b.th")
        assert str(tmp_path / "b.th") in str(caught.value)


@pytest.mark.parametrize("container", CONTAINERS)
@given(changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1))
@settings(max_examples=examples(100), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_never_escape_the_error_tree(
    tmp_path: Path, container: str, changes: list[tuple[int, int]]
) -> None:
    content = bytearray(save(SAVED, tmp_path / "a.th", container).read_bytes())
    for position, value in changes:
        content[position % len(content)] ^= value
    (tmp_path / "b.th").write_bytes(content)
    try:
        checkpoint = formats.read(tmp_path / "b.th")
    except BadCheckpoint:
        return
    total = sum(array.nbytes for array in checkpoint.state.values())
    assert total <= 8 * len(content)  # views may overlap, by a pickle of the file's own size


def test_a_flipped_bit_in_the_weights_is_noticed(tmp_path: Path) -> None:
    """The stream format has no checksum; the zip format has one for each storage."""
    path = save(SAVED, tmp_path / "a.th", "zip")
    content = bytearray(path.read_bytes())
    content[content.index(struct.pack("<3f", 50, 51, 52))] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadCheckpoint, match="checksum"):
        formats.read(path)


def zipped(path: Path, pickled: bytes, storages: dict[str, bytes], compression: int = 0) -> Path:
    """A torch zip written by hand."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, content in storages.items():
            archive.writestr(f"archive/data/{key}", content)
    return path


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def tensor_pickle(
    shape: object, stride: object, offset: object = 0, count: object = 6, key: str = "0"
) -> bytes:
    """{"a": tensor} with whatever is said of it."""
    persistent = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu")
    persistent += pickle.dumps(count, 2)[2:-1] + b"tQ"
    arguments = b"".join(pickle.dumps(item, 2)[2:-1] for item in (offset, shape, stride))
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n(" + persistent + arguments + b"\x89}tR"
    return b"\x80\x02}" + text("a") + rebuild + b"s."


def test_the_tensor_by_hand_is_sound(tmp_path: Path) -> None:
    """Else the test below could pass for the wrong reason."""
    numbers = struct.pack("<6f", *range(6))
    path = zipped(tmp_path / "a.th", tensor_pickle((2, 3), (3, 1)), {"0": numbers})
    np.testing.assert_array_equal(formats.read(path).state["a"], np.arange(6).reshape(2, 3))


@pytest.mark.parametrize(
    "said",
    [
        {"shape": (2, 4), "stride": (4, 1)},
        {"shape": (2, 3), "stride": (3, 1), "offset": 1},
        {"shape": (2, 3), "stride": (3,)},
        {"shape": (-2, -3), "stride": (3, 1)},
        {"shape": (2, 3), "stride": (-3, 1), "offset": 5},
        {"shape": (2.0, 3), "stride": (3, 1)},
        {"shape": [2, 3], "stride": [3, 1]},
        {"shape": (1 << 60, 1 << 60), "stride": (0, 0)},
        {"shape": (1 << 20, 1 << 10), "stride": (0, 0)},
        {"shape": (0, 1 << 62), "stride": (1, 1)},
        {"shape": (1,) * 40, "stride": (1,) * 40},
        {"shape": (6,), "stride": (1 << 62,)},
        {"shape": (6,), "stride": (1,), "count": 1 << 62},
        {"shape": (6,), "stride": (1,), "count": 5},
        {"shape": (6,), "stride": (1,), "count": "six"},
        {"shape": (6,), "stride": (1,), "offset": -1},
        {"shape": (6,), "stride": (1,), "key": "1"},
        {"shape": (6,), "stride": (1,), "key": "../../etc/passwd"},
    ],
)
def test_tensors_that_cannot_be(tmp_path: Path, said: dict[str, Any]) -> None:
    path = zipped(tmp_path / "a.th", tensor_pickle(**said), {"0": bytes(24)})
    with pytest.raises(BadCheckpoint) as caught:
        formats.read(path)
    assert not isinstance(caught.value, UnsafePickle)


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    pickled = tensor_pickle((12_500_000,), (1,), count=12_500_000)
    path = zipped(tmp_path / "a.th", pickled, {"0": bytes(50_000_000)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(BadCheckpoint, match="compressed"):
        formats.read(path)


def test_a_gzip_bomb_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.th.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(BadCheckpoint, match="more than weights"):
        formats.read(tmp_path / "a.th.gz")


def test_gzip_in_gzip_is_refused(tmp_path: Path) -> None:
    inner = save(SAVED, tmp_path / "a.th", "zip").read_bytes()
    (tmp_path / "a.th.gz").write_bytes(gzip.compress(gzip.compress(inner)))
    with pytest.raises(BadCheckpoint, match="twice"):
        formats.read(tmp_path / "a.th.gz")


def test_members_upon_each_other_are_refused(tmp_path: Path) -> None:
    """A directory of 64 names for the same bytes, which bfloat16 would each widen to a copy."""
    path = tmp_path / "a.th"
    names = [str(index) for index in range(64)]
    parts = [tensor_pickle((50_000,), (1,), count=50_000, key=name)[3:-2] for name in names]
    pickled = b"\x80\x02}" + b"".join(part + b"s" for part in parts) + b"."
    pickled = pickled.replace(b"FloatStorage", b"BFloat16Storage")
    zipped(path, pickled, {"0": bytes(100_000)})
    with zipfile.ZipFile(path, "a") as archive:
        (first,) = [item for item in archive.infolist() if item.filename == "archive/data/0"]
        for name in names[1:]:
            twin = zipfile.ZipInfo(f"archive/data/{name}")
            twin.header_offset, twin.CRC = first.header_offset, first.CRC
            twin.file_size = twin.compress_size = first.file_size
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
        archive._didModify = True  # type: ignore[attr-defined]
    with pytest.raises(BadCheckpoint, match="more bytes than the file"):
        formats.read(path)


def test_a_big_endian_file_is_refused(tmp_path: Path) -> None:
    pickled = tensor_pickle((6,), (1,))
    path = zipped(tmp_path / "a.th", pickled, {"0": bytes(24)})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/byteorder", "big")
    with pytest.raises(BadCheckpoint, match="big-endian"):
        formats.read(path)


def test_classes_are_only_names(tmp_path: Path) -> None:
    pickled = b"\x80\x02}" + text("klass") + b"cdemucs.htdemucs\nHTDemucs\ns."
    value = read_torch(memory_map(zipped(tmp_path / "a.th", pickled, {})), CLASSES)
    assert isinstance(value, dict)
    assert str(value["klass"]) == "demucs.htdemucs.HTDemucs"
    with pytest.raises(UnsafePickle, match=r"demucs\.htdemucs\.HTDemucs"):
        read_torch(memory_map(tmp_path / "a.th"))  # without them, not even that
