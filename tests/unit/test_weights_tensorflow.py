"""The reader of TensorFlow checkpoints: files that TensorFlow wrote, damaged ones, crafted ones."""

from __future__ import annotations

import shutil
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from separator.errors import BadCheckpoint
from separator.weights.crc32c import crc32c, masked
from separator.weights.formats import read_tensorflow
from tests.hypothesis_profiles import examples
from tests.support import GOLDEN

if TYPE_CHECKING:
    from pathlib import Path

SAMPLES = GOLDEN / "spleeter"
INDEX = (SAMPLES / "2stems" / "model.index").read_bytes()
DATA = (SAMPLES / "2stems" / "model.data-00000-of-00001").read_bytes()
FOOTER_BYTES = 48
FUZZ = settings(
    max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture]
)


# The data block comes first, so its length is where its checksum fits.
BLOCK_BYTES = next(
    size
    for size in range(4000, len(INDEX) - FOOTER_BYTES)
    if int.from_bytes(INDEX[size + 1 : size + 5], "little") == masked(crc32c(INDEX[: size + 1]))
)


@cache
def original() -> dict[str, np.ndarray]:
    return read_tensorflow(SAMPLES / "2stems" / "model")


def write(folder: Path, index: bytes, data: bytes = DATA) -> Path:
    (folder / "model.index").write_bytes(index)
    (folder / "model.data-00000-of-00001").write_bytes(data)
    return folder / "model"


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def message(*fields: tuple[int, int | bytes]) -> bytes:
    """A protobuf message of numbers and of nested messages."""
    out = b""
    for number, value in fields:
        if isinstance(value, bytes):
            out += varint(number << 3 | 2) + varint(len(value)) + value
        else:
            out += varint(number << 3) + varint(value)
    return out


def record(key: bytes, value: bytes, shared: int = 0) -> bytes:
    return varint(shared) + varint(len(key)) + varint(len(value)) + key + value


def sealed(block: bytes, kind: int = 0) -> bytes:
    content = block + bytes([kind])
    return content + masked(crc32c(content)).to_bytes(4, "little")


def table(*records: bytes, kind: int = 0) -> bytes:
    """An index file with one data block, all checksums right."""
    restarts = (0).to_bytes(4, "little") + (1).to_bytes(4, "little")
    block = b"".join(records) + restarts
    handle = varint(0) + varint(len(block))
    data = sealed(block, kind)
    directory = record(b"\xff", handle) + restarts
    footer = varint(0) + varint(0) + varint(len(data)) + varint(len(directory))
    footer = footer.ljust(40, b"\0") + 0xDB4775248B80FB57.to_bytes(8, "little")
    return data + sealed(directory) + footer


HEADER = record(b"", message((1, 1)))


def entry(data: bytes, *sizes: int, dtype: int = 1, **changed: int) -> bytes:
    shape = message(*((2, message((1, size))) for size in sizes))
    numbers = {"shard": 0, "offset": 0, "size": len(data), "crc": masked(crc32c(data))} | changed
    return message(
        (1, dtype),
        (2, shape),
        (3, numbers["shard"]),
        (4, numbers["offset"]),
        (5, numbers["size"]),
        (6, numbers["crc"]),
    )


@pytest.mark.parametrize(("name", "stems"), [("2stems", 2), ("4stems", 4), ("5stems", 5)])
def test_reads_what_tensorflow_wrote(name: str, stems: int) -> None:
    tensors = read_tensorflow(SAMPLES / name / "model")
    # 13 kernels and biases, 12 normalisations of four, per stem; and the step counter
    assert len(tensors) == stems * (13 * 2 + 12 * 4) + 1
    assert tensors["conv2d/kernel"].shape == (5, 5, 2, 4)
    assert tensors["conv2d_transpose/kernel"].dtype == np.float32
    assert tensors["global_step"].shape == ()
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())
    assert tensors["batch_normalization/moving_variance"].astype(np.float64).min() > 0


def test_reads_a_table_made_by_hand(tmp_path: Path) -> None:
    values = np.array([[1.5, -2.0, 3.0]], dtype="<f4")
    halves = np.array([0.5, 0.25], dtype="<f2")
    data = values.tobytes() + halves.tobytes()
    index = table(
        HEADER,
        record(b"layer/a", entry(values.tobytes(), 1, 3)),
        record(b"b", entry(halves.tobytes(), 2, dtype=19, offset=12), shared=len("layer/")),
        record(b"text", entry(b"", dtype=7)),
    )
    tensors = read_tensorflow(write(tmp_path, index, data))
    assert sorted(tensors) == ["layer/a", "layer/b"]  # texts are left out
    np.testing.assert_array_equal(tensors["layer/a"], values)
    np.testing.assert_array_equal(tensors["layer/b"], halves)


