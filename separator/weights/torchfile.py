"""Reader of both formats of torch.save, without torch and without Python's unpickler.

Zip (torch 1.6 and later): one pickle and its storages. Before: one stream with the pickles of a
magic number, a version, machine properties, the value and the storages' keys, followed by length
and content of each storage. Either may be compressed by gzip, as Demucs version 1 was released.
"""

from __future__ import annotations

import io
import zlib
from gzip import GzipFile
from typing import TYPE_CHECKING

import numpy as np

from separator.errors import BadCheckpoint
from separator.weights.pickles import Latin1, PickleReader
from separator.weights.tensors import Stubs
from separator.weights.zipped import TorchZip

if TYPE_CHECKING:
    from collections.abc import Iterable

GZIP = b"\x1f\x8b"
ZIP = b"PK\x03\x04"
LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # the magic number, pickled
LEGACY_VERSION = 1001
COUNT_BYTES = 8
BLOCK_BYTES = 1 << 20
# The largest release unpacks to 1.1 GB; weights of 8 bits pack to a fifth, not to a hundredth.
MAX_UNPACKED_BYTES = 4 << 30
MAX_PACKING = 100


def is_torch(data: memoryview) -> bool:
    """Whether the file begins like a torch file, possibly compressed."""
    head = bytes(data[: len(LEGACY)])
    return head.startswith((GZIP, ZIP)) or head == LEGACY


def read_torch(data: memoryview, classes: Iterable[str] = ()) -> object:
    """The saved value; its tensors are `TensorStub`s with views of `data` as `value`.

    classes: official classes, as "module.Name", that it may refer to; they become `ClassName`s.

    Raises:
        UnsafePickle: it contains more than tensors, plain values and these classes.
        BadCheckpoint: damaged, truncated, compressed in the zip, or of an unknown layout.
    """
    head = bytes(data[: len(LEGACY)])
    if head.startswith(GZIP):
        return read_torch(_unpacked(data), classes)
    if head.startswith(ZIP):
        return _read_zip(data, classes)
    if head == LEGACY:
        return _read_stream(data, classes)
    raise BadCheckpoint("it does not begin as a file of torch does")


def _allowed(stubs: Stubs, classes: Iterable[str], size: int) -> dict[tuple[str, str], object]:
    return {**stubs.allowed(classes), ("_codecs", "encode"): Latin1(size)}


def _read_zip(data: memoryview, classes: Iterable[str]) -> object:
    archive = TorchZip(data)
    if "byteorder" in archive and bytes(archive.view("byteorder")) != b"little":
        raise BadCheckpoint("it was written on a big-endian machine")
    stubs = Stubs()
    pickled = archive.view("data.pkl")
    allowed = _allowed(stubs, classes, len(pickled))
    value = PickleReader(pickled, allowed, persistent=stubs.persistent).load()
    stubs.fill(lambda key: archive.view(f"data/{key}"))
    return value


def _read_stream(data: memoryview, classes: Iterable[str]) -> object:
    stubs = Stubs()
    allowed = _allowed(stubs, classes, len(data))
    position = len(LEGACY)
    values = []
    for _ in range(4):
        reader = PickleReader(data, allowed, persistent=stubs.persistent, start=position)
        values.append(reader.load())
        position = reader.position
    version, machine, value, keys = values
    if version != LEGACY_VERSION:
        raise BadCheckpoint(f"version {str(version)[:32]} of torch's format is unknown")
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise BadCheckpoint("it was written on a big-endian machine")
    stubs.fill(_storages(data, position, keys, stubs).__getitem__)
    return value


def _storages(data: memoryview, position: int, keys: object, stubs: Stubs) -> dict[str, memoryview]:
    """Bytes of every storage, which follow the pickles."""
    kinds = stubs.storages
    if not isinstance(keys, list):
        raise BadCheckpoint("it has no list of storages")
    found: dict[str, memoryview] = {}
    for key in keys:
        if not isinstance(key, str) or key not in kinds or key in found:
            raise BadCheckpoint(f"storage {str(key)[:32]!r} belongs to no tensor")
        count = int.from_bytes(data[position : position + COUNT_BYTES], "little")
        position += COUNT_BYTES
        end = position + count * np.dtype(kinds[key].dtype).itemsize
        if end > len(data):
            raise BadCheckpoint("it is cut off")
        found[key] = data[position:end]
        position = end
    if found.keys() != kinds.keys():
        raise BadCheckpoint("it lacks a storage")
    return found


def _unpacked(data: memoryview) -> memoryview:
    """Content of a gzip file, with a limit of its size."""
    limit = min(MAX_UNPACKED_BYTES, MAX_PACKING * len(data))
    content = bytearray()
    try:
        with GzipFile(fileobj=io.BytesIO(data)) as packed:
            while block := packed.read(BLOCK_BYTES):
                content += block
                if len(content) > limit:
                    raise BadCheckpoint("it unpacks to more than weights can")
    except (OSError, EOFError, zlib.error) as error:
        raise BadCheckpoint(f"a damaged gzip file ({error})") from None
    if bytes(content[:2]) == GZIP:
        raise BadCheckpoint("it is packed twice")
    return memoryview(content)
