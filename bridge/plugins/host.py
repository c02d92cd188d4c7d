"""Plugin host: loading, configuring and running installed plugins.

A plugin is third-party code that can hang or crash its process. So a service loads plugins only in
other processes: `render.preset_check` for a preset, the worker for a job. Some plugins must be
loaded and used in the main thread.
"""

from __future__ import annotations

import functools
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bridge.dsp.delay import delays_frames
from bridge.dsp.processor import PLUGIN_FRAMES, ProcessSpec, process_stream
from bridge.errors import PluginError, PresetError
from bridge.plugins.discovery import read_content
from bridge.system.spelling import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bridge.dsp.processor import Audio

# Frames for the test of accepted channel counts.
_TRIAL_FRAMES = 2048
# First bytes of a raw state as JUCE, and so pedalboard, writes it.
_RAW_STATE_MAGIC = b"VC2!"
_VST3_PRESET_MAGIC = b"VST3"

# Versions of the plugins that this process has loaded, by file.
_versions: dict[str, str] = {}


class PluginSettings(Protocol):
    """Settings of one plugin in a preset; hashable.

    Attributes:
        effect_name: `vst3` or `audio_unit`.
        plugin: path of the plugin.
        plugin_name: which plugin of a file with several.
        parameters: (name, value) pairs.
        state: path of a saved state.
        latency: `measured` or `reported`.
        timeout_s: longest time to load.
    """

    @property
    def effect_name(self) -> str: ...
    @property
    def plugin(self) -> str: ...
    @property
    def plugin_name(self) -> str | None: ...
    @property
    def parameters(self) -> tuple[tuple[str, bool | float | str], ...]: ...
    @property
    def state(self) -> str | None: ...
    @property
    def latency(self) -> str: ...
    @property
    def timeout_s(self) -> float: ...
    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class ParameterFacts:
    """One parameter of a plugin; `choices` are the words of a parameter of kind `choice`."""

    name: str
    kind: str
    minimum: float | None
    maximum: float | None
    unit: str
    choices: tuple[str, ...]

    def problem(self, value: object) -> str | None:
        """Why a value is not valid, and which ones are; None if it is valid."""
        shown = f"parameter '{self.name}' is {value!r}"
        if self.kind == "switch":
            return None if isinstance(value, bool) else f"{shown}; allowed is true or false"
        if self.kind == "choice":
            return (
                None
                if value in self.choices
                else f"{shown}; {suggestion(str(value), self.choices)}"
            )
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        low, high = self.minimum, self.maximum
        inside = low is None or high is None or (number and low <= float(value) <= high)  # type: ignore[arg-type]
        if number and inside:
            return None
        span = "" if low is None or high is None else f", {low:g} to {high:g} {self.unit}".rstrip()
        return f"{shown}; allowed is a number{span}"


def parameter_facts(plugin: Any) -> dict[str, ParameterFacts]:
    """Parameters of a loaded plugin by pedalboard's names."""
    kinds = {bool: "switch", str: "choice"}
    return {
        name: ParameterFacts(
            name=name,
            kind=kinds.get(each.type, "number"),
            minimum=None if each.min_value is None else float(each.min_value),
            maximum=None if each.max_value is None else float(each.max_value),
            unit=(each.units or "").strip(),
            choices=tuple(map(str, each.valid_values)) if each.type is str else (),
        )
        for name, each in plugin.parameters.items()
    }


def parameter_problems(
    effect: PluginSettings, known: dict[str, ParameterFacts]
) -> list[tuple[str, str]]:
    """Problems of the parameters in a preset: (parameter, message)."""
    found: list[tuple[str, str]] = []
    for name, value in effect.parameters:
        if name not in known:
            label = Path(effect.plugin).stem
            found.append((name, f"{label} has no parameter '{name}'; {suggestion(name, known)}"))
        elif problem := known[name].problem(value):
            found.append((name, problem))
    return found


def load_plugin(effect: PluginSettings) -> Any:
    """Load and configure a plugin. Raises PresetError and PluginError."""
    plugin = open_plugin(effect)
    found = parameter_problems(effect, parameter_facts(plugin))
    if found:
        raise PresetError(*(message for _, message in found))
    for name, value in effect.parameters:
        setattr(plugin, name, value)
    return plugin


