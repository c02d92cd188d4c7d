"""Loading of presets by name or path into validated `model.Preset` objects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from pydantic import BaseModel, ValidationError

from bridge.audio.leniency import Leniency
from bridge.effects.conditions import When
from bridge.effects.registry import EFFECTS, Limiter
from bridge.errors import PresetError
from bridge.plugins.discovery import PluginFolders
from bridge.presets import composition
from bridge.presets.messages import explain
from bridge.presets.mixdown import Level, Mixdown
from bridge.presets.model import MASTER, Preset, PresetContent, Separation
from bridge.presets.output import Headroom, Normalise, Output
from bridge.system.spelling import suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "MASTER", "Preset", "PresetContent", "Separation", "available", "find", "folders", "load",
    "load_beside", "load_file", "model_at", "source_map",
]  # fmt: skip


def folders() -> tuple[Path, ...]:
    """Folders of presets: the user's, then the shipped one (wheel or checkout)."""
    shipped = Path(__file__).parent / "shipped"
    if not shipped.is_dir():
        shipped = Path(__file__).parents[2] / "presets"
    return (Path(platformdirs.user_config_dir("stembridge")) / "presets", shipped)


def find(within: Sequence[Path] | None = None) -> dict[str, Path]:
    """All preset names and their files; a user's preset hides a shipped one of the same name.

    Hidden files are skipped: macOS writes `._karaoke.yaml` beside `karaoke.yaml` on some drives.
    """
    found: dict[str, Path] = {}
    for folder in folders() if within is None else within:
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            if composition.is_yaml(file.name) and not file.name.startswith((".", "~")):
                found.setdefault(file.stem, file)
    return dict(sorted(found.items()))


def available(within: Sequence[Path] | None = None) -> list[Preset]:
    """All presets, sorted by name. Raises PresetError for the first invalid one.

    To skip invalid ones, use `find` and `load_file`.
    """
    return [load_file(path) for path in find(within).values()]


def load(
    name_or_path: str | Path,
    within: Sequence[Path] | None = None,
    plugin_folders: Sequence[Path] = (),
    variables: Mapping[str, object] | None = None,
) -> Preset:
    """Load a preset by name, or by path if it ends in .yaml or .yml or contains a path separator.

    Args:
        name_or_path: name or path of the preset.
        within: folders to search for names, first wins; by default `folders()`.
        plugin_folders: further plugin folders, besides the system's and the preset's own.
        variables: values that replace the preset's own; see `composition.compose`.

    Raises:
        PresetError: with `.problems`, one line for each problem of the file.
    """
    if isinstance(name_or_path, Path) or composition.is_file_reference(name_or_path):
        return load_file(Path(name_or_path), plugin_folders, variables)
    known = find(within)
    if name_or_path not in known:
        raise PresetError(f"no preset is named '{name_or_path}'; {suggestion(name_or_path, known)}")
    return load_file(known[name_or_path], plugin_folders, variables)


def load_file(
    path: Path,
    plugin_folders: Sequence[Path] = (),
    variables: Mapping[str, object] | None = None,
) -> Preset:
    """Load a preset file. Raises like `load`.

    Args:
        path: the file.
        plugin_folders: as in `load`.
        variables: as in `load`.
    """
    folders = PluginFolders(own=path.absolute().parent, settings=tuple(plugin_folders))
    return _validated(composition.compose(path, _named, variables), folders)


def load_beside(path: Path, plugin_folders: Sequence[Path] = ()) -> Preset:
    """Load a preset from a folder of bounces, where other people may be able to write.

    It may name installed presets, models and plugins, but no files. Raises like `load`.
    """
    if path.is_symlink():
        raise PresetError(f"{path}:1: links are not followed here; copy the preset instead")
    composed = composition.compose(path, _named, files=False)
    return _validated(composed, PluginFolders(own=None, settings=tuple(plugin_folders)))


def source_map(path: Path, variables: Mapping[str, object] | None = None) -> composition.Composed:
    """Composed data of a preset file with the origin of each part.

    variables: as in `load`.
    """
    return composition.compose(path, _named, variables)


def _named(name: str, child: Path) -> Path:
    """File of a parent. A preset may extend the one that it hides by its own name."""
    own = child.absolute()
    hidden = own.parent if own.stem == name else None
    folders_left = [folder for folder in folders() if folder.absolute() != hidden]
    known = find(folders_left)
    if name not in known:
        raise PresetError(f"no preset is named '{name}'; {suggestion(name, known)}")
    return known[name]


def _validated(composed: composition.Composed, folders: PluginFolders) -> Preset:
    try:
        settings = PresetContent.model_validate(composed.data, context={"plugin_folders": folders})
    except ValidationError as error:
        raise PresetError(*_problems(error, composed)) from error
    # Already validated; `name` and `path` are not keys of the file.
    path = composed.path
    return Preset.model_construct(**dict(settings), name=path.stem, path=path)


_MODELS: Mapping[str, type[BaseModel]] = {
    "headroom": Headroom,
    "normalise": Normalise,
    "separation": Separation,
    "limiter": Limiter,
    "output": Output,
    "bounce": Leniency,
}


def model_at(place: tuple[str, ...]) -> type[BaseModel] | None:
    """Model of the mapping at a location of the file; locations come without list indices."""
    if not place:
        return PresetContent
    if place[-1] in {"when", "not"}:
        return When
    bus = 2 if place[0] == "mixdowns" else 0
    if len(place) == bus == 2:
        return Mixdown
    if bus and place[2] == "mix":
        return Level if len(place) == 4 else None
    chained = place[bus] in {"chain", "stem_chains", "master"} and len(place) > bus + 1
    return EFFECTS.get(place[-1]) if chained else _MODELS.get(place[0])


def _has_number(composed: composition.Composed) -> bool:
    """Whether the schema is a number, which may be that of a newer version."""
    data = composed.data
    return isinstance(data, dict) and isinstance(data.get("schema"), int | float)


def _problems(error: ValidationError, composed: composition.Composed) -> list[str]:
    """All problems of a file in the order of lines; for an unknown schema only that one."""
    found = [(detail["loc"], explain(detail, model_at, EFFECTS)) for detail in error.errors()]
    foreign = [text for place, text in found if place == ("schema",) and "missing" not in text]
    if foreign and _has_number(composed):
        text = (
            f"{foreign[0]}; this version reads schema 1 and 2, a newer preset needs a newer "
            "stembridge"
        )
        return [composed.problem(("schema",), text)]
    found.sort(key=lambda item: composed.rank(item[0]))
    return [composed.problem(place, text) for place, text in found]
