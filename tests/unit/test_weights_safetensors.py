"""The reader of safetensors files: what the hub has, and what a damaged file says."""

from __future__ import annotations

import json
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from separator.errors import BadCheckpoint
from separator.weights import formats
from separator.weights.mapping import memory_map
from separator.weights.safetensors import read_safetensors
from tests.hypothesis_profiles import examples

TYPES = {"F64": "f8", "F32": "f4", "F16": "f2", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
         "U8": "u1"}  # fmt: skip
HTDEMUCS = {
    "klass": "demucs.htdemucs.HTDemucs",
    "args": "[]",
    "kwargs": json.dumps(
        {"segment": {"_type": "fraction", "numerator": 39, "denominator": 5}, "channels": 8}
    ),
}


def written(path: Path, directory: object, data: bytes = b"", size: int | None = None) -> Path:
    head = json.dumps(directory).encode() if not isinstance(directory, bytes) else directory
    path.write_bytes(struct.pack("<Q", len(head) if size is None else size) + head + data)
    return path


def entry(shape: object, begin: object, end: object, dtype: object = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_all_types(tmp_path: Path) -> None:
    directory, data, expected = {}, b"", {}
    for name, code in TYPES.items():
        expected[name] = np.arange(6, dtype=f"<{code}").reshape(2, 3)
        content = expected[name].tobytes()
        directory[name] = entry([2, 3], len(data), len(data) + len(content), name)
        data += content
    metadata, arrays = read_safetensors(memory_map(written(tmp_path / "a", directory, data)))
    assert metadata == {}
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def test_bfloat16_becomes_float32(tmp_path: Path) -> None:
    upper = (np.array([1.5, -2.0], "<f4").view("<u4") >> 16).astype("<u2")
    directory = {"a": entry([2], 0, 4, "BF16")}
    _, arrays = read_safetensors(memory_map(written(tmp_path / "a", directory, upper.tobytes())))
    np.testing.assert_array_equal(arrays["a"], np.array([1.5, -2.0], "f4"))


def test_class_and_arguments_come_from_the_metadata(tmp_path: Path) -> None:
    directory = {"__metadata__": HTDEMUCS, "a": entry([], 0, 4)}
    checkpoint = formats.read(written(tmp_path / "a.safetensors", directory, bytes(4)))
    assert checkpoint.architecture == "htdemucs"
    assert checkpoint.arguments == {"segment": Fraction(39, 5), "channels": 8}
    assert checkpoint.positional == ()
    assert checkpoint.state["a"].shape == ()


def test_without_metadata_it_is_a_bare_state(tmp_path: Path) -> None:
    checkpoint = formats.read(written(tmp_path / "a", {"a": entry([1], 0, 4)}, bytes(4)))
    assert checkpoint.architecture is None
    assert list(checkpoint.state) == ["a"]


BAD: dict[str, tuple[object, str]] = {
    "no table": ([], "not a checkpoint|not a JSON object"),
    "no JSON": (b"{nonsense", "not JSON"),
    "nested without end": (b'{"a":' + b"[" * 100_000, "not JSON"),
    "an entry that is none": ({"a": 3}, "unknown type"),
    "an unknown type": ({"a": entry([1], 0, 4, "F8_E4M3")}, "unknown type"),
    "a type that is no text": ({"a": entry([1], 0, 4, [])}, "unknown type"),
    "a shape that does not fit": ({"a": entry([2], 0, 4)}, "shape"),
    "a negative shape": ({"a": entry([-1], 0, 4)}, "shape"),
    "a huge shape": ({"a": entry([0, 1 << 62], 0, 0)}, "shape"),
    "a shape with a fraction": ({"a": entry([1.0], 0, 4)}, "shape"),
    "a shape that is no list": ({"a": entry("1", 0, 4)}, "shape"),
    "data behind the end": ({"a": entry([4], 0, 16)}, "outside"),
    "data before the beginning": ({"a": entry([1], -4, 0)}, "outside"),
    "an end before the beginning": ({"a": entry([1], 4, 0)}, "outside"),
    "tensors upon each other": ({name: entry([2], 0, 8) for name in "ab"}, "overlap"),
    "metadata of numbers": ({"__metadata__": {"klass": 3}, "a": entry([1], 0, 4)}, "not strings"),
    "metadata that are no table": ({"__metadata__": [], "a": entry([1], 0, 4)}, "not strings"),
    "an unknown class": ({"__metadata__": {**HTDEMUCS, "klass": "os.system"}}, "'os.system'"),
    "arguments that are no JSON": ({"__metadata__": {**HTDEMUCS, "kwargs": "{"}}, "not JSON"),
    "arguments that are no table": ({"__metadata__": {**HTDEMUCS, "kwargs": "[]"}}, "no dict"),
    "positional ones that are no list": ({"__metadata__": {**HTDEMUCS, "args": "{}"}}, "no list"),
    "a fraction of texts": (
        {"__metadata__": {**HTDEMUCS, "kwargs": '{"a": {"_type": "fraction", "numerator": "1"}}'}},
        "fraction",
    ),
    "a fraction of zero": (
        {
            "__metadata__": {
                **HTDEMUCS,
                "kwargs": '{"a": {"_type": "fraction", "numerator": 1, "denominator": 0}}',
            }
        },
        "fraction",
    ),
    "no class in a structure": ({"__metadata__": {**HTDEMUCS, "structure": "{}"}}, "structure"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_directories(tmp_path: Path, name: str) -> None:
    directory, message = BAD[name]
    path = written(tmp_path / "a.safetensors", directory, bytes(8))
    with pytest.raises(BadCheckpoint, match=message) as caught:
        formats.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [1 << 20, 1 << 40, (1 << 64) - 1])
def test_a_directory_longer_than_the_file(tmp_path: Path, size: int) -> None:
    path = written(tmp_path / "a", {"a": entry([1], 0, 4)}, bytes(4), size)
    with pytest.raises(BadCheckpoint, match="claims more bytes"):
        formats.read(path)


WHOLE = {"__metadata__": HTDEMUCS, "a": entry([2, 3], 0, 24), "b": entry([4], 24, 40)}


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    whole = written(tmp_path / "a", WHOLE, bytes(40)).read_bytes()
    for length in range(len(whole)):
        (tmp_path / "b").write_bytes(whole[:length])
        with pytest.raises(BadCheckpoint):
            formats.read(tmp_path / "b")


@given(changes=st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 255)), min_size=1))
@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_never_escape_the_error_tree(
    tmp_path: Path, changes: list[tuple[int, int]]
) -> None:
    content = bytearray(written(tmp_path / "a", WHOLE, bytes(40)).read_bytes())
    for position, value in changes:
        content[position % len(content)] ^= value
    (tmp_path / "b").write_bytes(content)
    try:
        checkpoint = formats.read(tmp_path / "b")
    except BadCheckpoint:
        return
    assert sum(array.nbytes for array in checkpoint.state.values()) <= 2 * len(content)