def open_plugin(effect: PluginSettings, overdue: Callable[[str], None] | None = None) -> Any:
    """Load a plugin and restore its state; parameters are not set.

    overdue: called from another thread with a message when loading takes longer than `timeout_s`.
    A plugin that hangs can only be stopped by ending the process, so the callback should do that.
    Raises PresetError for wrong settings, PluginError for a plugin that does not load.
    """
    label = Path(effect.plugin).name
    with _watchdog(f"{label} has not loaded in {effect.timeout_s:g} s", effect.timeout_s, overdue):
        plugin = _instantiate(effect, label)
    _restore_denormals()
    _versions[effect.plugin] = str(plugin.version)
    if effect.state is not None:
        _restore(plugin, effect, label)
    return plugin


def plugin_version(plugin: str) -> str:
    """Version of a plugin that this process has loaded; "" for others."""
    return _versions.get(plugin, "")


def _restore_denormals() -> None:
    """Turn flush-to-zero off again after loading a plugin.

    Libraries built with -ffast-math turn it on for the whole process when they are loaded, so that
    the same bounce might be rendered to other bytes than before.
    """
    import torch

    torch.set_flush_denormal(False)


@contextmanager
def _watchdog(
    message: str, timeout_s: float, overdue: Callable[[str], None] | None
) -> Iterator[None]:
    timer = threading.Timer(timeout_s, overdue or _print_overdue, [message])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _print_overdue(message: str) -> None:
    print(f"stembridge: {message}; end this process if it never does", file=sys.stderr, flush=True)


def _instantiate(effect: PluginSettings, label: str) -> Any:
    import pedalboard

    kind: Any = getattr(
        pedalboard, "AudioUnitPlugin" if effect.effect_name == "audio_unit" else "VST3Plugin"
    )
    try:
        if effect.plugin_name is not None:
            names = kind.get_plugin_names_for_file(effect.plugin)
            if effect.plugin_name not in names:
                advice = suggestion(effect.plugin_name, names)
                raise PresetError(f"{label} holds no plugin '{effect.plugin_name}'; {advice}")
        plugin = kind(
            effect.plugin,
            plugin_name=effect.plugin_name,
            initialization_timeout=effect.timeout_s,
        )
    except ValueError as error:  # a file of several plugins, without plugin_name
        raise PresetError(f"{label}: {_line(error)}; give its plugin_name") from error
    except (ImportError, RuntimeError) as error:
        raise PluginError(
            f"{label} does not load ({_line(error)}); reinstall it, or test it in a DAW"
        ) from error
    if not plugin.is_effect:
        raise PresetError(f"{label} is an instrument; name an effect")
    return plugin


def _line(error: Exception) -> str:
    """Message of an error in one line, without a full stop."""
    return " ".join(str(error).split()).rstrip(".")


def _restore(plugin: Any, effect: PluginSettings, label: str) -> None:
    file = effect.state or ""
    content, name = read_content(file), Path(file).name
    misfit = PresetError(f"state '{name}' does not fit {label}; save it from that plugin again")
    try:
        if content.startswith(_VST3_PRESET_MAGIC):
            plugin.load_preset(effect.state)  # refuses the state of another plugin
        elif content.startswith(_RAW_STATE_MAGIC) or effect.effect_name == "audio_unit":
            plugin.raw_state = content
        else:
            raise misfit
    except (RuntimeError, ValueError, AttributeError) as error:
        raise misfit from error


def saved_state(plugin: Any, rate_hz: float) -> bytes:
    """The plugin's state as a `.vstpreset`, or raw where that is not available.

    Parameters take effect with the audio, so silence is processed first.
    """
    width = accepted_channels(plugin, rate_hz, 2, "plugin")
    plugin.process(np.zeros((width, _TRIAL_FRAMES), np.float32), rate_hz, reset=False)
    content: bytes = getattr(plugin, "preset_data", None) or plugin.raw_state
    return content


