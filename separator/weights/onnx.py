"""Reader of the official state dict from an ONNX export of HTDemucs, without the onnx package.

torch.onnx.export (messages: onnx.proto3 of onnx/onnx) keeps most parameters under their own names.
It folds the rest: normalisations and layer scales get the shape of their multiplication, linear
layers are transposed, the input projection of an attention is transposed and, for cross-attention,
split in two; all of these have a counter as name. They are identified by the only node that uses
them, whose name is its module's path.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from separator.errors import BadCheckpoint
from separator.weights.checkpoint import Checkpoint
from separator.weights.protobuf import fields, octets, text, varint, whole
from separator.weights.tensors import checked_shape

if TYPE_CHECKING:
    from separator.weights.checkpoint import Array
    from separator.weights.protobuf import Message

FLOAT = 1  # TensorProto.DataType
GRAPH = 7  # field of ModelProto
NODE, INITIALIZER = 1, 5  # fields of GraphProto
MAX_NODES = 100_000  # the export has 3,268
MAX_TENSORS = 10_000  # 537
# The export lacks the constructor's arguments; these are the published model's. The loader checks
# every shape against them.
RELEASED: dict[str, Any] = {
    "sources": ["drums", "bass", "other", "vocals"],
    "segment": Fraction(39, 5),
    "bottom_channels": 512,
    "dconv_mode": 3,
}
EMBEDDING_SCALE = np.float32(10)  # factor of the frequency embedding, folded into its weights
COUNTED = re.compile(r"onnx::\w+")


@dataclass(frozen=True)
class Use:
    """The node that uses a tensor: its kind, its module's path, and its own last name."""

    kind: str
    scope: str
    name: str


def is_onnx(data: memoryview) -> bool:
    """Whether the file begins like ONNX: with the format's version, a small number."""
    return bytes(data[:1]) == b"\x08" and bytes(data[1:2]) < b"\x20"


def read_onnx(data: memoryview) -> Checkpoint:
    """The checkpoint of an exported HTDemucs; unfolded tensors are views of `data`.

    Raises:
        BadCheckpoint: damaged, truncated, or not such an export.
    """
    graphs = [octets(value) for number, value in fields(data) if number == GRAPH]
    if len(graphs) != 1:
        raise BadCheckpoint(f"it holds {len(graphs)} graphs, not 1")
    tensors, uses = _graph(graphs[0])
    state = {name: array for name, array in tensors.items() if not COUNTED.fullmatch(name)}
    folded = [name for name in tensors if name not in state]
    by_use = {}
    for name in folded:
        if len(uses[name]) != 1:
            raise BadCheckpoint(f"{name} is used {len(uses[name])} times, not once")
        by_use[uses[name][0]] = tensors[name]
    state |= _recovered(by_use)
    return Checkpoint("htdemucs", arguments=RELEASED, state=state)


def _graph(message: Message) -> tuple[dict[str, Array], dict[str, list[Use]]]:
    """Initialisers by name, and the nodes that use each name."""
    tensors: dict[str, Array] = {}
    uses: dict[str, list[Use]] = defaultdict(list)
    nodes = 0
    for number, value in fields(message):
        if number == INITIALIZER:
            name, array = _tensor(octets(value))
            if name in tensors or len(tensors) == MAX_TENSORS:
                raise BadCheckpoint(f"it has {name[:64]!r} twice, or too many tensors")
            tensors[name] = array
        elif number == NODE:
            nodes += 1
            if nodes > MAX_NODES:
                raise BadCheckpoint(f"it has more than {MAX_NODES} nodes")
            inputs, use = _node(octets(value))
            for name in inputs:
                uses[name].append(use)
    return tensors, uses


def _node(message: Message) -> tuple[list[str], Use]:
    inputs: list[str] = []
    path = kind = ""
    for number, value in fields(message):
        if number == 1:
            inputs.append(text(value))
        elif number == 3:
            path = text(value)
        elif number == 4:
            kind = text(value)
    *scope, name = path.split("/")
    return inputs, Use(kind, "/".join(scope), name)


