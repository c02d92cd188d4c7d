"""Loading of a `Separator` by name or path: the only module that joins weights and models.

Importing torch takes a second or two; catalogued weights are read with numpy in the meantime. So
torch is imported here only inside functions.
"""

from __future__ import annotations

import gc
import importlib
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from separator import architectures
from separator.errors import BadCheckpoint, InputError, UnknownModel
from separator.precision import check_precision, set_precision
from separator.version import is_path
from separator.weights import catalog, formats, prepared
from separator.weights.checkpoint import Checkpoint
from separator.weights.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from separator.options import Options
    from separator.separator import Separator
    from separator.strategy import Model
    from separator.weights.checkpoint import Array
    from separator.weights.download import Progress
    from separator.weights.entries import MemberEntry, ModelEntry
    from separator.weights.store import Announce


def load(
    name_or_path: str | Path,
    *,
    device: str,
    precision: str,
    wiener: bool,
    options: Options,
    store: Store | None,
    progress: Progress | None,
    announce: Announce | None,
) -> Separator:
    """See `separator.load`."""
    name, path = str(name_or_path), Path(name_or_path)
    check_precision(precision)
    if name in architectures.CLASSICAL:
        _check_no_wiener(name, wiener=wiener)
        return _ready(_classical(name), name, device, precision, options)
    if is_path(name_or_path):
        return load_checkpoint(
            path,
            architecture=None,
            arguments=None,
            device=device,
            precision=precision,
            wiener=wiener,
            options=options,
        )
    entry = catalog.find(name)
    members = _needed(entry, options)
    shelf = store or Store()
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(_import_torch)
        checkpoints = [
            prepared.checkpoint(
                shelf, member.weights_id, partial(_read_member, entry, member), progress, announce
            )
            for member in members
        ]
    from separator.parallel import single_threaded

    with single_threaded():  # the work is memory copies only
        model = _catalogued(entry, members, checkpoints, wiener=wiener)
        snr_db = entry.bfloat16_snr_db
        return _ready(model, name, device, precision, options, measured_snr_db=snr_db)


def load_checkpoint(
    path: Path,
    *,
    architecture: str | None,
    arguments: Mapping[str, Any] | None,
    device: str,
    precision: str,
    wiener: bool,
    options: Options,
) -> Separator:
    """See `separator.load_checkpoint`."""
    name = str(path)
    check_precision(precision)
    if architecture is not None:
        architectures.check(architecture)
    if path.suffix == ".json":
        arguments, path = _read_configuration(path)
    elif not path.exists():
        raise UnknownModel(f"{path}: no such file")
    source = formats.spleeter_source(path)
    from separator.parallel import single_threaded

    with single_threaded():
        if source is None and architecture != architectures.SPLEETER:
            model = _demucs(path, architecture, arguments, wiener=wiener)
        elif source is not None and architecture in {None, architectures.SPLEETER}:
            model = _spleeter(path, source, arguments, wiener=wiener)
        else:
            raise InputError(
                f"{path} is no checkpoint of {architecture}: leave out the architecture"
            )
        return _ready(model, name, device, precision, options)


def _ready(
    model: Model,
    name: str,
    device: str,
    precision: str,
    options: Options,
    *,
    measured_snr_db: float | None = None,
) -> Separator:
    from separator.devices import choose_device
    from separator.separator import Separator

    place = choose_device(device)
    model.eval().requires_grad_(False)
    chosen = set_precision(model, precision, place, measured_snr_db)
    return Separator(model.to(place), name, place, options, chosen)


def _import_torch() -> None:
    """Import torch ahead of its use, without garbage collection: its objects all stay."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        importlib.import_module("torch")
    finally:
        if collecting:
            gc.enable()


# Models without weights


def _classical(name: str) -> Model:
    from separator import baselines

    model: Model = getattr(baselines, architectures.CLASSICAL[name])()
    return model


# Models of the catalog


def _needed(entry: ModelEntry, options: Options) -> list[MemberEntry]:
    """Members with a non-zero weight in any stem that the options need."""
    from separator.outputs import Outputs

    needed = Outputs(entry.stems, options).needed
    return [
        member for member in entry.members if any(member.stem_weights[place] for place in needed)
    ]


def _read_member(entry: ModelEntry, member: MemberEntry, folder: Path) -> Checkpoint:
    """A member's checkpoint from its verified folder, with unpacked weights."""
    if entry.family == architectures.SPLEETER:
        state = formats.read_spleeter(folder, entry.stems)
        arrays = {name: tensor.numpy() for name, tensor in state.items()}
        return Checkpoint(architectures.SPLEETER, state=arrays, renamed=True)
    checkpoint = formats.read(folder)
    if checkpoint.packed is None:
        # torch needs aligned, writable arrays; copy while its import is still running.
        own = {name: np.require(a, None, ["C", "A", "W"]) for name, a in checkpoint.state.items()}
        return replace(checkpoint, state=own)
    from separator import building

    return building.unpack_weights(
        building.resolve_arguments(checkpoint, member.architecture, member.arguments)
    )


