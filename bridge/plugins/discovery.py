"""Discovery of plugins and their state files in permitted folders, without loading them.

A preset can come from anywhere, and loading a plugin runs its code. So plugins are accepted only
from plugin folders (of the system or the settings) and from the preset's own folder.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.errors import PresetError
from bridge.system.spelling import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

VST3, AUDIO_UNIT = ".vst3", ".component"

# Vendors group their plugins in a folder of their own, some also by product.
_MAX_DEPTH = 3
# A state has some kilobytes, more if it holds audio. A larger file is the wrong one.
MAX_STATE_BYTES = 64 * 2**20


def standard_folders(
    ending: str, platform: str = sys.platform, environment: Mapping[str, str] = os.environ
) -> tuple[Path, ...]:
    """Standard plugin folders of the system, those of the user first.

    VST 3: "Plug-in Locations" in Steinberg's VST 3 developer portal. Audio Units: the folders of
    macOS.

    Args:
        ending: VST3 or AUDIO_UNIT.
        platform: as `sys.platform`.
        environment: environment variables.
    """
    home = Path(environment.get("HOME", "~")).expanduser()
    if platform == "darwin":
        folder = "VST3" if ending == VST3 else "Components"
        libraries = (home / "Library", Path("/Library"))
        return tuple(library / "Audio" / "Plug-Ins" / folder for library in libraries)
    if ending != VST3:
        return ()
    if platform == "win32":
        local = environment.get("LOCALAPPDATA")
        common = environment.get("COMMONPROGRAMFILES", r"C:\Program Files\Common Files")
        own = (Path(local) / "Programs" / "Common" / "VST3",) if local else ()
        return (*own, Path(common) / "VST3")
    return (home / ".vst3", Path("/usr/lib/vst3"), Path("/usr/local/lib/vst3"))


@dataclass(frozen=True)
class PluginFolders:
    """Folders from which a preset may use plugins and states.

    Attributes:
        own: the preset's folder; None where other people may write to it.
        settings: folders from the user's settings, in addition to the system's.
    """

    own: Path | None = None
    settings: tuple[Path, ...] = ()

    def trusted(self, ending: str) -> tuple[Path, ...]:
        """Folders of the settings and the system, where links are trusted."""
        return (*self.settings, *standard_folders(ending))

    def all(self, ending: str) -> tuple[Path, ...]:
        """All folders; the preset's own is last, so that it cannot shadow installed plugins."""
        return (*self.trusted(ending), *((self.own,) if self.own else ()))


def find_plugin(text: str, ending: str, folders: PluginFolders) -> Path:
    """Find a plugin by name (`ZamComp`) or path.

    Args:
        text: name, or path that is absolute or relative to the preset's folder.
        ending: VST3 or AUDIO_UNIT.
        folders: permitted folders.

    Raises:
        PresetError: there is no such plugin in the permitted folders.
    """
    if ending == AUDIO_UNIT and sys.platform != "darwin":
        raise PresetError(f"'{text}': Audio Units run on macOS only; use the VST3 of the plugin")
    if _is_path(text, ending):
        found = _allowed(text, ending, folders)
        if found.exists():
            return found
    else:
        for folder in folders.all(ending):
            for plugin in installed(folder, ending):
                if plugin.stem == text:
                    return plugin
    raise PresetError(_missing(text, ending, folders))


def fingerprint(plugin: Path) -> str:
    """sha256 (hex) of a plugin's code, which identifies its version.

    In a bundle, the files of all code folders, for all systems. Cached until the files change.
    Raises PresetError for a plugin that cannot be read.
    """
    try:
        files = [plugin] if plugin.is_file() else sorted(_code(plugin))
        stats = [(file, file.stat()) for file in files]
        return _sha256(tuple((file, stat.st_size, stat.st_mtime_ns) for file, stat in stats))
    except OSError as error:
        raise PresetError(
            f"{plugin} cannot be read ({error.strerror}); check the path in the preset"
        ) from error


def _code(bundle: Path) -> Iterator[Path]:
    """Files of the code folders: named by architecture and system in VST 3, `MacOS` at Apple."""
    for folder in (bundle / "Contents").iterdir():
        if folder.name == "MacOS" or folder.name.endswith(("-linux", "-win")):
            yield from (file for file in folder.iterdir() if file.is_file())


@lru_cache(maxsize=64)
def _sha256(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Hash of the files; size and time are part of the cache key."""
    digest = hashlib.sha256()
    for file, _, _ in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def state_file(text: str, folders: PluginFolders) -> Path:
    """Path of a state file beside the preset or in a plugin folder. Raises PresetError."""
    found = _allowed(text, VST3, folders)
    if not found.is_file():
        raise PresetError(f"no state file '{text}'; it is looked for at {found}")
    if found.stat().st_size > MAX_STATE_BYTES:
        raise PresetError(f"'{text}' is over 64 MiB, so not a plugin's state; check the path")
    return found


def read_content(file: str) -> bytes:
    """Content of a file that a preset names. Raises PresetError."""
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise PresetError(
            f"{file} cannot be read ({error.strerror}); check the path in the preset"
        ) from error


def installed(folder: Path, ending: str, depth: int = _MAX_DEPTH) -> Iterator[Path]:
    """Plugins in a folder and its subfolders, sorted by name.

    Args:
        folder: may be missing.
        ending: VST3 or AUDIO_UNIT.
        depth: levels of folders to search.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError:  # standard folders may be missing
        return
    for entry in entries:
        if entry.suffix.lower() == ending:
            yield entry
        elif depth > 1 and entry.is_dir() and not entry.is_symlink():
            yield from installed(entry, ending, depth - 1)


def _is_path(text: str, ending: str) -> bool:
    return "/" in text or "\\" in text or text.lower().endswith(ending)


def _allowed(text: str, ending: str, folders: PluginFolders) -> Path:
    """The path, if it lies in a permitted folder; else PresetError."""
    given = Path(text)
    if ".." in text.replace("\\", "/").split("/"):
        raise PresetError(f"'{text}' leads out of its folder; write the path without '..'")
    for folder in folders.trusted(ending):
        path = folder / given  # an absolute path is kept
        if path.is_relative_to(folder) and (given.is_absolute() or path.exists()):
            return path
    if folders.own is not None:
        path = folders.own / given
        # A link may have come with the preset, so check its target.
        if path.resolve().is_relative_to(folders.own.resolve()):
            return path
    raise PresetError(
        f"'{text}' is outside the folders that a preset may use; "
        f"move it to one of {_listed(folders.all(ending))}"
    )


def _missing(text: str, ending: str, folders: PluginFolders) -> str:
    searched = folders.all(ending)
    names = {plugin.stem for folder in searched for plugin in installed(folder, ending)}
    wanted = Path(text).stem if _is_path(text, ending) else text
    advice = suggestion(wanted, sorted(names)) if names else "install it there"
    return f"no plugin '{text}' in {_listed(searched)}; {advice}"


def _listed(folders: Sequence[Path]) -> str:
    return ", ".join(map(str, folders)) or "no folder at all"
