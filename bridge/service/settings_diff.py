"""Differences between two settings, for the event of a reload. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.config import format_value

if TYPE_CHECKING:
    from bridge.convert import Converter

#: Settings that need a restart: the service has opened these, or registered for system events.
AT_START = frozenset({"state_dir", "poll", "rescan_s", "poll_s", "osc", "osc_reply"})
#: Compared as the preset and model in force.
_CHOICES = frozenset({"preset", "model"})


def changes(old: Converter, new: Converter) -> list[str]:
    """One line for each difference, empty when there is none."""
    found = []
    if old.preset.name != new.preset.name:
        found.append(f"preset {new.preset.name} instead of {old.preset.name}")
    elif old.preset.content_hash != new.preset.content_hash:
        found.append(f"preset {new.preset.name} has changed")
    if old.model != new.model:
        found.append(f"model {new.model} instead of {old.model}")
    before, after = old.settings.model_dump(), new.settings.model_dump()
    for name in sorted(before.keys() - _CHOICES):
        if before[name] != after[name]:
            later = ", from the next start on" if name in AT_START else ""
            now, then = format_value(name, after[name]), format_value(name, before[name])
            found.append(f"{name} {now} instead of {then}{later}")
    return found
