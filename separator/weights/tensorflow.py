"""Reader of TensorFlow's "tensor bundle" checkpoints, without TensorFlow.

A bundle is `PREFIX.index`, a sorted table of protobuf records, and `PREFIX.data-…-of-…`, the raw
tensors. The table is LevelDB's (doc/table_format.md of google/leveldb); the records are
BundleHeaderProto and BundleEntryProto of tensorflow/core/protobuf/tensor_bundle.proto.

Every size and offset is checked against the file before it is used, and every block and tensor
against its checksum, so a damaged or crafted file is refused at a cost bounded by its own size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from separator.errors import BadCheckpoint
from separator.weights.crc32c import crc32c, masked
from separator.weights.protobuf import fields, octets, varint, whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    from separator.weights.protobuf import Message

MAGIC = 0xDB4775248B80FB57
FOOTER_BYTES = 48
TRAILER_BYTES = 5  # compression kind and checksum behind each block
# Spleeter's five stems need 15 kB of index; these bounds only keep crafted files cheap.
MAX_INDEX_BYTES = 4 << 20
MAX_KEY_BYTES = 512
MAX_TENSORS = 20_000
MAX_DIMENSIONS = 8
MAX_SHARDS = 1000

# tensorflow/core/framework/types.proto; the numeric types that model checkpoints use.
DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "|u1", 9: "<i8", 10: "|b1", 19: "<f2"}


@dataclass(frozen=True)
class _Entry:
    """Type, shape and position of one tensor."""

    dtype: int = 0
    shape: tuple[int, ...] = ()
    shard: int = 0
    offset: int = 0
    size_bytes: int = 0
    checksum: int = 0
    sliced: bool = False


@dataclass
class _Shards:
    """Data files of one bundle; the total read from each is limited to its size."""

    prefix: Path
    count: int
    read_bytes: dict[int, int] = field(default_factory=dict)

    def read(self, entry: _Entry) -> bytes:
        name = f"{self.prefix.name}.data-{entry.shard:05d}-of-{self.count:05d}"
        path = self.prefix.with_name(name)
        if not 0 <= entry.shard < self.count:
            raise BadCheckpoint(
                f"{self.prefix}: a tensor lies in shard {entry.shard} of {self.count}"
            )
        try:
            with path.open("rb") as file:
                total = file.seek(0, 2)
                used = self.read_bytes.get(entry.shard, 0) + entry.size_bytes
                if entry.offset + entry.size_bytes > total or used > total:
                    raise BadCheckpoint(f"{path}: shorter than its index states; fetch it again")
                self.read_bytes[entry.shard] = used
                file.seek(entry.offset)
                return file.read(entry.size_bytes)
        except OSError as error:
            raise BadCheckpoint(f"{path}: cannot be read ({error.strerror})") from None


def read_tensorflow(prefix: Path) -> dict[str, npt.NDArray[np.generic]]:
    """All numeric tensors of the bundle `prefix`.index, by name, as stored (read-only arrays).

    Tensors of other types (strings, resources) are left out.

    Raises:
        BadCheckpoint: not a bundle, damaged, truncated, compressed, big-endian or partitioned.
    """
    index = prefix.with_name(f"{prefix.name}.index")
    try:
        with index.open("rb") as file:
            data = file.read(MAX_INDEX_BYTES + 1)
    except OSError as error:
        raise BadCheckpoint(f"{index}: cannot be read ({error.strerror})") from None
    try:
        records = list(_table(data))
        if not records or records[0][0] != b"":
            raise BadCheckpoint("the header is missing")
        shards = _Shards(prefix, _shard_count(records[0][1]))
        entries = {key.decode(): _entry(value) for key, value in records[1:]}
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{index}: not a usable TensorFlow checkpoint: {error}") from None
    except UnicodeDecodeError:
        raise BadCheckpoint(f"{index}: not a usable TensorFlow checkpoint: a bad name") from None
    return {
        name: _tensor(name, entry, shards)
        for name, entry in entries.items()
        if entry.dtype in DTYPES
    }


def _tensor(name: str, entry: _Entry, shards: _Shards) -> npt.NDArray[np.generic]:
    dtype = np.dtype(DTYPES[entry.dtype])
    where = f"{shards.prefix}: {name[:MAX_KEY_BYTES]!r}"
    if entry.sliced:
        raise BadCheckpoint(f"{where} is partitioned, which no model here uses")
    if math.prod(entry.shape) * dtype.itemsize != entry.size_bytes:
        raise BadCheckpoint(f"{where} has {entry.size_bytes} bytes, its shape needs others")
    data = shards.read(entry)
    if masked(crc32c(data)) != entry.checksum:
        raise BadCheckpoint(f"{where} does not match its checksum; fetch the checkpoint again")
    return np.frombuffer(data, dtype=dtype).reshape(entry.shape)


# The table: footer -> index block -> data blocks -> (key, value)


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    if len(data) > MAX_INDEX_BYTES:
        raise BadCheckpoint(f"larger than {MAX_INDEX_BYTES >> 20} MiB")
    if len(data) < FOOTER_BYTES:
        raise BadCheckpoint("shorter than its footer")
    footer = data[-FOOTER_BYTES:]
    if int.from_bytes(footer[-8:], "little") != MAGIC:
        raise BadCheckpoint("the magic number at the end is not there")
    _, position = _handle(footer, 0)  # the meta index: TensorFlow leaves it empty
    (offset, size), _ = _handle(footer, position)
    read_bytes = 0
    previous: bytes | None = None
    count = 0
    for _, value in _records(_block(data, offset, size)):
        (offset, size), _ = _handle(value, 0)
        read_bytes += size
        if read_bytes > len(data):
            raise BadCheckpoint("blocks overlap")
        for key, record in _records(_block(data, offset, size)):
            count += 1
            if previous is not None and key <= previous:
                raise BadCheckpoint("names are out of order")
            if count > MAX_TENSORS:
                raise BadCheckpoint(f"more than {MAX_TENSORS} tensors")
            previous = key
            yield key, record


def _handle(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    offset, position = varint(data, position)
    size, position = varint(data, position)
    return (offset, size), position


def _block(data: bytes, offset: int, size: int) -> bytes:
    end = offset + size
    if end + TRAILER_BYTES > len(data) - FOOTER_BYTES:
        raise BadCheckpoint("a block lies outside the file")
    if data[end] != 0:
        raise BadCheckpoint("a block is compressed, which TensorFlow never does here")
    stored = int.from_bytes(data[end + 1 : end + TRAILER_BYTES], "little")
    if masked(crc32c(data[offset : end + 1])) != stored:
        raise BadCheckpoint("a block does not match its checksum")
    return data[offset:end]


def _records(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Records of a block: keys share a prefix with the previous one; restart points are unused."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise BadCheckpoint("a block is shorter than its own directory")
    position = 0
    key = b""
    while position < end:
        shared, position = varint(block, position)
        fresh, position = varint(block, position)
        length, position = varint(block, position)
        if shared > len(key) or shared + fresh > MAX_KEY_BYTES:
            raise BadCheckpoint("a name is too long or shares more than there is")
        if position + fresh + length > end:
            raise BadCheckpoint("a record lies outside its block")
        key = key[:shared] + block[position : position + fresh]
        position += fresh
        yield key, block[position : position + length]
        position += length


def _shard_count(message: bytes) -> int:
    shards = 0
    for number, value in fields(message):
        if number == 1:
            shards = whole(value)
        elif number == 2 and whole(value) != 0:
            raise BadCheckpoint("it is big-endian")
    if not 1 <= shards <= MAX_SHARDS:
        raise BadCheckpoint(f"it claims {shards} data files")
    return shards


def _entry(message: bytes) -> _Entry:
    numbers = {1: 0, 3: 0, 4: 0, 5: 0, 6: 0}
    shape: tuple[int, ...] = ()
    sliced = False
    for number, value in fields(message):
        if number == 2:
            shape = _shape(octets(value))
        elif number == 7:
            sliced = True
        elif number in numbers:
            numbers[number] = whole(value)
    return _Entry(
        dtype=numbers[1],
        shape=shape,
        shard=numbers[3],
        offset=numbers[4],
        size_bytes=numbers[5],
        checksum=numbers[6],
        sliced=sliced,
    )


def _shape(message: Message) -> tuple[int, ...]:
    sizes: list[int] = []
    for number, value in fields(message):
        if number == 3 and whole(value):
            raise BadCheckpoint("a tensor's number of dimensions is unknown")
        if number != 2:
            continue
        sizes.append(whole(dict(fields(octets(value))).get(1, 0)))
    if len(sizes) > MAX_DIMENSIONS:
        raise BadCheckpoint(f"a tensor has {len(sizes)} dimensions")
    return tuple(sizes)
