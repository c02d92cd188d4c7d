"""Networks from checkpoints: arguments resolved, modules built, weights loaded.

Every fault of a file is one BadCheckpoint with the first problem found.
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

COUNTER = "num_batches_tracked"  # of batch normalisation; used in training only


def resolve_arguments(
    checkpoint: Checkpoint, architecture: str | None, arguments: Mapping[str, Any] | None
) -> Checkpoint:
    """The checkpoint with its architecture set and all arguments by keyword.

    Args:
        checkpoint: as read from a file.
        architecture: the caller's, or None to use the file's.
        arguments: the caller's, overriding those in the file.

    Raises:
        InputError: the architecture is missing, or differs from the file's.
        BadCheckpoint: more positional arguments than parameters.
    """
    name = architecture or checkpoint.architecture
    if name is None:
        raise InputError(
            "the file does not record its architecture: give it, one of "
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
        else:  # as the official program does for arguments of older versions
            warnings.warn(f"{name} has no argument {key[:64]!r}: ignored", stacklevel=2)
    return replace(
        checkpoint, architecture=name, arguments={**keywords, **(arguments or {})}, positional=()
    )


def build_network(checkpoint: Checkpoint) -> WaveformModel:
    """The network of a checkpoint with resolved arguments, filled with its weights.

    Raises:
        InputError: the arguments are not possible or not supported.
        BadCheckpoint: the weights do not fit the arguments.
    """
    assert checkpoint.architecture is not None
    architecture = architectures.demucs_family(checkpoint.architecture)
    model = _unfilled(architecture, checkpoint.arguments)
    if checkpoint.packed:
        load_state(model, _tensors(_unpacked(checkpoint, model)))
    elif checkpoint.renamed:
        load_state(model, _tensors(checkpoint.state))
    else:
        load_state(model, architecture.from_official_state(_tensors(checkpoint.state)))
    return model


def unpack_weights(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint (arguments resolved, weights packed) with unpacked weights by our names."""
    assert checkpoint.architecture is not None
    architecture = architectures.demucs_family(checkpoint.architecture)
    model = _unfilled(architecture, checkpoint.arguments)
    return replace(checkpoint, state=_unpacked(checkpoint, model), renamed=True, packed=None)


def load_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Set every parameter and buffer of a network from a state dict by our names.

    Raises:
        BadCheckpoint: a tensor is missing, unexpected, or of another shape; names the first.
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
                f"the configuration requires {tuple(value.shape)}"
            )
    model.load_state_dict({key: state[key] for key in expected}, strict=False)


def _unfilled(architecture: Architecture, arguments: Mapping[str, Any]) -> WaveformModel:
    config = architecture.config.from_official(arguments)
    try:
        return architecture.model(config)
    except (MemoryError, RuntimeError) as error:  # RuntimeError: torch could not allocate
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
    """Tensors that share memory with the arrays, where alignment and writability allow."""
    return {
        name: torch.from_numpy(np.require(array, None, ["A", "W"])) for name, array in state.items()
    }


def _and_more(names: list[str]) -> str:
    rest = len(names) - 1
    return f"{names[0][:64]} and {rest} more" if rest else names[0][:64]
