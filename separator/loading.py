"""From a name or a path to a ready `Separator`: the only place that joins weights and models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from separator.devices import choose_device
from separator.errors import BadCheckpoint, InputError, UnknownModel
from separator.models.spleeter import Spleeter, SpleeterConfig
from separator.separator import Residual, Separator, check_residual
from separator.weights import catalog, formats, prepared
from separator.weights.store import Store

if TYPE_CHECKING:
    from torch import Tensor

    from separator.weights.download import Progress
    from separator.weights.store import Announce

PRECISIONS = ("auto", "float32")


def load(
    name_or_path: str | Path,
    *,
    device: str,
    precision: str,
    residual: Residual,
    wiener: bool,
    store: Store | None,
    progress: Progress | None,
    announce: Announce | None,
) -> Separator:
    """See `separator.load`."""
    if precision not in PRECISIONS:
        raise InputError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
    residual = check_residual(residual)
    place = choose_device(device)
    name = str(name_or_path)
    if Path(name_or_path).suffix == ".json":
        config, folder = _read_configuration(Path(name_or_path))
        state = formats.read_spleeter(folder, config.sources)
    elif name in available_names():
        entry = catalog.find(name)
        config = SpleeterConfig.from_official({**entry.config, "instrument_list": entry.stems})
        store = store or Store()
        folder = store.ensure(entry.weights, progress=progress, announce=announce)
        state = prepared.state(
            folder, store.cache_dir, lambda: formats.read_spleeter(folder, config.sources)
        )
    else:
        raise UnknownModel(
            f"no model named {name!r}: choose one of {', '.join(available_names())}, "
            "or give the path of a Spleeter configuration (.json)"
        )
    model = Spleeter(config, wiener=wiener)
    _fill(model, state, name)
    return Separator(model.to(place).eval(), name, place, residual)


def available_names() -> tuple[str, ...]:
    """The catalog's names."""
    return tuple(entry.name for entry in catalog.models())


def _read_configuration(path: Path) -> tuple[SpleeterConfig, Path]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnknownModel(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"{path}: not a readable JSON configuration ({error})") from None
    if not isinstance(settings, dict) or "model_dir" not in settings:
        raise BadCheckpoint(f"{path}: a Spleeter configuration names its 'model_dir'")
    return SpleeterConfig.from_official(settings), path.parent / str(settings["model_dir"])


def _fill(model: Spleeter, state: dict[str, Tensor], name: str) -> None:
    expected = {
        key: value
        for key, value in model.state_dict().items()
        if not key.endswith("num_batches_tracked")  # a training counter
    }
    missing = sorted(expected.keys() - state.keys())
    if missing:
        raise BadCheckpoint(
            f"{name}: the checkpoint lacks {missing[0]} and {len(missing) - 1} more"
        )
    for key, value in expected.items():
        if state[key].shape != value.shape:
            raise BadCheckpoint(
                f"{name}: {key} has shape {tuple(state[key].shape)}, "
                f"the configuration asks for {tuple(value.shape)}"
            )
    model.load_state_dict({key: state[key] for key in expected}, strict=False)
    model.unets.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
