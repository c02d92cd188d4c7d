"""Presets by pattern, such as `Drums*=drums.yaml`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.batch.patterns import matches
from bridge.errors import UsageError
from bridge.presets import loader as presets

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path, PurePath

    from bridge.presets.loader import Preset


@dataclass(frozen=True)
class Rule:
    """One `--map`: a pattern and its preset."""

    pattern: str
    preset: Preset


@dataclass(frozen=True)
class Rules:
    """Rules in order; the first match wins."""

    rules: tuple[Rule, ...] = ()

    @property
    def mark(self) -> str:
        """Hash of the rules; "" without rules."""
        if not self.rules:
            return ""
        text = "\n".join(f"{rule.pattern}={rule.preset.content_hash}" for rule in self.rules)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def preset_for(self, bounce: PurePath) -> Preset | None:
        """The preset of a bounce, by its path relative to the folder; None without a match."""
        return next((rule.preset for rule in self.rules if matches(rule.pattern, bounce)), None)

    def unused(self, bounces: Iterable[PurePath]) -> tuple[str, ...]:
        """A message for each pattern that has no effect on these bounces."""
        matched, deciding = set[int](), set[int]()
        for bounce in bounces:
            hits = [n for n, rule in enumerate(self.rules) if matches(rule.pattern, bounce)]
            matched.update(hits)
            deciding.update(hits[:1])
        return tuple(
            f"the pattern {rule.pattern!r} has no effect: earlier patterns match all its files"
            if number in matched
            else f"the pattern {rule.pattern!r} matches no sound file"
            for number, rule in enumerate(self.rules)
            if number not in deciding
        )


def parse(maps: Sequence[str], plugin_folders: Sequence[Path] = ()) -> Rules:
    """Parse rules of the form `PATTERN=PRESET` and load their presets.

    Raises:
        UsageError: a text has another form.
        PresetError: a preset is missing or invalid.
    """
    rules = []
    for text in maps:
        pattern, _, preset = text.rpartition("=")
        if not pattern.strip() or not preset.strip():
            raise UsageError(
                f"--map {text!r}: write a pattern and a preset, as in --map 'Drums*=drums.yaml'"
            )
        if preset[0].isspace():  # "Drums* = drums.yaml"; else a space belongs to the name
            pattern = pattern.rstrip()
        loaded = presets.load(preset.strip(), plugin_folders=plugin_folders)
        rules.append(Rule(pattern, loaded))
    return Rules(tuple(rules))
