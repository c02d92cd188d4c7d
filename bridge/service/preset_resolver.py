"""Choice of the preset for each bounce of a watched folder.

In order of precedence: the preset requested by name for the job; the overrides of the command line;
a preset file for the one bounce; then, from its folder up to the watched one, a `stembridge.yaml`
or a folder named like an installed preset; the preset of the service.

Preset files are looked up anew for each bounce. Every user with write access to the folder can add
one, so they may name installed presets and plugins only: no files, and no plugins next to them.
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
# Engines in the cache, each with its model's version; a folder has a few presets.
_MAX_CONVERTERS = 64


class PresetOverrides(Protocol):
    """Presets for some bounces, from the command line."""

    @property
    def mark(self) -> str:
        """Hash of the overrides; "" without any."""

    def preset_for(self, bounce: PurePath) -> Preset | None:
        """The preset for a bounce, given relative to its folder; None without an override."""


def candidates(bounce: Path, folder: Path) -> Iterator[tuple[Path, bool]]:
    """Paths that may determine the preset of a bounce, nearest first. Pure.

    Yields (path, True) for a preset file, (path, False) for a folder whose name may be a preset's.
    """
    yield bounce.with_name(f"{bounce.name}.yaml"), True
    yield bounce.with_suffix(".yaml"), True
    for above in bounce.parents:
        yield above / FOLDER_PRESET, True
        if above == folder or folder not in above.parents:
            return
        yield above, False


class PresetResolver:
    """Finds the preset, and so the converter, for each bounce of one watched folder.

    Args:
        converter: the service's own, for bounces without a preset of their own.
        folder: the watched folder.
        out_dir: folder of all stem sets.
        overrides: presets for some bounces.
        find: returns the installed presets by name; called for each lookup.
    """

    def __init__(
        self,
        converter: Converter,
        folder: Path,
        out_dir: Path,
        overrides: PresetOverrides | None = None,
        find: Callable[[], Mapping[str, Path]] = presets.find,
    ) -> None:
        self.converter, self._find = converter, find
        self._folder, self._out_dir, self._overrides = folder, out_dir, overrides
        self._recipe = converter.recipe(out_dir)
        self._converters: dict[tuple[Path, str], Converter] = {}
        self._tried: set[tuple[Path, str, tuple[str, ...]]] = set()

    @property
    def recipe(self) -> Recipe:
        """Default recipe, for bounces without a preset of their own."""
        if self._overrides is None or not self._overrides.mark:
            return self._recipe
        own, mark = self._recipe.preset_hash, self._overrides.mark
        both = hashlib.sha256(f"{own} {mark}".encode()).hexdigest()
        return replace(self._recipe, preset_hash=both)

    def converter_for(
        self, bounce: Path, requested: str | None = None, waiting: Callable[[], None] = lambda: None
    ) -> Converter:
        """The converter with the preset of a bounce, its plugins tested in a process of their own.

        Args:
            bounce: path of the bounce.
            requested: name of the preset requested for the job, if any.
            waiting: called several times a second during the test; its exceptions are passed on.

        Raises:
            PresetError: the preset is invalid; names file and line.
            PluginError: a plugin does not load.
        """
        converter = self._converter(bounce, requested)
        preset = converter.preset
        if converter is not self.converter and preset.plugin_files:
            prints = tuple(map(fingerprint, preset.plugin_files))
            tried = (preset.path, preset.content_hash, prints)
            if tried not in self._tried:
                preset_check.check_preset(preset, waiting)
                self._tried.add(tried)
        return converter

    def _converter(self, bounce: Path, requested: str | None) -> Converter:
        preset = self._preset(bounce) if requested is None else self._named(requested)
        if preset is None:
            return self.converter
        key = (preset.path, preset.content_hash)
        known = self._converters.get(key)
        if known is None:
            if len(self._converters) >= _MAX_CONVERTERS:
                self._converters.clear()
            known = self._converters[key] = self.converter.with_preset(preset)
        return known

    def recipe_for(self, bounce: Path, requested: str | None = None) -> Recipe:
        """Recipe of a bounce for the ledger; an invalid preset gives a hash of its error."""
        try:
            converter = self._converter(bounce, requested)
            return self._recipe if converter is self.converter else converter.recipe(self._out_dir)
        except StembridgeError as error:
            digest = hashlib.sha256(str(error).encode("utf-8", "surrogatepass")).hexdigest()
            own = self._recipe
            return Recipe("(wrong)", f"wrong {digest}", own.model, own.model_version, self._out_dir)

    def _named(self, name: str) -> Preset:
        """An installed preset. Files are refused, because requests may come over the network."""
        if composition.is_file_reference(name):
            raise PresetError(f"{name}: ask for a preset by its name; install it if it has none")
        return presets.load(name, plugin_folders=self.converter.settings.plugin_folders)

    def _preset(self, bounce: Path) -> Preset | None:
        if self._overrides is not None and self._folder in bounce.parents:
            override = self._overrides.preset_for(bounce.relative_to(self._folder))
            if override is not None:
                return override
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
    """Whether a regular file lies there; links do not count, as for bounces."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
