"""Tensors in torch's pickles, views of storages, as numpy arrays.

A pickle refers to storages by persistent ids and to tensors by calls of torch's rebuilding
functions (torch/serialization.py, torch/_utils.py). The stand-ins below record these; once the
storages are read, every tensor becomes a view of one, after a check of its bounds, so that a pickle
cannot allocate more memory than the file has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from separator.errors import BadCheckpoint, UnsafePickle
from separator.weights.pickles import ClassName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

MAX_DIMENSIONS = 8
MAX_SIZE = 1 << 40  # product of the non-zero dimensions, which numpy limits too
MAX_BITS = 63  # largest size, in bits


@dataclass(frozen=True)
class StorageKind:
    """A storage class of torch; bfloat16, which numpy lacks, is read as 16-bit integers."""

    dtype: str
    bfloat16: bool = False

    def array(self, data: memoryview) -> Array:
        """The storage's numbers, one-dimensional; float32 for bfloat16."""
        numbers = np.frombuffer(data, dtype=self.dtype)
        if self.bfloat16:
            return (numbers.astype("<u4") << 16).view("<f4")
        return numbers


KINDS = {
    "FloatStorage": StorageKind("<f4"),
    "DoubleStorage": StorageKind("<f8"),
    "HalfStorage": StorageKind("<f2"),
    "BFloat16Storage": StorageKind("<u2", bfloat16=True),
    "LongStorage": StorageKind("<i8"),
    "IntStorage": StorageKind("<i4"),
    "ShortStorage": StorageKind("<i2"),
    "CharStorage": StorageKind("|i1"),
    "ByteStorage": StorageKind("|u1"),
}


@dataclass(frozen=True)
class Storage:
    """A persistent id: `count` numbers of the storage `key`, from `first`."""

    kind: StorageKind
    key: str
    count: int
    first: int = 0


class TensorStub:
    """One tensor; `value` is set once the storages are read."""

    def __init__(self, storage: Storage, offset: int, shape: object, stride: object) -> None:
        self._storage = storage
        self._offset = offset
        self._shape = _sizes(shape)
        self._stride = _steps(stride)
        self.value: Array | None = None

    def fill(self, numbers: Array) -> None:
        """Set `value` to the tensor's view of its storage."""
        first, count = self._storage.first, self._storage.count
        if first + count > len(numbers) or len(self._shape) != len(self._stride):
            raise BadCheckpoint("a tensor lies outside of its storage")
        mine = numbers[first + self._offset : first + count]
        size = math.prod(self._shape)
        reach = sum(
            (extent - 1) * step for extent, step in zip(self._shape, self._stride, strict=True)
        )
        if size and (reach >= len(mine) or size > len(mine)):
            raise BadCheckpoint("a tensor lies outside of its storage")
        if not size:
            self.value = np.empty(self._shape, mine.dtype)
            return
        steps = [step * mine.itemsize for step in self._stride]
        self.value = np.lib.stride_tricks.as_strided(mine, self._shape, steps)


