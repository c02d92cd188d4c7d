"""Registry of architectures by name. Their modules, and torch, are imported on first use."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from separator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from separator.models.base import WaveformModel


class Config(Protocol):
    """The configuration class of an architecture.

    OFFICIAL_ORDER: the official constructor's parameters, in order.
    """

    OFFICIAL_ORDER: tuple[str, ...]

    def from_official(self, arguments: Mapping[str, Any]) -> Any:
        """A configuration from the official constructor's keywords, or InputError."""


@dataclass(frozen=True)
class Architecture:
    """Classes of one architecture.

    config: class of the configuration.
    model: builds the network from a configuration, with uninitialised parameters.
    from_official_state: renames the tensors of an official state dict to our names.
    """

    config: Config
    model: Callable[[Any], WaveformModel]
    from_official_state: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


SPLEETER = "spleeter"  # read by its own path: its files do not list their stems
# Module, configuration class, model class.
_DEMUCS = {
    "demucs-v1": ("demucs", "DemucsV1Config", "Demucs"),
    "demucs-v2": ("demucs", "DemucsV2Config", "Demucs"),
    "conv-tasnet": ("conv_tasnet", "ConvTasNetConfig", "ConvTasNet"),
    "demucs-v3": ("demucs_v3", "DemucsV3Config", "DemucsV3"),
    "hdemucs": ("hdemucs", "HDemucsConfig", "HDemucs"),
    "htdemucs": ("htdemucs", "HTDemucsConfig", "HTDemucs"),
}
# Methods without weights, as `separator.load` names them: classes of `separator.baselines`.
CLASSICAL = {"classical:hpss": "HarmonicPercussive", "classical:centre": "CentreSides"}
NAMES = (SPLEETER, *_DEMUCS)


def check(name: str) -> str:
    """Return the name, or raise InputError unless it is one of `NAMES`."""
    if name not in NAMES:
        raise InputError(f"architecture is one of {', '.join(NAMES)}, not {name!r}")
    return name


def demucs_family(name: str) -> Architecture:
    """The architecture with a name of `NAMES` other than "spleeter"."""
    module_name, config, model = _DEMUCS[check(name)]
    module = importlib.import_module(f"separator.models.{module_name}")
    network = getattr(module, model)
    return Architecture(getattr(module, config), network, network.from_official_state)
