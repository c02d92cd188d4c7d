"""Third-party effects: installed plugins, and pedalboard's effects by their class names.

The models validate their settings without loading a plugin. `plugins.discovery` finds the files,
`plugins.host` loads and runs them.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from bridge.effects.base import Effect
from bridge.effects.strict import preset_error
from bridge.errors import PresetError
from bridge.plugins import discovery, pedalboard_classes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.dsp.processor import Node, ProcessSpec

# Classes of pedalboard that delay sound by design.
_ECHOES = {"Chorus", "Convolution", "Delay", "Reverb"}

Value = bool | float | str


def _pairs(value: object) -> object:
    """Turn a mapping into pairs, which can be hashed."""
    if value is None:
        return ()
    if isinstance(value, (tuple, list)) and all(map(_is_pair, value)):
        value = dict(value)  # from code, not from a preset
    if not isinstance(value, dict):
        raise preset_error(
            "'parameters' must have keys with values; write `parameters: {name: value}`"
        )
    for name, each in value.items():
        number = isinstance(each, (float, int)) and math.isfinite(each)
        if not number and not isinstance(each, str):
            raise preset_error(f"parameter '{name}' must be a number, a word, true or false")
    return tuple((name, float(v) if type(v) is int else v) for name, v in value.items())


def _is_pair(value: object) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2 and isinstance(value[0], str)


Parameters = Annotated[tuple[tuple[str, Value], ...], BeforeValidator(_pairs)]


class Plugin(Effect):
    """An installed plugin; validation replaces the name in `plugin` by the path of the file.

    A mono plugin runs as one instance per channel.
    """

    ending: ClassVar[str]
    plugin: str = Field(
        min_length=1,
        description="the plugin",
        json_schema_extra={"span": "name or path"},
    )
    plugin_name: str | None = Field(
        default=None,
        description="which plugin of a file with several",
        json_schema_extra={"span": "name"},
    )
    parameters: Parameters = Field(
        default=(),
        description="its parameters; `presets check` verifies them",
        json_schema_extra={"span": "name: value"},
    )
    state: str | None = Field(
        default=None,
        description="a saved state: `.vstpreset`, or as pedalboard's raw_state gives it",
        json_schema_extra={"span": "file"},
    )
    latency: Literal["measured", "reported"] = Field(
        default="measured",
        description="whether latency that it does not report is measured and removed",
    )
    timeout_s: float = Field(default=30.0, ge=1, le=600, description="longest time to load")

    @field_validator("plugin")
    @classmethod
    def _find(cls, text: str, info: ValidationInfo) -> str:
        folders = (info.context or {}).get("plugin_folders")
        if folders is None:  # from code, not from a preset
            return text
        try:
            return str(discovery.find_plugin(text, cls.ending, folders))
        except PresetError as error:
            raise preset_error(str(error)) from error

    @field_validator("state")
    @classmethod
    def _find_state(cls, text: str | None, info: ValidationInfo) -> str | None:
        folders = (info.context or {}).get("plugin_folders")
        if folders is None or text is None:
            return text
        try:
            return str(discovery.state_file(text, folders))
        except PresetError as error:
            raise preset_error(str(error)) from error

    @property
    def intended_delay(self) -> bool:
        """With `latency: reported`, where further delay is intended."""
        return self.latency == "reported"

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """Load the plugin; see `plugins.host`."""
        from bridge.plugins import host

        return [host.build_node(self, spec)]

    def identity(self) -> object:
        """The parameters and the hash of the state, without paths of this machine."""
        content = self.model_dump(mode="json", exclude={"timeout_s", "when"})
        content["plugin"] = Path(self.plugin).stem
        if self.state is not None:
            content["state"] = hashlib.sha256(discovery.read_content(self.state)).hexdigest()
        return content


class Vst3(Plugin):
    """A VST3 plugin."""

    effect_name = "vst3"
    description = "an installed VST3 plugin, see below"
    ending = discovery.VST3


class AudioUnit(Plugin):
    """An Audio Unit, on macOS."""

    effect_name = "audio_unit"
    description = "an installed Audio Unit, on macOS; parameters as for `vst3`"
    ending = discovery.AUDIO_UNIT


class Builtin(Effect):
    """An effect of pedalboard by its class name."""

    effect_name = "pedalboard"
    description = "any other effect of pedalboard, such as Chorus, Phaser, LadderFilter, Bitcrush"
    effect: str = Field(
        min_length=1, description="class of the effect", json_schema_extra={"span": "class name"}
    )
    parameters: Parameters = Field(
        default=(),
        validate_default=True,  # a class may have required arguments
        description="the arguments of the class",
        json_schema_extra={"span": "name: value"},
    )

    @field_validator("effect")
    @classmethod
    def _exists(cls, name: str) -> str:
        try:
            pedalboard_classes.check_class(name)
        except PresetError as error:
            raise preset_error(str(error)) from error
        return name

    @field_validator("parameters")
    @classmethod
    def _build_once(cls, pairs: tuple[tuple[str, Value], ...], info: ValidationInfo) -> object:
        """Build the plugin once, so that its own checks apply."""
        name = info.data.get("effect")
        if name is None:  # already refused
            return pairs
        try:
            found = _with_files(name, pairs, (info.context or {}).get("plugin_folders"))
            pedalboard_classes.build(name, dict(found))
        except PresetError as error:
            raise preset_error(str(error)) from error
        return found

    @property
    def intended_delay(self) -> bool:
        """For echoes and reverbs."""
        return self.effect in _ECHOES

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """One instance per pair of channels, as some take no more than two."""
        from bridge.effects.space import ChannelPairs

        instances = [
            pedalboard_classes.build(self.effect, dict(self.parameters))
            for _ in range(math.ceil(spec.channels / 2))
        ]
        return instances if len(instances) == 1 else [ChannelPairs(instances, spec.rate_hz)]

    def identity(self) -> object:
        """The parameters; files by their hash."""
        known = pedalboard_classes.arguments(self.effect)
        values = {
            name: hashlib.sha256(discovery.read_content(str(value))).hexdigest()
            if known[name].kind == "file"
            else value
            for name, value in self.parameters
        }
        return {"effect": self.effect, "parameters": values}


def _with_files(
    name: str, pairs: tuple[tuple[str, Value], ...], folders: discovery.PluginFolders | None
) -> tuple[tuple[str, Value], ...]:
    """The parameters with file names replaced by permitted paths."""
    if folders is None:  # from code, not from a preset
        return pairs
    files = {
        each.name for each in pedalboard_classes.arguments(name).values() if each.kind == "file"
    }
    return tuple(
        (key, str(discovery.state_file(value, folders)))
        if key in files and isinstance(value, str)
        else (key, value)
        for key, value in pairs
    )
