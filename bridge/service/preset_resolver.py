"""Presets that lie among the bounces of a watched folder, and which one a bounce gets.

What somebody asked for by name comes first, then what the user has said of it. Then the nearest
wins: a file for the one bounce, then, from its folder up to the watched one, a `stembridge.yaml` or
the name of a folder that is a preset's name. Without any, the service's own.

Such a file is found anew for each bounce. Whoever can render there can write it, so it may name
only what is installed: no files, and no plugins that lie beside it.
"""

from __future__ import annotations

import hashlib
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from bridge.errors import PresetError, StembridgeError
from bridge.ledger.states import Recipe
from bridge.plugins.discovery import fingerprint
from bridge.presets import composition
from bridge.presets import loader as presets
from bridge.render import preset_check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path, PurePath

    from bridge.convert import Converter
    from bridge.presets.loader import Preset

FOLDER_PRESET = "stembridge.yaml"
# Engines that are kept, each with its model's version worked out; a folder has a few presets.
_MAX_CONVERTERS = 64


class PresetOverrides(Protocol):
    """Presets that the user gives to some bounces. mark: differs where they do; "" for none."""

    @property
    def mark(self) -> str:
        """See above."""

    def preset_for(self, bounce: PurePath) -> Preset | None:
        """The one for a bounce, given relative to its folder; None where nothing is said."""


def candidates(bounce: Path, folder: Path) -> Iterator[tuple[Path, bool]]:
    """What could hold the preset of a bounce, the nearest first.

    Pairs of a path and whether that is a file; else it is a folder whose name counts. Pure.
    """
    yield bounce.with_name(f"{bounce.name}.yaml"), True
    yield bounce.with_suffix(".yaml"), True
    for above in bounce.parents:
        yield above / FOLDER_PRESET, True
        if above == folder or folder not in above.parents:
            return
        yield above, False


class PresetResolver:
    """The converters for the bounces of one watched folder.

    said: what the user says of some. find: which presets there are, by name; asked each time.
    """

    def __init__(
        self,
        converter: Converter,
        folder: Path,
        out_dir: Path,
        said: PresetOverrides | None = None,
        find: Callable[[], Mapping[str, Path]] = presets.find,
    ) -> None:
        self.converter, self._find = converter, find
        self._folder, self._out_dir, self._said = folder, out_dir, said
        self._recipe = converter.recipe(out_dir)
        self._converters: dict[tuple[Path, str], Converter] = {}
        self._tried: set[tuple[Path, str, tuple[str, ...]]] = set()

    @property
    def recipe(self) -> Recipe:
        """What the whole folder is served with: that of bounces of which nothing is said."""
        if self._said is None or not self._said.mark:
            return self._recipe
        own, mark = self._recipe.preset_hash, self._said.mark
        both = hashlib.sha256(f"{own} {mark}".encode()).hexdigest()
        return replace(self._recipe, preset_hash=both)

    def converter_for(
        self, bounce: Path, asked: str | None = None, waiting: Callable[[], None] = lambda: None
    ) -> Converter:
        """The converter with the preset of a bounce, whose plugins were tried before they run here.

        asked: the preset's name, where somebody asked for it.

        waiting: is called several times a second while they are; what it raises is passed on.

        Raises PresetError for a preset that is wrong, with file and line; PluginError for a plugin
        that does not load.
        """
        converter = self._converter(bounce, asked)
        preset = converter.preset
        if converter is not self.converter and preset.plugin_files:
            prints = tuple(map(fingerprint, preset.plugin_files))
            tried = (preset.path, preset.content_hash, prints)
            if tried not in self._tried:
                preset_check.check_preset(preset, waiting)
                self._tried.add(tried)
        return converter

    def _converter(self, bounce: Path, asked: str | None) -> Converter:
        preset = self._preset(bounce) if asked is None else self._named(asked)
        if preset is None:
            return self.converter
        key = (preset.path, preset.content_hash)
        known = self._converters.get(key)
        if known is None:
            if len(self._converters) >= _MAX_CONVERTERS:
                self._converters.clear()
            known = self._converters[key] = self.converter.with_preset(preset)
        return known

    def recipe_for(self, bounce: Path, asked: str | None = None) -> Recipe:
        """What the ledger remembers of it. Of a preset that is wrong, that it is wrong so."""
        try:
            converter = self._converter(bounce, asked)
            return self._recipe if converter is self.converter else converter.recipe(self._out_dir)
        except StembridgeError as error:
            told = hashlib.sha256(str(error).encode("utf-8", "surrogatepass")).hexdigest()
            own = self._recipe
            return Recipe("(wrong)", f"wrong {told}", own.model, own.model_version, self._out_dir)

    def _named(self, name: str) -> Preset:
        """A preset that is installed; no file, because anybody may ask."""
        if composition.is_file(name):
            raise PresetError(f"{name}: ask for a preset by its name; install it if it has none")
        return presets.load(name, plugin_folders=self.converter.settings.plugin_folders)

    def _preset(self, bounce: Path) -> Preset | None:
        if self._said is not None and self._folder in bounce.parents:
            said = self._said.preset_for(bounce.relative_to(self._folder))
            if said is not None:
                return said
        named: Mapping[str, Path] | None = None
        folders = self.converter.settings.plugin_folders
        for path, is_file in candidates(bounce, self._folder):
            if is_file:
                if _is_regular(path):
                    return presets.load_beside(path, folders)
                continue
            named = self._find() if named is None else named
            if path.name in named:
                return presets.load_file(named[path.name], folders)
        return None


def _is_regular(path: Path) -> bool:
    """Not for links, as bounces may be none either, and not for names that no file can have."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
