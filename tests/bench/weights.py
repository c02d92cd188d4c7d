"""Our verified weights as arrays under the official names, for the scripts in `in_peer`.

A .npz file goes between two environments that share neither torch nor TensorFlow.
Usage: python -m tests.bench.weights MODEL FILE.npz
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from separator.weights import catalog, formats
from separator.weights.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

DEPTH = 6  # levels of Spleeter's U-Net
NORM = {  # TensorFlow's name: torch's
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
FROM_TORCH = (2, 3, 1, 0)  # (out, in, time, freq) to (time, freq, in, out); transposed ones alike


def write_htdemucs(path: Path) -> None:
    """The state dict of the released HTDemucs."""
    (weights_id,) = catalog.find("htdemucs").weights_ids
    np.savez(path, **formats.read(Store().ensure(weights_id)).state)


def write_spleeter(path: Path) -> None:
    """The variables of the official graph of spleeter:2stems."""
    entry = catalog.find("spleeter:2stems")
    state = formats.read_spleeter(Store().ensure(entry.weights), entry.stems)
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    np.savez(path, **tensorflow_variables(arrays, entry.stems))


def tensorflow_variables(state: Mapping[str, NDArray[Any]], stems: Sequence[str]) -> Arrays:
    """Our state dict under the names that Keras gives the layers, counted over all stems."""
    variables: Arrays = {}
    for stem_index, stem in enumerate(stems):
        for ours, theirs, number, per_stem in _layers():
            count = stem_index * per_stem + number
            layer = f"{theirs}_{count}" if count else theirs
            for name, array in _variables(state, f"unets.{stem}.{ours}", theirs).items():
                variables[f"{layer}/{name}"] = array
    return variables


def _layers() -> Iterator[tuple[str, str, int, int]]:
    """Our layer, Keras' kind, its number among those of its kind in a stem, how many there are."""
    for i in range(DEPTH):
        yield f"encoder.{i}.conv", "conv2d", i, DEPTH + 1
        yield f"encoder.{i}.norm", "batch_normalization", i, 2 * DEPTH
        yield f"decoder.{i}.conv", "conv2d_transpose", i, DEPTH
        yield f"decoder.{i}.norm", "batch_normalization", DEPTH + i, 2 * DEPTH
    yield "mask", "conv2d", DEPTH, DEPTH + 1


def _variables(state: Mapping[str, NDArray[Any]], ours: str, kind: str) -> Arrays:
    if kind != "batch_normalization":
        kernel = state[f"{ours}.weight"].transpose(FROM_TORCH)
        return {"kernel": np.ascontiguousarray(kernel), "bias": state[f"{ours}.bias"]}
    if f"{ours}.weight" in state:
        return {theirs: state[f"{ours}.{torch}"] for theirs, torch in NORM.items()}
    # The innermost of the encoder: in the graph, so in its checkpoint, but no output depends on it.
    width = len(state[f"{ours.removesuffix('norm')}conv.bias"])
    return {name: np.full(width, name.endswith(("gamma", "variance")), np.float32) for name in NORM}


if __name__ == "__main__":
    {"htdemucs": write_htdemucs, "spleeter:2stems": write_spleeter}[sys.argv[1]](Path(sys.argv[2]))
