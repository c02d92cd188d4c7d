"""Effective settings: value, meaning of "auto", and origin; checks of presets and plugins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.config import DEFAULT_MODEL, Settings, format_value, unknown_variables, variable
from bridge.doctor.findings import Finding
from bridge.errors import PresetError
from bridge.plugins.discovery import AUDIO_UNIT, VST3, installed, standard_folders
from bridge.presets import loader as presets
from separator.errors import SeparatorError
from separator.precision import check_precision

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bridge.config import Resolved
    from bridge.presets.loader import Preset

#: Names listed per folder; the rest are counted.
MAX_NAMES = 5


@dataclass(frozen=True)
class EffectiveSetting:
    """One setting with value, origin and meaning, for display."""

    name: str
    value: str
    origin: str
    meaning: str


def settings_in_force(resolved: Resolved) -> Iterator[EffectiveSetting]:
    """All settings, in the order of the settings model."""
    settings = resolved.settings
    preset = preset_in_force(settings)
    for name, field in Settings.model_fields.items():
        value = format_value(name, getattr(settings, name))
        origin: str = resolved.origins[name]
        if origin == "file":
            origin = "settings file"
        elif origin == "environment":
            origin = f"environment ({variable(name)})"
        if name == "model":
            value = model_in_force(settings, preset)
            if preset is not None and preset.model:
                origin = f"preset {preset.name}"
        elif name in {"device", "precision"} and value == "auto":
            value = _automatic(name, settings, model_in_force(settings, preset))
        elif name == "poll" and value == "no":
            value = "no: file events, on a network drive regularly"
        yield EffectiveSetting(name, value, origin, field.description or "")


def preset_in_force(settings: Settings) -> Preset | None:
    """The default preset of commands; None if it is invalid."""
    try:
        return presets.load(settings.preset, plugin_folders=settings.plugin_folders)
    except PresetError:
        return None


def model_in_force(settings: Settings, preset: Preset | None) -> str:
    """The default model of commands."""
    return (preset and preset.model) or settings.model or DEFAULT_MODEL


def choices(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Check presets, plugins, precision and environment variables."""
    try:
        preset = presets.load(settings.preset, plugin_folders=settings.plugin_folders)
        yield Finding("preset", f"{preset.name}: {preset.summary}")
    except PresetError as error:
        yield Finding("preset", str(error), fine=False)
    own, _shipped = presets.folders()
    mine = presets.find([own])
    yield Finding("your presets", f"{_names(mine)}, in {own}")
    for path in mine.values():
        try:
            presets.load_file(path, settings.plugin_folders)
        except PresetError as error:
            yield Finding("your presets", str(error), warn=True)
    yield from _plugins(settings)
    try:
        check_precision(settings.precision)
    except SeparatorError as error:
        yield Finding("precision", str(error), fine=False)
    for name in unknown_variables(environment):
        known = ", ".join(map(variable, Settings.model_fields))
        text = f"{name} is not a setting and is ignored; the variables are {known}"
        yield Finding("environment", text, warn=True)


def _plugins(settings: Settings) -> Iterator[Finding]:
    for folder in settings.plugin_folders:
        if not folder.is_dir():
            text = f"plugin_folders: {folder} is not a folder; create it or name another"
            yield Finding("plugins", text, warn=True)
    for ending, kind in ((VST3, "VST3"), (AUDIO_UNIT, "Audio Unit")):
        system = standard_folders(ending)
        if not system:
            continue
        folders = (*settings.plugin_folders, *system)
        found = {plugin.stem: plugin for folder in folders for plugin in installed(folder, ending)}
        text = f"{kind}: {_names(found)}, in {', '.join(map(str, folders))}"
        yield Finding("plugins", text)


def _names(found: Mapping[str, object]) -> str:
    names = sorted(found)
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return f"{len(names)} ({', '.join(names[:MAX_NAMES])}{more})" if names else "none"


def _automatic(name: str, settings: Settings, model: str) -> str:
    """The value that "auto" has on this machine; "auto" if it cannot be determined."""
    try:
        from separator.devices import choose_device
        from separator.precision import automatic_precision
        from separator.weights import catalog

        device = choose_device(settings.device)
        if name == "device":
            return f"auto: {device}"
        entries = {entry.name: entry for entry in catalog.models()}
        snr_db = entries[model].bfloat16_snr_db if model in entries else None
        return f"auto: {automatic_precision(device, snr_db)}"
    except (ImportError, OSError, SeparatorError):
        return "auto"
