"""Request to render one bounce, and its JSON form for the worker.

Paths are text as `os.fsdecode` returns it: undecodable bytes are lone surrogates, which ASCII JSON
can carry.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bridge.errors import PresetError
from bridge.presets import loader as presets
from bridge.presets.loader import Preset
from bridge.presets.mixdown import chain_to_plain
from bridge.render.model_request import lists_to_tuples

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class RenderRequest:
    """Request to render one bounce.

    Attributes:
        source: the bounce.
        sha256: hash of the source (hex), for the manifest.
        preset: the preset.
        model_version: version of the model, for the manifest.
        file_names: output name -> file name.
        target: final folder of the files, for session files with absolute paths.
    """

    source: Path
    sha256: str
    preset: Preset
    model_version: str
    file_names: Mapping[str, str]
    target: Path

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "source": str(self.source),
            "sha256": self.sha256,
            "preset": preset_to_json(self.preset),
            "model_version": self.model_version,
            "file_names": dict(self.file_names),
            "target": str(self.target),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RenderRequest:
        """Inverse of `to_json`. Raises PresetError as for a preset file."""
        fields: dict[str, Any] = {
            **data,
            "source": Path(data["source"]),
            "preset": preset_from_json(data["preset"]),
            "target": Path(data["target"]),
        }
        return cls(**fields)


def preset_to_json(preset: Preset) -> dict[str, Any]:
    """A preset in the form of its file, with name and path.

    Only explicit values are included: a default may be invalid next to them.
    """
    apart = {"chain", "stem_chains", "mixdowns", "master"}
    given = preset.model_dump(
        by_alias=True, exclude_unset=True, exclude={"name", "path", "limiter", *apart}
    )
    if preset.limiter is not None:
        (given["limiter"],) = chain_to_plain((preset.limiter,))[0].values()
    chains = {name: chain_to_plain(chain) for name, chain in preset.stem_chains.items()}
    return {
        "name": preset.name,
        "path": str(preset.path),
        "content": {
            **given,
            "chain": chain_to_plain(preset.chain),
            "stem_chains": chains,
            "mixdowns": {name: mixdown.to_plain() for name, mixdown in preset.mixdowns.items()},
            "master": chain_to_plain(preset.master),
        },
    }


def preset_from_json(data: Mapping[str, Any]) -> Preset:
    """Inverse of `preset_to_json`, validated like a file. Raises PresetError."""
    try:
        content = presets.PresetContent.model_validate(lists_to_tuples(data["content"]))
    except ValidationError as error:
        raise PresetError(
            *(f"{data['path']}: {found['msg']}" for found in error.errors())
        ) from None
    return Preset.model_construct(**dict(content), name=data["name"], path=Path(data["path"]))