def _catalogued(
    entry: ModelEntry,
    members: Sequence[MemberEntry],
    checkpoints: Sequence[Checkpoint],
    *,
    wiener: bool,
) -> Model:
    """The model of a catalog entry, from the checkpoints of `members`, in the same order."""
    from separator import building
    from separator.models.bag import Bag, BagMember

    if entry.family == architectures.SPLEETER:
        config = {**entry.config, "instrument_list": entry.stems}
        return _filled_spleeter(config, checkpoints[0].state, wiener=wiener)
    _check_no_wiener(entry.name, wiener=wiener)
    with _naming(entry.name):
        networks = [
            building.build_network(
                building.resolve_arguments(checkpoint, member.architecture, member.arguments)
            )
            for checkpoint, member in zip(checkpoints, members, strict=True)
        ]
    for network in networks:
        if not network.fixed_segment:  # the release uses other segments than its files record
            network.segment_s = entry.segment_s
    if len(entry.members) == 1:
        return networks[0]
    return Bag(
        [
            BagMember(network, member.stem_weights)
            for network, member in zip(networks, members, strict=True)
        ]
    )


# Checkpoints of the user


def _demucs(
    path: Path,
    architecture: str | None,
    arguments: Mapping[str, Any] | None,
    *,
    wiener: bool,
) -> Model:
    from separator import building

    _check_no_wiener(str(path), wiener=wiener)
    checkpoint = formats.read(path)
    with _naming(str(path)):
        resolved = building.resolve_arguments(checkpoint, architecture, arguments)
        try:
            return building.build_network(resolved)
        except InputError as error:
            if checkpoint.architecture and arguments is None:  # all arguments are the file's
                raise BadCheckpoint(str(error)) from None
            raise


def _spleeter(
    path: Path,
    source: Path | Sequence[Path],
    config: Mapping[str, Any] | None,
    *,
    wiener: bool,
) -> Model:
    stems = config.get("instrument_list") if config is not None else None
    if config is None or not isinstance(stems, (list, tuple)):
        raise InputError(
            f"{path}: a Spleeter checkpoint does not record its stems: give the official "
            "configuration as its arguments, with its instrument_list, or the path of the .json"
        )
    state = formats.read_spleeter(source, tuple(map(str, stems)))
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    with _naming(str(path)):
        return _filled_spleeter(config, arrays, wiener=wiener)


def _filled_spleeter(
    config: Mapping[str, Any], state: Mapping[str, Array], *, wiener: bool
) -> Model:
    import torch

    from separator.building import load_state
    from separator.models.spleeter import Spleeter, SpleeterConfig

    model = Spleeter(SpleeterConfig.from_official(config), wiener=wiener)
    load_state(model, {name: torch.from_numpy(array) for name, array in state.items()})
    model.unets.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def _read_configuration(path: Path) -> tuple[dict[str, Any], Path]:
    """An official Spleeter configuration, and the folder of the checkpoint that it names."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnknownModel(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadCheckpoint(f"{path}: not a readable JSON configuration ({error})") from None
    if not isinstance(settings, dict) or "model_dir" not in settings:
        raise BadCheckpoint(f"{path}: a Spleeter configuration needs the key 'model_dir'")
    return settings, path.parent / str(settings["model_dir"])


def _check_no_wiener(name: str, *, wiener: bool) -> None:
    if wiener:
        raise InputError(f"the Wiener filter works with Spleeter only, not with {name}")


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Prefix an error with the file's or model's name, unless its message has it."""
    try:
        yield
    except (BadCheckpoint, InputError) as error:
        if where in str(error):
            raise
        raise type(error)(f"{where}: {error}") from None
