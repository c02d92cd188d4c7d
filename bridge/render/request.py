"""What to make of a bounce, and how that travels: as plain data that JSON can hold.

Paths are text as `os.fsdecode` gives it. Bytes that are no text are lone surrogates there, and
JSON that is kept to ASCII carries those too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bridge.errors import PresetError
from bridge.presets import loader as presets
from bridge.presets.loader import Preset
from bridge.presets.mixdown import told_chain
from bridge.render.model_request import lists_to_tuples

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class RenderRequest:
    """What to make of one bounce.

    sha256: of the source, for the manifest. file_names: from an output's name to its file's name.
    target: the folder where the files will lie; session files that name places need it.
    """

    source: Path
    sha256: str
    preset: Preset
    model_version: str
    file_names: Mapping[str, str]
    target: Path

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
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
        """What `to_json` gave. Raises PresetError as for a file that holds that preset."""
        fields: dict[str, Any] = {
            **data,
            "source": Path(data["source"]),
            "preset": preset_from_json(data["preset"]),
            "target": Path(data["target"]),
        }
        return cls(**fields)


def preset_to_json(preset: Preset) -> dict[str, Any]:
    """A preset as its file would say it, with name and path.

    Only what was given is told: a default may be refused beside what was given.
    """
    apart = {"chain", "stem_chains", "mixdowns", "master"}
    given = preset.model_dump(
        by_alias=True, exclude_unset=True, exclude={"name", "path", "limiter", *apart}
    )
    if preset.limiter is not None:
        (given["limiter"],) = told_chain((preset.limiter,))[0].values()
    chains = {name: told_chain(chain) for name, chain in preset.stem_chains.items()}
    return {
        "name": preset.name,
        "path": str(preset.path),
        "content": {
            **given,
            "chain": told_chain(preset.chain),
            "stem_chains": chains,
            "mixdowns": {name: mixdown.told() for name, mixdown in preset.mixdowns.items()},
            "master": told_chain(preset.master),
        },
    }


def preset_from_json(data: Mapping[str, Any]) -> Preset:
    """The preset that `preset_to_json` told of, validated like a file. Raises PresetError."""
    try:
        content = presets.Settings.model_validate(lists_to_tuples(data["content"]))
    except ValidationError as error:
        raise PresetError(
            *(f"{data['path']}: {found['msg']}" for found in error.errors())
        ) from None
    return Preset.model_construct(**dict(content), name=data["name"], path=Path(data["path"]))
