"""The public objects of both packages, for mkdocstrings. Names come from the objects themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bridge.config
import bridge.convert
import bridge.presets.loader
import bridge.publish.locations
import bridge.publish.manifest
import separator
import separator.errors
import separator.metrics
import separator.options
import separator.separator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType
    from typing import Any

# Object -> the members that are shown; None for all.
_SEPARATOR: Mapping[Any, Sequence[str] | None] = {
    separator.load: None,
    separator.load_checkpoint: None,
    separator.available: None,
    separator.separator.Separator: None,
    separator.options.Options: None,
}
_BRIDGE: Mapping[Any, Sequence[str] | None] = {
    bridge.convert.Converter: ("load", "convert", "close"),
    bridge.convert.choose_model: None,
    bridge.presets.loader.load: None,
    bridge.config.resolve: None,
    bridge.config.Settings: ("ledger_path", "log_dir"),
    bridge.publish.locations.split_target: None,
    bridge.publish.manifest.Manifest: ("duration_s", "speed", "to_json", "from_json"),
    bridge.publish.manifest.SourceFacts: (),
    bridge.publish.manifest.StemFacts: (),
}


def separator_api() -> str:
    """The names of `separator`."""
    return _directives(_SEPARATOR)


def bridge_api() -> str:
    """The names of `bridge` that examples/convert_bounce.py uses, and what they return."""
    return _directives(_BRIDGE)


def metrics_api() -> str:
    """The measures of separation quality."""
    return _module(separator.metrics)


def separator_errors() -> str:
    """The errors of `separator`."""
    return _module(separator.errors)


def _module(module: ModuleType) -> str:
    """All of a module, without a heading of its own."""
    return _directive(module.__name__, show_root_heading="false", heading_level="3")


def _directives(objects: Mapping[Any, Sequence[str] | None]) -> str:
    return "\n".join(
        _directive(
            f"{each.__module__}.{each.__qualname__}",
            heading_level="3",
            **({} if members is None else {"members": f"[{', '.join(members)}]"}),
        )
        for each, members in objects.items()
    )


def _directive(name: str, **options: str) -> str:
    lines = "".join(f"      {key}: {value}\n" for key, value in options.items())
    return f"::: {name}\n    options:\n{lines}"
