"""From a checkpoint to a network: its arguments put together, built, and filled with its weights.

Every problem of the file is one BadCheckpoint that names the file and the first thing wrong.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from separator import architectures
from separator.errors import BadCheckpoint, InputError
from separator.official_order import LAYERS, official_order
from separator.weights.checkpoint import check_finite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from separator.architectures import Architecture
    from separator.models.base import WaveformModel
    from separator.weights.checkpoint import Array, Checkpoint

COUNTER = "num_batches_tracked"  # of batch normalisation: counts in training, unused after it


def described(
    checkpoint: Checkpoint, architecture: str | None, arguments: Mapping[str, Any] | None
) -> Checkpoint:
    """The checkpoint with what the file says of itself and what the caller says, by keyword.

    The caller's arguments win over the file's; positional ones get their names.

    Raises:
        InputError: neither says the architecture, or they differ.
        BadCheckpoint: more positional arguments than there are parameters.
    """
    name = architecture or checkpoint.architecture
    if name is None:
        raise InputError(
            "the file does not say what it is: give its architecture, one of "
            f"{', '.join(architectures.NAMES)}, and the official constructor's arguments"
        )
    if checkpoint.architecture not in {None, name}:
        raise InputError(f"the file is a checkpoint of {checkpoint.architecture}, not of {name}")
    order = architectures.demucs_family(name).config.OFFICIAL_ORDER
    if len(checkpoint.positional) > len(order):
        raise BadCheckpoint(f"it has {len(checkpoint.positional)} arguments, {name} {len(order)}")
    keywords = dict(zip(order, checkpoint.positional, strict=False))
    for key, value in checkpoint.arguments.items():
        if key in order:
            keywords[key] = value
        else:  # the official program leaves out what its newer version no longer has, and says so
            warnings.warn(f"{name} has no argument {key[:64]!r}: left out", stacklevel=2)
    return replace(
        checkpoint, architecture=name, arguments={**keywords, **(arguments or {})}, positional=()
    )


def network(checkpoint: Checkpoint) -> WaveformModel:
    """The network of a described checkpoint, with its weights.

    Raises:
        InputError: arguments that are not possible or not built.
        BadCheckpoint: the weights do not fit the arguments.
    """
    assert checkpoint.architecture is not None
    architecture = architectures.demucs_family(checkpoint.architecture)
    model = _unfilled(architecture, checkpoint.arguments)
    if checkpoint.packed:
        fill(model, _tensors(_unpacked(checkpoint, model)))
    elif checkpoint.renamed:
        fill(model, _tensors(checkpoint.state))
    else:
        fill(model, architecture.from_official_state(_tensors(checkpoint.state)))
    return model


def unpacked(checkpoint: Checkpoint) -> Checkpoint:
    """A described checkpoint whose weights are packed, with its weights by our names instead."""
    assert checkpoint.architecture is not None
    architecture = architectures.demucs_family(checkpoint.architecture)
    model = _unfilled(architecture, checkpoint.arguments)
    return replace(checkpoint, state=_unpacked(checkpoint, model), renamed=True, packed=None)


def fill(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Sets every parameter and buffer of a network from a state dict by our names.

    Raises:
        BadCheckpoint: a tensor is missing, not expected, or of another shape; names the first.
    """
    expected = {
        key: value for key, value in model.state_dict().items() if not key.endswith(COUNTER)
    }
    missing = [key for key in expected if key not in state]
    if missing:
        raise BadCheckpoint(f"the checkpoint lacks {_and_more(missing)}")
    unexpected = [key for key in state if key not in expected and not key.endswith(COUNTER)]
    if unexpected:
        raise BadCheckpoint(f"the model has no {_and_more(unexpected)} of the checkpoint")
    for key, value in expected.items():
        if state[key].shape != value.shape:
            raise BadCheckpoint(
                f"{key} has shape {tuple(state[key].shape)}, "
                f"the configuration asks for {tuple(value.shape)}"
            )
    model.load_state_dict({key: state[key] for key in expected}, strict=False)


def _unfilled(architecture: Architecture, arguments: Mapping[str, Any]) -> WaveformModel:
    config = architecture.config.from_official(arguments)
    try:
        return architecture.model(config)
    except (MemoryError, RuntimeError) as error:  # torch says so when it cannot allocate
        reason = str(error).splitlines()[0] if str(error) else "no memory"
        raise InputError(f"no network can be built from these arguments ({reason})") from None


def _unpacked(checkpoint: Checkpoint, model: WaveformModel) -> dict[str, Array]:
    """Packed weights by our names."""
    assert checkpoint.packed is not None
    assert checkpoint.architecture is not None
    if checkpoint.architecture not in LAYERS:
        raise BadCheckpoint(
            f"its weights are packed (DiffQ), which is known for {', '.join(LAYERS)} only"
        )
    parameters = official_order(model, checkpoint.architecture)
    shapes = {name: tuple(parameter.shape) for name, parameter in parameters}
    state = checkpoint.packed.unpack(shapes)
    check_finite(state)
    return state


def _tensors(state: Mapping[str, Array]) -> dict[str, Tensor]:
    """As tensors; copies only what torch cannot take as it lies in the file."""
    return {
        name: torch.from_numpy(np.require(array, None, ["A", "W"])) for name, array in state.items()
    }


def _and_more(names: list[str]) -> str:
    rest = len(names) - 1
    return f"{names[0][:64]} and {rest} more" if rest else names[0][:64]
