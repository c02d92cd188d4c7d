"""Weights that DiffQ packed: files of the official packages (golden/packed/make.py) come out as
the official program unpacks them."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import separator
from separator import architectures
from separator.errors import BadCheckpoint
from separator.official_order import LAYERS, official_order
from separator.weights import formats, official
from separator.weights.diffq import (
    BitPackedParameter,
    PackedWeights,
    QuantisedParameter,
    from_saved,
    from_structure,
)
from separator.weights.pickles import ClassName
from tests.hypothesis_profiles import examples
from tests.support import GOLDEN, require

PACKED = GOLDEN / "packed"
V2 = json.loads((GOLDEN / "demucs_v2" / "demucs_v2.json").read_text())["kwargs"]
SAID: dict[str, dict[str, Any]] = {
    "hdemucs_q": {},
    "demucs_v3_q": {},
    "demucs_v2_q": {"architecture": "demucs-v2", "arguments": V2},
}
ARCHITECTURES = {"hdemucs_q": "hdemucs", "demucs_v3_q": "demucs-v3", "demucs_v2_q": "demucs-v2"}
QUANTIZER = ClassName("diffq.diffq", "DiffQuantizer")


@pytest.mark.parametrize("name", SAID)
def test_unpacks_as_the_official_program(name: str) -> None:
    """Sum and sum of absolute values of every parameter, which are in the official order."""
    expected = json.loads((PACKED / f"{name}.json").read_text())
    model = separator.load_checkpoint(PACKED / f"{name}.th", **SAID[name]).model
    parameters = list(official_order(model, ARCHITECTURES[name]))
    assert len(parameters) == len(expected)
    for (ours, values), (theirs, sums) in zip(parameters, expected.items(), strict=True):
        found = [values.double().sum().item(), values.double().abs().sum().item()]
        assert found == pytest.approx(sums, rel=1e-9, abs=1e-9 * sums[1]), (ours, theirs)


def test_every_packed_file_is_tested() -> None:
    assert {path.stem for path in PACKED.glob("*.th")} == SAID.keys()


@pytest.mark.parametrize(
    ("architecture", "path"),
    [
        ("demucs-v2", "demucs_v2/demucs_v2-f212de40.th"),
        ("demucs-v3", "demucs_v3/demucs_v3_time-9e5249a3.th"),
        ("hdemucs", "demucs_v3/hdemucs_v3-12fed0f4.th"),
    ],
)
def test_our_parameters_have_the_official_order(architecture: str, path: str) -> None:
    """Against state dicts that the official classes wrote, which keep their order."""
    golden = GOLDEN if (GOLDEN / path).exists() else require.corpus().parent / "golden"
    said = {"architecture": "demucs-v2", "arguments": V2} if architecture == "demucs-v2" else {}
    state = {key: torch.tensor(value) for key, value in formats.read(golden / path).state.items()}
    model = separator.load_checkpoint(golden / path, **said).model
    renamed = architectures.demucs_family(architecture).from_official_state(state)
    assert list(renamed) == [name for name, _ in official_order(model, architecture)]


def test_all_packed_releases_have_an_order() -> None:
    assert set(LAYERS) <= set(architectures.NAMES)


def words(numbers: np.ndarray, bits: int, width: int = 32) -> np.ndarray:
    """Packs as section "words" of `_unpacked` says, one bit at a time."""
    lines = -(-len(numbers) // (64 * width))
    packed = np.zeros((lines, bits, width), np.uint64)
    for position, number in enumerate(numbers):
        line, rest = divmod(position, 64 * width)
        bit, word = divmod(rest, width)
        for plane in range(bits):
            packed[line, plane, word] |= np.uint64((int(number) >> plane & 1) << bit)
    return packed.view(np.int64)


@given(data=st.data())
@settings(max_examples=examples(25))
def test_packed_words_are_the_levels(data: st.DataObject) -> None:
    group = data.draw(st.sampled_from([1, 4, 8]))
    bits = np.array(data.draw(st.lists(st.integers(2, 14), min_size=1, max_size=12)))
    limits = np.repeat(2**bits, group).reshape(-1, group)
    drawn = data.draw(
        st.lists(st.integers(0, 2**14 - 1), min_size=limits.size, max_size=limits.size)
    )
    levels = np.array(drawn).reshape(limits.shape) % limits
    by_bits = tuple(
        words(levels[bits == count].reshape(-1), count) if (bits == count).any() else None
        for count in range(1, 15)
    )
    packed = BitPackedParameter(by_bits, words(bits - 2, 4), group, 2, low=-0.5, high=1.5)
    plain = QuantisedParameter(levels.astype(np.int16), bits, low=-0.5, high=1.5)
    made = packed.weights(levels.size)
    np.testing.assert_array_equal(made, plain.weights(levels.size))
    np.testing.assert_allclose(made, -0.5 + 2 * levels / (limits - 1), atol=1e-6)


def state(**changes: object) -> dict[str, Any]:
    """A packed state of one large and one small parameter, as diffq 0.2 has it."""
    levels: list[Any] = [None] * 14
    levels[2] = words(np.arange(8) % 8, 3)
    said = {"klass": QUANTIZER, "packed": True, "init_kwargs": {"group_size": 4}}
    large = (levels, (0.0, 7.0), words(np.ones(2), 1))
    whole = {"quantized": [large], "float16": [], "others": [np.ones(3, "f4")], "meta": said}
    return {**whole, **changes}


SHAPES = {"large": (2, 4), "small": (3,)}


def test_the_state_by_hand_is_sound() -> None:
    """Else the tests below could pass for the wrong reason."""
    packed = from_saved(state())
    assert packed is not None
    made = packed.unpack(SHAPES)
    np.testing.assert_allclose(made["large"], np.arange(8).reshape(2, 4), atol=1e-6)
    np.testing.assert_array_equal(made["small"], np.ones(3))


def test_the_hub_nests_the_same_state_in_json() -> None:
    whole = state()
    ((levels, _, bits),) = whole["quantized"]
    tensors = {"0": levels[2], "1": bits, "2": np.ones(3, "f4")}
    nested = [{"_tensor": "0"} if item is not None else None for item in levels]
    large = {"_tuple": [{"_list": nested}, {"_tuple": [0.0, 7.0]}, {"_tensor": "1"}]}
    settings_ = {"_dict": [["group_size", 4]]}
    meta_ = [
        ["klass", {"_class": "diffq.diffq.DiffQuantizer"}],
        ["packed", True],
        ["init_kwargs", settings_],
    ]
    structure = {
        "_dict": [
            ["quantized", {"_list": [large]}],
            ["others", {"_list": [{"_tensor": "2"}]}],
            ["meta", {"_dict": meta_}],
            ["__quantized", True],
        ]
    }
    metadata = {"klass": "demucs.hdemucs.HDemucs", "args": [], "kwargs": {}, "structure": structure}
    packed = official.from_metadata(metadata, tensors).packed
    assert packed is not None
    np.testing.assert_allclose(
        packed.unpack(SHAPES)["large"], np.arange(8).reshape(2, 4), atol=1e-6
    )


def meta(**changes: object) -> dict[str, object]:
    return {"klass": QUANTIZER, "packed": True, "init_kwargs": {"group_size": 4}, **changes}


def unpacked(bits: list[int]) -> dict[str, Any]:
    large = (np.zeros((2, 4), "u1"), (0.0, 1.0), np.array(bits))
    return state(quantized=[large], meta=meta(packed=False))


LEVELS = words(np.zeros(8), 3)
BAD_STATES: dict[str, tuple[dict[str, Any], str]] = {
    "another way of packing": (state(meta=meta(klass=ClassName("os", "system"))), "no release"),
    "torch's packing": (state(meta=meta(torch_pack=True)), "no release"),
    "no settings": (state(meta={"klass": QUANTIZER}), "settings of its packed weights are missing"),
    "an absurd group": (state(meta=meta(init_kwargs={"group_size": -1})), "impossible"),
    "a group that is no number": (state(meta=meta(init_kwargs={"group_size": "8"})), "impossible"),
    "halves": (state(float16=[np.ones(3, "f2")]), "half precision"),
    "no lists": (state(quantized=3), "lists"),
    "a scale of NaN": (
        state(quantized=[([None] * 14, (0.0, float("nan")), LEVELS)]),
        "impossible",
    ),
    "no tensors": (state(others=["text"]), "not tensors"),
    "too few lists of levels": (state(quantized=[([None], (0.0, 1.0), LEVELS)]), "lists"),
}
BAD_PACKINGS: dict[str, tuple[dict[str, Any], str]] = {
    "no levels at all": (
        state(quantized=[([None] * 14, (0.0, 1.0), words(np.ones(2), 1))]),
        "lacks levels",
    ),
    "levels cut off": (
        state(quantized=[([None] * 14, (0.0, 1.0), np.zeros((0, 1, 32), np.int64))]),
        "cut off",
    ),
    "levels of another type": (
        state(quantized=[([None] * 14, (0.0, 1.0), np.zeros((1, 1, 32), np.float32))]),
        "words of 64 bits",
    ),
    "one more": (state(others=[np.ones(3, "f4")] * 2), "2 others"),
    "another size": (state(others=[np.ones(4, "f4")]), "do not fit small"),
    "bits out of range": (unpacked([2, 99]), "impossible number of bits"),
    "bits of other groups": (unpacked([2]), "do not fit its bits"),
}


@pytest.mark.parametrize("name", BAD_STATES)
def test_bad_states(name: str) -> None:
    value, message = BAD_STATES[name]
    with pytest.raises(BadCheckpoint, match=message):
        from_saved(value)


@pytest.mark.parametrize("name", BAD_PACKINGS)
def test_bad_packings(name: str) -> None:
    value, message = BAD_PACKINGS[name]
    packed = from_saved(value)
    assert packed is not None
    with pytest.raises(BadCheckpoint, match=message):
        packed.unpack(SHAPES)


@pytest.mark.parametrize(
    "structure",
    [
        3,
        {"_dict": [["quantized"]]},
        {"_dict": 3},
        {"_tensor": "absent"},
        {"_class": "os.system"},
        {"_list": [], "_dict": []},
        {"unknown": 3},
        json.loads('{"_list": [' * 50 + "]}" * 50),
    ],
)
def test_bad_structures(structure: object) -> None:
    with pytest.raises(BadCheckpoint):
        from_structure(structure, {})


@pytest.mark.parametrize(
    "content",
    [
        "text",
        b"no deflate",
        zlib.compress(b"no torch"),
        zlib.compress(bytes(1000))[:-4],
        zlib.compress(zlib.compress(bytes(1000))),
    ],
)
def test_bad_compressed_states(content: object) -> None:
    with pytest.raises(BadCheckpoint):
        from_saved({"compressed": content})


def test_a_compressed_state_in_a_compressed_state_is_refused(tmp_path: Path) -> None:
    inner = tmp_path / "inner.th"
    torch.save({"compressed": b"x"}, inner)
    with pytest.raises(BadCheckpoint, match="holds no packed"):
        from_saved({"compressed": zlib.compress(inner.read_bytes())})


def test_packed_weights_of_other_architectures_are_refused() -> None:
    with pytest.raises(BadCheckpoint, match=r"packed \(DiffQ\), which is known for"):
        separator.load_checkpoint(
            PACKED / "demucs_v2_q.th",
            architecture="conv-tasnet",
            arguments={"sources": ["a", "b"], "N": 8, "B": 8, "H": 8, "X": 1, "R": 1},
        )


@given(
    changes=st.lists(
        st.tuples(st.integers(0, 200_000), st.integers(1, 255)), min_size=1, max_size=3
    )
)
@settings(max_examples=examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_never_escape_the_error_tree(
    tmp_path: Path, changes: list[tuple[int, int]]
) -> None:
    content = bytearray((PACKED / "demucs_v2_q.th").read_bytes())
    for position, value in changes:
        content[position % len(content)] ^= value
    (tmp_path / "a.th").write_bytes(content)
    try:
        packed = formats.read(tmp_path / "a.th").packed
    except BadCheckpoint:
        return
    assert isinstance(packed, PackedWeights)  # the change lies where nothing is read