FOUR = bytes(4)
CRAFTED = {
    "claims petabytes": table(HEADER, record(b"a", entry(FOUR, 1 << 50, size=1 << 52))),
    "shape and size differ": table(HEADER, record(b"a", entry(FOUR, 2))),
    "size beyond the file": table(HEADER, record(b"a", entry(FOUR, 1 << 20, size=4 << 20))),
    "offset beyond the file": table(HEADER, record(b"a", entry(FOUR, 1, offset=1 << 60))),
    "negative size": table(HEADER, record(b"a", entry(FOUR, 1, size=(1 << 64) - 4))),
    "no such shard": table(HEADER, record(b"a", entry(FOUR, 1, shard=1))),
    "the same bytes many times over": table(
        HEADER, *(record(b"%c" % i, entry(FOUR, 1)) for i in range(97, 110))
    ),
    "wrong tensor checksum": table(HEADER, record(b"a", entry(FOUR, 1, crc=1))),
    "partitioned": table(HEADER, record(b"a", entry(FOUR, 1) + message((7, b"")))),
    "big-endian": table(record(b"", message((1, 1), (2, 1))), record(b"a", entry(FOUR, 1))),
    "a million shards": table(record(b"", message((1, 10**6)))),
    "no header": table(record(b"a", entry(FOUR, 1))),
    "out of order": table(HEADER, record(b"b", entry(FOUR, 1)), record(b"a", entry(FOUR, 1))),
    "shares what is not there": table(HEADER, record(b"a", b"", shared=3)),
    "a name without end": table(HEADER, record(b"a" * 600, entry(FOUR, 1))),
    "a name that is no text": table(HEADER, record(b"\xff\xfe", entry(FOUR, 1))),
    "a record past its block": table(HEADER, varint(0) + varint(1) + varint(200) + b"a"),
    "an unknown encoding": table(HEADER, record(b"a", b"\x0b")),
    "a record cut off": table(HEADER, record(b"a", message((2, b"x" * 20))[:-5])),
    "a number without end": table(HEADER, record(b"a", b"\x08" + b"\xff" * 12)),
    "nine dimensions": table(HEADER, record(b"a", entry(FOUR, *[1] * 9))),
    "compressed": table(HEADER, record(b"a", entry(FOUR, 1)), kind=1),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_crafted_files_are_refused(tmp_path: Path, name: str) -> None:
    prefix = write(tmp_path, CRAFTED[name], bytes(16))
    with pytest.raises(BadCheckpoint) as caught:
        read_tensorflow(prefix)
    assert str(prefix) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_crafting_itself_is_sound(tmp_path: Path) -> None:
    """Else the tests above could pass for the wrong reason."""
    sound = table(HEADER, record(b"a", entry(FOUR, 1)))
    assert list(read_tensorflow(write(tmp_path, sound, bytes(16)))) == ["a"]


def test_every_kind_of_file_that_is_no_index(tmp_path: Path) -> None:
    for content in (b"", b"x" * 10, b"x" * 100, bytes(5 << 20)):
        with pytest.raises(BadCheckpoint):
            read_tensorflow(write(tmp_path, content))
    with pytest.raises(BadCheckpoint, match="cannot be read"):
        read_tensorflow(tmp_path / "absent")


def test_missing_data_file(tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "2stems" / "model.index", tmp_path)
    with pytest.raises(BadCheckpoint, match="data-00000-of-00001"):
        read_tensorflow(tmp_path / "model")


@given(length=st.integers(0, len(INDEX) - 1))
@FUZZ
def test_a_truncated_index_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(BadCheckpoint):
        read_tensorflow(write(tmp_path, INDEX[:length]))


@given(length=st.integers(0, len(DATA) - 1))
@settings(parent=FUZZ, max_examples=examples(40))
def test_truncated_data_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(BadCheckpoint):
        read_tensorflow(write(tmp_path, INDEX, DATA[:length]))


MUTATIONS = st.lists(
    st.tuples(st.integers(0, len(INDEX) - 1), st.integers(1, 255)), min_size=1, max_size=4
)


def mutated(content: bytes, changes: list[tuple[int, int]]) -> bytes:
    out = bytearray(content)
    for position, value in changes:
        out[position % len(out)] ^= value
    return bytes(out)


def assert_same(tensors: dict[str, np.ndarray]) -> None:
    assert tensors.keys() == original().keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, original()[name])


@given(changes=MUTATIONS)
@FUZZ
def test_a_damaged_index_is_refused_or_harmless(
    tmp_path: Path, changes: list[tuple[int, int]]
) -> None:
    prefix = write(tmp_path, mutated(INDEX, changes))
    try:
        tensors = read_tensorflow(prefix)
    except BadCheckpoint:
        return
    assert_same(tensors)


@given(position=st.integers(0, len(DATA) - 1), value=st.integers(1, 255))
@settings(parent=FUZZ, max_examples=examples(40))
def test_damaged_data_is_refused(tmp_path: Path, position: int, value: int) -> None:
    with pytest.raises(BadCheckpoint, match="checksum"):
        read_tensorflow(write(tmp_path, INDEX, mutated(DATA, [(position, value)])))


@given(changes=MUTATIONS)
@FUZZ
def test_a_forged_index_never_escapes_the_error_tree(
    tmp_path: Path, changes: list[tuple[int, int]]
) -> None:
    """As above, but with the block's checksum put right again, so that the parsing is reached."""
    block = mutated(INDEX[:BLOCK_BYTES], changes)
    prefix = write(tmp_path, sealed(block) + INDEX[BLOCK_BYTES + 5 :])
    try:
        tensors = read_tensorflow(prefix)
    except BadCheckpoint:
        return
    assert all(isinstance(name, str) for name in tensors)
    assert sum(tensor.nbytes for tensor in tensors.values()) <= len(DATA)
