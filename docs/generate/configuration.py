"""The settings: name, environment variable, default and meaning, from the settings model."""

from __future__ import annotations

from pathlib import Path

from bridge.config import DEFAULT_MODEL, PREFIX, Settings, resolve
from docs.generate.markdown import table

_SYSTEM_FOLDERS = {
    "state_dir": "`~/.local/state/stembridge`",
    "cache_dir": "`~/.cache/stembridge`",
}


def settings() -> str:
    """A table of all settings."""
    rows = (
        (f"`{name}`", f"`{PREFIX}{name.upper()}`", _default(name), field.description)
        for name, field in Settings.model_fields.items()
    )
    return table(("setting", "environment variable", "default", "what it is"), rows)


def defaults() -> Settings:
    """The settings of a machine where nothing is set."""
    return resolve(environment={PREFIX + "CONFIG": "no such file.yaml"}).settings


def _default(name: str) -> str:
    value = getattr(defaults(), name)
    if isinstance(value, Path):
        return f"{_SYSTEM_FOLDERS[name]} on Linux"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    if value == ():
        return "none"
    return f"`{DEFAULT_MODEL if value is None else value}`"
