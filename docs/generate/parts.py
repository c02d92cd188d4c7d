"""The generated parts that a page can ask for with `<!-- generate: NAME -->`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from docs.generate import (
    bounces,
    commands,
    configuration,
    effects,
    errors,
    events,
    manifest,
    preset_keys,
    python_api,
    rooms,
    screens,
    tables,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PARTS: Mapping[str, Callable[[], str]] = {
    "commands-overview": commands.overview,
    "commands": commands.reference,
    "settings": configuration.settings,
    "effects-overview": effects.overview,
    "effects": effects.reference,
    "errors": errors.reference,
    "events": events.reference,
    "manifest": manifest.reference,
    "preset-keys": preset_keys.reference,
    "python-separator": python_api.separator_api,
    "python-separator-errors": python_api.separator_errors,
    "python-metrics": python_api.metrics_api,
    "python-bridge": python_api.bridge_api,
    "rooms": rooms.reference,
    "refusals": bounces.refusals,
    "shipped-presets": tables.shipped_presets,
    "example-preset": tables.example_preset,
    "models": tables.models,
    "speed": tables.speed,
    "bounce-suffixes": tables.bounce_suffixes,
    "formats": tables.formats,
    "session-formats": tables.sessions,
    "osc-addresses": tables.osc,
    **{f"screen-{name}": partial(screens.read, name) for name in screens.SCREENS},
}