class Stubs:
    """Tensors and storages of one pickle while it is read."""

    def __init__(self) -> None:
        self._tensors: list[TensorStub] = []

    @property
    def storages(self) -> dict[str, StorageKind]:
        """key -> kind of each storage in use."""
        kinds: dict[str, StorageKind] = {}
        for tensor in self._tensors:
            storage = tensor._storage
            if kinds.setdefault(storage.key, storage.kind) != storage.kind:
                raise BadCheckpoint(f"storage {storage.key[:32]!r} is of two types")
        return kinds

    def fill(self, data: Callable[[str], memoryview]) -> None:
        """Set the value of every tensor. data: bytes of a storage by key, called once per key."""
        arrays = {}
        for key, kind in self.storages.items():
            content = data(key)
            if len(content) % np.dtype(kind.dtype).itemsize:
                raise BadCheckpoint(f"storage {key[:32]!r} has half a number at its end")
            arrays[key] = kind.array(content)
        for tensor in self._tensors:
            tensor.fill(arrays[tensor._storage.key])

    def allowed(self, classes: Iterable[str]) -> dict[tuple[str, str], object]:
        """(module, name) -> stand-in, for every name that the pickle may use.

        classes: official classes that it may refer to.
        """
        names = [ClassName(*name.rsplit(".", 1)) for name in classes]
        return {
            **{("torch", name): kind for name, kind in KINDS.items()},
            **{(item.module, item.name): item for item in names},
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_parameter"): self._parameter,
            ("collections", "OrderedDict"): _ordered,
            ("fractions", "Fraction"): _fraction,
        }

    def _tensor(self, storage: object, offset: object, shape: object, stride: object,
                *_grad_and_hooks: object) -> TensorStub:  # fmt: skip
        if not isinstance(storage, Storage) or not _is_size(offset):
            raise BadCheckpoint("a tensor has no storage")
        stub = TensorStub(storage, offset, shape, stride)  # type: ignore[arg-type]
        self._tensors.append(stub)
        return stub

    def _parameter(self, tensor: object, *_grad_and_hooks: object) -> TensorStub:
        if not isinstance(tensor, TensorStub):
            raise BadCheckpoint("a parameter is no tensor")
        return tensor

    def persistent(self, value: object) -> object:
        """Resolve a persistent id of either of torch's file formats."""
        if isinstance(value, tuple) and len(value) == 4 and value[0] == "module":
            return self._module(value[1])  # the rest is the path and text of its source
        if not isinstance(value, tuple) or len(value) not in {5, 6} or value[0] != "storage":
            raise BadCheckpoint("the pickle refers to something that is no storage")
        _, kind, key, _device, count, *view = value
        if not isinstance(kind, StorageKind) or not isinstance(key, str) or not _is_size(count):
            raise BadCheckpoint("a storage is not described as torch does")
        if view and view[0] is not None:
            return self._part(kind, key, view[0])
        return Storage(kind, key, count)

    def _module(self, name: object) -> ClassName:
        if not isinstance(name, ClassName):
            raise UnsafePickle("the pickle names something that is no class of a model")
        return name

    def _part(self, kind: StorageKind, key: str, view: object) -> Storage:
        """A storage that is a part of another; view: (own key, first number, count)."""
        if not isinstance(view, tuple) or len(view) != 3 or not all(map(_is_size, view[1:])):
            raise BadCheckpoint("a storage is not described as torch does")
        return Storage(kind, key, view[2], view[1])


class _Ordered(dict[str, object]):
    """An OrderedDict without the version metadata of state dicts."""

    def set_state(self, state: object) -> None:
        if not isinstance(state, dict) or set(state) - {"_metadata"}:
            raise BadCheckpoint("a dict carries more than torch's version notes")


def _ordered(*items: object) -> _Ordered:
    if items:
        raise BadCheckpoint("a dict has an unknown layout")
    return _Ordered()


def _fraction(*parts: object) -> Fraction:
    """Fraction(39, 5), or Fraction("39/5") as older Pythons pickle it."""
    if len(parts) == 1 and isinstance(parts[0], str) and len(parts[0]) < MAX_BITS:
        numerator, _, denominator = parts[0].partition("/")
        parts = tuple(
            int(digits) if digits.isdecimal() else None for digits in (numerator, denominator)
        )
    if len(parts) != 2:
        raise BadCheckpoint("a fraction is not one")
    return checked_fraction(*parts)


def checked_fraction(numerator: object, denominator: object) -> Fraction:
    """A fraction of two integers from a file; else BadCheckpoint."""
    if type(numerator) is not int or type(denominator) is not int or not denominator:
        raise BadCheckpoint("a fraction is not one")
    return Fraction(numerator, denominator)


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << MAX_BITS


def _sizes(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple):
        raise BadCheckpoint("a tensor has no shape")
    return checked_shape(value)


def _steps(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple) or not all(map(_is_size, value)):
        raise BadCheckpoint("a tensor has impossible strides")
    return value


def checked_shape(sizes: Sequence[object]) -> tuple[int, ...]:
    """A shape within numpy's limits from a file; else BadCheckpoint."""
    shape = tuple(size for size in sizes if type(size) is int and 0 <= size < MAX_SIZE)
    if len(shape) != len(sizes) or len(shape) > MAX_DIMENSIONS:
        raise BadCheckpoint("a tensor has an impossible shape")
    if math.prod(size or 1 for size in shape) >= MAX_SIZE:
        raise BadCheckpoint("a tensor has an impossible shape")
    return shape
