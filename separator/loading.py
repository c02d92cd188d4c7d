"""From a name or a path to a ready `Separator`: the only place that joins weights and models.

torch takes a second or two to import; cached weights are read meanwhile, in numpy. So nothing
here imports torch before it is needed.
"""

from __future__ import annotations

import importlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from separator import available
from separator.errors import BadCheckpoint, InputError, UnknownModel
from separator.weights import catalog, prepared
from separator.weights.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from separator.models.spleeter import Spleeter
    from separator.separator import Residual, Separator
    from separator.weights.download import Progress
    from separator.weights.prepared import Array
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
    name = str(name_or_path)
    if precision not in PRECISIONS:
        raise InputError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
    if Path(name_or_path).suffix == ".json":
        config, folder = _read_configuration(Path(name_or_path))
        state = _read_checkpoint(folder, tuple(config.get("instrument_list", ())))
        return _assemble(name, config, state, device, residual, wiener=wiener)
    if name not in available():
        raise UnknownModel(
            f"no model named {name!r}: choose one of {', '.join(available())}, "
            "or give the path of a Spleeter configuration (.json)"
        )
    entry = catalog.find(name)
    config = {**entry.config, "instrument_list": entry.stems}
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(importlib.import_module, "torch")
        arrays = prepared.arrays(
            store or Store(),
            entry.weights,
            lambda folder: _read_checkpoint(folder, entry.stems),
            progress,
            announce,
        )
    return _assemble(name, config, _tensors(arrays), device, residual, wiener=wiener)


def _assemble(
    name: str,
    config: Mapping[str, Any],
    state: Mapping[str, Tensor],
    device: str,
    residual: str,
    *,
    wiener: bool,
) -> Separator:
    from separator.devices import choose_device
    from separator.models.spleeter import Spleeter, SpleeterConfig
    from separator.separator import Separator, check_residual

    checked = check_residual(residual)
    place = choose_device(device)
    model = Spleeter(SpleeterConfig.from_official(config), wiener=wiener)
    _fill(model, state, name)
    return Separator(model.to(place).eval().requires_grad_(False), name, place, checked)


def _tensors(arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    import torch

    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _read_checkpoint(folder: Path, stems: tuple[str, ...]) -> dict[str, Tensor]:
    from separator.weights import formats

    return formats.read_spleeter(folder, stems)


def _read_configuration(path: Path) -> tuple[dict[str, Any], Path]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnknownModel(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"{path}: not a readable JSON configuration ({error})") from None
    if not isinstance(settings, dict) or "model_dir" not in settings:
        raise BadCheckpoint(f"{path}: a Spleeter configuration names its 'model_dir'")
    return settings, path.parent / str(settings["model_dir"])


def _fill(model: Spleeter, state: Mapping[str, Tensor], name: str) -> None:
    import torch

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
