"""Effects of others: plugins of the machine, and pedalboard's own by their class names.

Here is what a preset says about them, and what can be refused without loading anything. `plugins`
knows the folders, `hosting` loads and runs.
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

# Those of pedalboard's classes that answer late because that is what they are for.
_ECHOES = {"Chorus", "Convolution", "Delay", "Reverb"}

Value = bool | float | str


def _pairs(value: object) -> object:
    """A mapping of the file as pairs: what is frozen can be hashed."""
    if value is None:
        return ()
    if isinstance(value, (tuple, list)) and all(map(_is_pair, value)):
        value = dict(value)  # made by a program
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
    """A plugin that is installed on this machine; `plugin` is its file after loading a preset.

    It runs on as many channels as it takes: a mono plugin once for each, with a state for each.
    """

    ending: ClassVar[str]
    plugin: str = Field(
        min_length=1,
        description="which one",
        json_schema_extra={"span": "name or path"},
    )
    plugin_name: str | None = Field(
        default=None,
        description="which of several in one file",
        json_schema_extra={"span": "name"},
    )
    parameters: Parameters = Field(
        default=(),
        description="its parameters; `presets check` knows them",
        json_schema_extra={"span": "name: value"},
    )
    state: str | None = Field(
        default=None,
        description="a saved state: `.vstpreset`, or as pedalboard's raw_state gives it",
        json_schema_extra={"span": "file"},
    )
    latency: Literal["measured", "reported"] = Field(
        default="measured",
        description="what it does not report itself is measured and taken out, or is meant to be",
    )
    timeout_s: float = Field(default=30.0, ge=1, le=600, description="longest time to load")

    @field_validator("plugin")
    @classmethod
    def _find(cls, text: str, info: ValidationInfo) -> str:
        folders = (info.context or {}).get("plugin_folders")
        if folders is None:  # made by a program, not read from a preset
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
        """Where the preset says that all of the delay is reported."""
        return self.latency == "reported"

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """Loads the plugin; see `hosting`."""
        from bridge.plugins import host

        return [host.build_node(self, spec)]

    def identity(self) -> object:
        """The parameters and the content of the state; not where the files lie on this machine."""
        content = self.model_dump(mode="json", exclude={"timeout_s", "when"})
        content["plugin"] = Path(self.plugin).stem
        if self.state is not None:
            content["state"] = hashlib.sha256(discovery.read_content(self.state)).hexdigest()
        return content


class Vst3(Plugin):
    """A VST3 plugin."""

    effect_name = "vst3"
    about = "a VST3 plugin of yours, see below"
    ending = discovery.VST3


class AudioUnit(Plugin):
    """An Audio Unit, on macOS."""

    effect_name = "audio_unit"
    about = "an Audio Unit of yours, on macOS; the same as for `vst3`"
    ending = discovery.AUDIO_UNIT


class Builtin(Effect):
    """An effect of pedalboard by the name of its class."""

    effect_name = "pedalboard"
    about = "any other effect of pedalboard, such as Chorus, Phaser, LadderFilter, Bitcrush"
    effect: str = Field(
        min_length=1, description="its class", json_schema_extra={"span": "class name"}
    )
    parameters: Parameters = Field(
        default=(),
        validate_default=True,  # a class may have one that must be given
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
    def _fit(cls, pairs: tuple[tuple[str, Value], ...], info: ValidationInfo) -> object:
        """The plugin is made once, so that it says itself what it refuses."""
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
        """Echoes and rooms."""
        return self.effect in _ECHOES

    def nodes(self, spec: ProcessSpec) -> Sequence[Node]:
        """One for each pair of channels: some take no more than two."""
        from bridge.effects.space import ChannelPairs

        made = [
            pedalboard_classes.build(self.effect, dict(self.parameters))
            for _ in range(math.ceil(spec.channels / 2))
        ]
        return made if len(made) == 1 else [ChannelPairs(made, spec.rate_hz)]

    def identity(self) -> object:
        """The content of a file, not its place."""
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
    """The same, with the files that may be read in place of what the preset calls them."""
    if folders is None:  # made by a program, not read from a preset
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
