"""A converter with the settings of a studio, and one bounce through it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge.convert import Converter
from bridge.presets import loader as presets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bridge.presets.loader import Preset
    from bridge.worker.client import Worker
    from tests.watch_service import Studio


def converter(
    studio: Studio, worker: Worker, preset: Preset | None = None, **changes: Any
) -> Converter:
    """A converter; `changes` are settings other than those of the studio."""
    settings = studio.settings.model_copy(update=changes)
    return Converter(settings, preset or presets.load("stems"), str(studio.model), worker)


def convert(made: Converter, bounce: Path, listener: Callable[[str, float], None]) -> Path:
    """The stems of a bounce, beside it; the path of their manifest."""
    out = bounce.parent / "out"
    return made.convert(bounce, out / bounce.stem, out, listener)[1]