def channel_groups(channels: int, width: int) -> tuple[tuple[int, ...], ...]:
    """Channels of each instance of a plugin with `width` channels, in file order.

    The last group repeats its last channel: a stereo plugin gets mono on both sides.
    """
    last = channels - 1
    return tuple(
        tuple(min(start + i, last) for i in range(width)) for start in range(0, channels, width)
    )


def accepted_channels(plugin: Any, rate_hz: float, channels: int, label: str) -> int:
    """Number of channels that the plugin accepts: those of the stem, two, or one.

    Args:
        plugin: a loaded plugin.
        rate_hz: sample rate.
        channels: number of channels of the stem.
        label: name of the plugin for the error message.

    Raises:
        PluginError: the plugin accepts neither mono nor stereo.
    """
    reason = ""
    for width in dict.fromkeys((channels, 2, 1)):
        try:
            plugin.process(np.zeros((width, _TRIAL_FRAMES), np.float32), rate_hz)
        except (ValueError, RuntimeError) as error:
            reason = reason or _line(error)
        else:
            plugin.reset()
            return width
    raise PluginError(f"{label} takes neither mono nor stereo ({reason}); use another plugin")


class HostedPlugin:
    """Processor of parallel plugin instances, one for each group of channels."""

    def __init__(self, effect: PluginSettings, spec: ProcessSpec, latency_frames: int) -> None:
        self._label = Path(effect.plugin).name
        self._rate_hz = spec.rate_hz
        first = load_plugin(effect)
        width = self._width(first, spec.channels)
        self._groups = channel_groups(spec.channels, width)
        self._plugins = [first]
        for _ in self._groups[1:]:
            self._plugins.append(load_plugin(effect))
            # Some plugins report latency and apply parameters only after processing.
            self._width(self._plugins[-1], width)
        self.latency_frames = latency_frames

    def process(self, block: Audio) -> Audio:
        """Process a block; the first calls return fewer frames, by the reported latency."""
        out = [self._group(*pair, block) for pair in zip(self._plugins, self._groups, strict=True)]
        return np.concatenate(out)[: block.shape[0]]

    def _width(self, plugin: Any, channels: int) -> int:
        return accepted_channels(plugin, self._rate_hz, channels, self._label)

    def _group(self, plugin: Any, channels: tuple[int, ...], block: Audio) -> Audio:
        audio = np.ascontiguousarray(block[list(channels)])
        try:
            out: Audio = plugin.process(
                audio, self._rate_hz, buffer_size=PLUGIN_FRAMES, reset=False
            )
        except (ValueError, RuntimeError) as error:
            raise PluginError(f"{self._label} fails ({_line(error)}); take it out") from error
        copies = len(channels) - len(set(channels))
        if not copies:
            return out
        # The outputs of a repeated channel are averaged.
        kept = len(channels) - copies - 1
        mean = out[kept:].mean(axis=0, dtype=np.float64, keepdims=True)
        return np.concatenate([out[:kept], mean.astype(np.float32)])


def build_node(effect: PluginSettings, spec: ProcessSpec) -> HostedPlugin:
    """A loaded plugin as a processor, with its unreported latency measured."""
    latency_frames = 0
    if effect.latency == "measured":
        latency_frames = _unreported_frames(effect, spec.rate_hz, spec.channels)
    return HostedPlugin(effect, spec, latency_frames)


@functools.lru_cache(maxsize=64)
def _unreported_frames(effect: PluginSettings, rate_hz: float, channels: int) -> int:
    """Latency that a plugin does not report; cached. Raises PresetError."""

    def run(audio: Audio) -> Audio:
        spec = ProcessSpec(rate_hz, channels, audio.shape[1])
        return np.concatenate(
            list(process_stream(HostedPlugin(effect, spec, 0), [audio], spec)), axis=1
        )

    delays = delays_frames(run, rate_hz, channels)
    if len(delays) > 1:
        raise PresetError(
            f"{Path(effect.plugin).name} delays its channels by different times; take it out, or "
            "write `latency: reported` if that is intended"
        )
    return delays[0] if delays else 0
