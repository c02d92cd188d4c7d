"""Reader and writer of safetensors files: a JSON directory, then the tensors' bytes.

The layout is in the README of huggingface/safetensors: 8 bytes of length, the directory (name ->
type, shape and offsets; `__metadata__` maps strings to strings), the data. The hub's Demucs models
keep class and arguments in the metadata, as strings of JSON.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from separator.errors import BadCheckpoint
from separator.weights.tensors import StorageKind, checked_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from separator.weights.checkpoint import Array

LENGTH_BYTES = 8
MAX_DIRECTORY_BYTES = 16 << 20  # the largest release has 80 kB
METADATA = "__metadata__"
JSON_FIELDS = ("args", "kwargs", "structure")

KINDS = {
    "F64": StorageKind("<f8"),
    "F32": StorageKind("<f4"),
    "F16": StorageKind("<f2"),
    "BF16": StorageKind("<u2", bfloat16=True),
    "I64": StorageKind("<i8"),
    "I32": StorageKind("<i4"),
    "I16": StorageKind("<i2"),
    "I8": StorageKind("|i1"),
    "U8": StorageKind("|u1"),
}
NAMES = {kind.dtype: name for name, kind in KINDS.items() if not kind.bfloat16}
ALIGNED_BYTES = 64  # alignment of the first tensor, for memory-mapped use


def is_safetensors(data: memoryview) -> bool:
    """Whether the file begins like a safetensors file."""
    return bytes(data[LENGTH_BYTES : LENGTH_BYTES + 1]) == b"{"


def read_safetensors(data: memoryview) -> tuple[dict[str, Any], dict[str, Array]]:
    """The metadata (with `JSON_FIELDS` parsed) and the tensors, as views of `data`.

    Raises:
        BadCheckpoint: damaged, truncated, or with an unknown tensor type.
    """
    size = int.from_bytes(data[:LENGTH_BYTES], "little")
    start = LENGTH_BYTES + size
    if size > MAX_DIRECTORY_BYTES or start > len(data):
        raise BadCheckpoint("its directory claims more bytes than the file has")
    directory = parsed(bytes(data[LENGTH_BYTES:start]))
    if not isinstance(directory, dict):
        raise BadCheckpoint("its directory is not a JSON object")
    metadata = directory.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        raise BadCheckpoint("its metadata are not strings")
    arrays: dict[str, Array] = {}
    left_bytes = len(data) - start
    for name, entry in directory.items():
        kind, shape, content = _place(name, entry, data[start:])
        left_bytes -= len(content)
        if left_bytes < 0:
            raise BadCheckpoint("its tensors overlap")
        arrays[name] = kind.array(content).reshape(shape)
    fields = {
        name: parsed(value.encode()) if name in JSON_FIELDS else value
        for name, value in metadata.items()
    }
    return fields, arrays


def write_safetensors(
    stream: BinaryIO, metadata: Mapping[str, str], arrays: Mapping[str, Array]
) -> None:
    """Write a file for `read_safetensors`: arrays with the types of `KINDS`, except bfloat16."""
    directory: dict[str, Any] = {METADATA: dict(metadata)}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        directory[name] = {
            "dtype": NAMES[array.dtype.newbyteorder("<").str],
            "shape": array.shape,
            "data_offsets": (begin, end),
        }
    text = json.dumps(directory).encode()
    text += b" " * (-len(text) % ALIGNED_BYTES)
    stream.write(len(text).to_bytes(LENGTH_BYTES, "little") + text)
    for array in arrays.values():
        stream.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)


def parsed(text: bytes) -> Any:
    """The value of a JSON text, or BadCheckpoint."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadCheckpoint("its directory or metadata are not JSON; fetch it again") from None


def _place(
    name: str, entry: object, data: memoryview
) -> tuple[StorageKind, tuple[int, ...], memoryview]:
    where = f"{name[:64]!r}"
    if not isinstance(entry, dict) or str(entry.get("dtype")) not in KINDS:
        raise BadCheckpoint(f"{where} has an unknown type")
    kind = KINDS[str(entry["dtype"])]
    shape = checked_shape(_list(entry.get("shape")))
    place = _list(entry.get("data_offsets"))
    begin, end = place if len(place) == 2 else (None, None)
    if type(begin) is not int or type(end) is not int or not 0 <= begin <= end <= len(data):
        raise BadCheckpoint(f"{where} lies outside of the file; it is cut off or damaged")
    if math.prod(shape) * np.dtype(kind.dtype).itemsize != end - begin:
        raise BadCheckpoint(f"{where} has {end - begin} bytes, its shape needs others")
    return kind, shape, data[begin:end]


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise BadCheckpoint("a tensor has no shape or no offsets")
    return value
