"""Weights quantised by DiffQ (Défossez, Adi, Synnaeve, arXiv 2104.09987, section 3.1).

Parameters above a size are divided into groups, each with its own number of bits (1 to 15); the
weights are quantisation levels between the parameter's minimum and maximum. Small parameters stay
unquantised. All are in lists without names, in the order of the model's parameters, so unpacking
needs their shapes. Releases: `mdx_q`, `mdx_extra_q` (bits packed into 64-bit words) and version 2's
`demucs_quantized` (one array of levels per parameter, the whole file deflated).
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from separator.errors import BadCheckpoint
from separator.weights.pickles import ClassName
from separator.weights.tensors import TensorStub
from separator.weights.torchfile import read_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    Array = NDArray[Any]

CLASSES = ("diffq.diffq.DiffQuantizer",)
LEAST_BITS, MOST_BITS = 1, 15
WORD_BITS = 64
PACKED_WIDTHS = 14  # the packed form has one list of levels for each width from 1 to 14 bits
MAX_DEPTH = 16
MAX_INFLATED_BYTES = 2 << 30
MAX_INFLATION = 1032  # highest compression ratio of deflate
DEFAULT_LEAST_BITS = 2.0
LARGEST_WEIGHT = 1e6


@dataclass(frozen=True)
class QuantisedParameter:
    """One quantised parameter.

    levels: (groups, weights per group), integers. bits: (groups,). low, high: range of the weights.
    """

    levels: Array
    bits: Array
    low: float
    high: float

    def weights(self, _size: int) -> Array:
        """Dequantised weights (groups, weights per group) float32, from low to high."""
        if self.levels.ndim != 2 or self.bits.shape != self.levels.shape[:1]:
            raise BadCheckpoint("the levels of a packed parameter do not fit its bits")
        if not ((self.bits >= LEAST_BITS) & (self.bits <= MOST_BITS)).all():
            raise BadCheckpoint("a packed parameter has an impossible number of bits")
        steps = np.exp2(self.bits.astype(np.float32)) - np.float32(1)
        unit = (np.float32(1) / steps)[:, None]
        share: Array = self.levels.astype(np.float32) * unit
        return share * np.float32(self.high - self.low) + np.float32(self.low)


@dataclass(frozen=True)
class BitPackedParameter:
    """A quantised parameter with its bits packed into words, as in the released bags.

    by_bits: levels of all groups with 1, 2, ... bits, or None for no group.
    bits: number of bits of each group, minus `least_bits`. Both: (lines, bits, words per line)
        int64.
    group: weights per group.
    low, high: range of the weights.
    """

    by_bits: tuple[Array | None, ...]
    bits: Array
    group: int
    least_bits: int
    low: float
    high: float

    def weights(self, size: int) -> Array:
        """Dequantised weights (groups, weights per group) float32, `size` in total."""
        if size % self.group:
            raise BadCheckpoint("a packed parameter is not a whole number of groups")
        groups = size // self.group
        bits = _unpacked(self.bits, groups) + self.least_bits
        levels = np.zeros((groups, self.group), np.int16)
        for count, words in enumerate(self.by_bits, LEAST_BITS):
            mine = bits == count
            if words is not None:
                found = _unpacked(words, int(mine.sum()) * self.group)
                levels[mine] = found.reshape(-1, self.group)
                bits[mine] = -count  # done
        if (bits > 0).any():
            raise BadCheckpoint("a packed parameter lacks levels")
        return QuantisedParameter(levels, -bits, self.low, self.high).weights(size)


def _unpacked(words: Array, count: int) -> Array:
    """The first `count` numbers in (lines, bits, width) words, as int16.

    Bit b of word w in line l and plane p is bit p of number (64 l + b) width + w.
    """
    if words.dtype != np.int64 or words.ndim != 3 or words.shape[1] > MOST_BITS:
        raise BadCheckpoint("packed weights are not in words of 64 bits")
    lines, planes, width = words.shape
    if lines * width * WORD_BITS < count:
        raise BadCheckpoint("a packed parameter is cut off")
    numbers = np.zeros((lines, WORD_BITS, width), np.int16)
    for plane in range(planes):
        octets = np.ascontiguousarray(words[:, plane]).view(np.uint8).reshape(lines, width, 8)
        single = np.unpackbits(octets, axis=-1, bitorder="little")
        numbers |= single.transpose(0, 2, 1).astype(np.int16) << plane
    return numbers.reshape(-1)[:count]


@dataclass(frozen=True)
class PackedWeights:
    """All parameters of a model in order: `large` ones quantised, `small` ones as arrays."""

    large: tuple[QuantisedParameter | BitPackedParameter, ...]
    small: tuple[Array, ...]

    def unpack(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
        """The parameters by name, dequantised.

        shapes: name -> shape of all parameters of the model (no buffers), in the official order.
            The large ones are the biggest, as many as were quantised.

        Raises:
            BadCheckpoint: the parameters do not fit the shapes.
        """
        if len(self.large) + len(self.small) != len(shapes):
            raise BadCheckpoint(
                f"it has {len(self.large)} packed weights and {len(self.small)} others, "
                f"the model {len(shapes)}"
            )
        by_size = sorted(map(math.prod, shapes.values()), reverse=True)
        limit = by_size[len(self.large)] if self.small else 0
        large, small = iter(self.large), iter(self.small)
        state: dict[str, Array] = {}
        for name, shape in shapes.items():
            size = math.prod(shape)
            item = next(large if size > limit else small, None)
            values = (
                item.weights(size)
                if isinstance(item, QuantisedParameter | BitPackedParameter)
                else item
            )
            if values is None or values.size != size:
                raise BadCheckpoint(f"its packed weights do not fit {name} {shape}")
            state[name] = values.reshape(shape)
        return state


def from_saved(state: object) -> PackedWeights | None:
    """The packed weights in a saved state; None if the state is an ordinary one.

    Raises:
        BadCheckpoint: damaged, or packed in a way that no release uses.
    """
    if isinstance(state, dict) and state.keys() == {"compressed"}:
        return from_compressed(state["compressed"])
    return _packed(state) if isinstance(state, dict) and "quantized" in state else None


def _packed(state: dict[object, object]) -> PackedWeights:
    meta = _Meta.read(state["meta"]) if "meta" in state else None
    if state.get("float16"):
        raise BadCheckpoint("it keeps small weights in half precision, which no release does")
    return PackedWeights(
        tuple(_parameter(item, meta) for item in _list(state["quantized"])),
        tuple(_array(item) for item in _list(state.get("others"))),
    )


def from_compressed(data: object) -> PackedWeights:
    """The packed weights of version 2: a deflated torch file as bytes inside another."""
    if not isinstance(data, bytes):
        raise BadCheckpoint("its compressed state does not consist of bytes")
    limit = min(MAX_INFLATED_BYTES, MAX_INFLATION * len(data))
    inflate = zlib.decompressobj()
    try:
        content = bytearray(inflate.decompress(data, limit))
    except zlib.error as error:
        raise BadCheckpoint(f"its compressed state is damaged ({error})") from None
    if not inflate.eof:
        raise BadCheckpoint("its compressed state is cut off, or larger than weights can be")
    state = read_torch(memoryview(content), CLASSES)
    if not isinstance(state, dict) or "quantized" not in state:
        raise BadCheckpoint("its compressed state holds no packed weights")
    return _packed(state)


def from_structure(structure: object, tensors: Mapping[str, Array]) -> PackedWeights:
    """The packed weights of a safetensors file of the hub.

    structure: the nested state as JSON; each node is a plain value or a table with one of
        `_tensor` (a name in `tensors`), `_dict` (pairs), `_list`, `_tuple`, `_class`.
    """
    packed = from_saved(_built(structure, tensors, 0))
    if packed is None:
        raise BadCheckpoint("its structure holds no packed weights")
    return packed


def _built(node: object, tensors: Mapping[str, Array], depth: int) -> object:
    if depth > MAX_DEPTH:
        raise BadCheckpoint("its structure is nested too deeply")
    if not isinstance(node, dict):
        return node
    if len(node) != 1:
        raise BadCheckpoint("its structure has an unknown node")
    ((kind, value),) = node.items()
    if kind == "_tensor" and isinstance(value, str) and value in tensors:
        return tensors[value]
    if kind == "_class" and isinstance(value, str) and value in CLASSES:
        return ClassName(*value.rsplit(".", 1))
    if kind in {"_list", "_tuple"}:
        return [_built(item, tensors, depth + 1) for item in _list(value)]
    if kind == "_dict":
        return dict(_pairs(value, tensors, depth))
    raise BadCheckpoint(f"its structure has an unknown node {kind[:32]!r}")


def _pairs(value: object, tensors: Mapping[str, Array], depth: int) -> Iterator[tuple[str, object]]:
    for pair in _list(value):
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise BadCheckpoint("its structure has a malformed table")
        yield pair[0], _built(pair[1], tensors, depth + 1)


@dataclass(frozen=True)
class _Meta:
    """Settings of the quantiser."""

    group: int
    least_bits: float
    packed: bool

    @classmethod
    def read(cls, meta: object) -> _Meta:
        settings = meta.get("init_kwargs") if isinstance(meta, dict) else None
        if not isinstance(meta, dict) or not isinstance(settings, dict):
            raise BadCheckpoint("the settings of its packed weights are missing")
        if str(meta.get("klass")) not in CLASSES or meta.get("torch_pack"):
            raise BadCheckpoint("its weights are packed in a way that no release uses")
        if settings.get("exclude") or settings.get("float16"):
            raise BadCheckpoint("its weights are packed with exceptions, which no release has")
        return cls(
            group=int(_number(settings.get("group_size", 1), 1, 1 << 20)),
            least_bits=_number(settings.get("min_bits", DEFAULT_LEAST_BITS), 0, MOST_BITS),
            packed=bool(meta.get("packed")),
        )


def _parameter(item: object, meta: _Meta | None) -> QuantisedParameter | BitPackedParameter:
    """From (levels, (low, high), bits of each group)."""
    levels, scale, bits = _list(item, 3)
    low, high = (_number(value, -LARGEST_WEIGHT, LARGEST_WEIGHT) for value in _list(scale, 2))
    if meta is None or not meta.packed:
        return QuantisedParameter(_array(levels), _array(bits).reshape(-1), low, high)
    by_bits = [None if words is None else _array(words) for words in _list(levels, PACKED_WIDTHS)]
    return BitPackedParameter(
        tuple(by_bits), _array(bits), meta.group, int(meta.least_bits), low, high
    )


def _number(value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise BadCheckpoint("its weights are packed with an impossible setting")
    return float(value)


def _list(value: object, length: int | None = None) -> list[object]:
    if not isinstance(value, (list, tuple)) or length not in {None, len(value)}:
        raise BadCheckpoint("its packed weights are not in the expected lists")
    return list(value)


def _array(value: object) -> Array:
    found = value.value if isinstance(value, TensorStub) else value
    if not isinstance(found, np.ndarray):
        raise BadCheckpoint("its packed weights are not tensors")
    return found