def _tensor(message: Message) -> tuple[str, Array]:
    sizes: list[int] = []
    name, kind = "", 0
    data: Message = b""
    for number, value in fields(message):
        if number == 1:
            sizes += _sizes(value)
        elif number == 2:
            kind = whole(value)
        elif number == 8:
            name = text(value)
        elif number == 9:
            data = octets(value)
    shape = checked_shape(sizes)
    if kind != FLOAT:
        raise BadCheckpoint(f"{name[:64]!r} is of type {kind}, not float32")
    if 4 * int(np.prod(shape, dtype=np.int64)) != len(data):
        raise BadCheckpoint(f"{name[:64]!r} has {len(data)} bytes, its shape needs others")
    return name, np.frombuffer(data, "<f4").reshape(shape)


def _sizes(value: int | Message) -> list[int]:
    """Dimensions: one number, or several packed."""
    if isinstance(value, int):
        return [whole(value)]
    sizes: list[int] = []
    position = 0
    while position < len(value):
        size, position = varint(value, position)
        sizes.append(whole(size))
    return sizes


def _recovered(folded: dict[Use, Array]) -> dict[str, Array]:
    """Folded parameters with their official names and shapes."""
    state: dict[str, Array] = {}
    for use, array in folded.items():
        module = _module(use.scope)
        if use.kind == "Expand":
            # (1, channels, bins, 1)
            state["freq_emb.embedding.weight"] = _plane(array, 1, 2).T / EMBEDDING_SCALE
        elif use.kind == "MatMul" and not module.endswith("cross_attn"):
            name = "in_proj_weight" if module.endswith("self_attn") else "weight"
            state[f"{module}.{name}"] = _plane(array, 0, 1).T
        elif use.kind == "Mul":
            # A layer scale is a factor alone, a normalisation adds something too.
            is_norm = Use("Add", use.scope, "Add") in folded
            state[f"{module}.{'weight' if is_norm else 'scale'}"] = array.reshape(-1)
        elif use.kind == "Add" and not module.endswith("cross_attn"):
            state[f"{module}.bias"] = array.reshape(-1)
    state |= _cross_attention(folded)
    return state


def _cross_attention(folded: dict[Use, Array]) -> dict[str, Array]:
    """Input projections of cross-attention, joined from the parts for queries and for keys."""
    state: dict[str, Array] = {}
    for use, queries in folded.items():
        module = _module(use.scope)
        if not module.endswith("cross_attn") or use.name not in {"MatMul", "Add"}:
            continue
        rest = folded.get(Use(use.kind, use.scope, f"{use.name}_1"))
        if rest is None:
            raise BadCheckpoint(f"{module} lacks its keys and values")
        name = "in_proj_weight" if use.kind == "MatMul" else "in_proj_bias"
        parts = [part.T if use.kind == "MatMul" else part for part in (queries, rest)]
        state[f"{module}.{name}"] = np.concatenate(parts)
    return state


def _module(scope: str) -> str:
    """The official path of a module from the scope of its nodes.

    A sequence's scope repeats its own name: /encoder.0/dconv/layers.0/layers.0.1.
    """
    parts = scope.strip("/").split("/")
    kept = [
        part
        for part, following in zip(parts, [*parts[1:], ""], strict=True)
        if not following.startswith(f"{part}.")
    ]
    return ".".join(kept)


def _plane(array: Array, rows: int, columns: int) -> Array:
    """A matrix of the two given axes; all others must be of size 1."""
    if array.ndim <= columns or array.size != array.shape[rows] * array.shape[columns]:
        raise BadCheckpoint(f"a tensor of shape {array.shape} is not what an export has there")
    return array.reshape(array.shape[rows], array.shape[columns])
