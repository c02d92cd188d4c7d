"""Plugins of this machine: loaded, set up, and run on as many channels as a stem has.

A plugin is foreign code in this process: it can hang or crash it. So a service loads plugins in a
process of their own only: `inspection` does that for a preset, the job's worker for a job. Some
plugins must be loaded and used in the main thread.
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

# What a plugin is asked to process to see which widths it takes.
_TRIAL_FRAMES = 2048
# The first bytes of a plugin's raw state as JUCE, and so pedalboard, writes it.
_RAW_STATE_MAGIC = b"VC2!"
_VST3_PRESET_MAGIC = b"VST3"

# Of every plugin that this process has loaded, by its file: it says so only once it is loaded.
_versions: dict[str, str] = {}


class PluginSettings(Protocol):
    """What a preset says about one plugin; hashable.

    plugin: its file. parameters: (name, value) pairs. state: file of a saved state. latency:
    `measured` or `reported`. timeout_s: longest time to load.
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
    """One parameter of a plugin. choices: of one that takes words; none for a number."""

    name: str
    kind: str
    minimum: float | None
    maximum: float | None
    unit: str
    choices: tuple[str, ...]

    def problem(self, value: object) -> str | None:
        """Why a value is not right, and what is; None if it is."""
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
    """The parameters of a loaded plugin, by the names that pedalboard gives them."""
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
    """What is wrong with the parameters of a preset: (parameter, message). Pure."""
    found: list[tuple[str, str]] = []
    for name, value in effect.parameters:
        if name not in known:
            label = Path(effect.plugin).stem
            found.append((name, f"{label} has no parameter '{name}'; {suggestion(name, known)}"))
        elif problem := known[name].problem(value):
            found.append((name, problem))
    return found


def load_plugin(effect: PluginSettings) -> Any:
    """A plugin, set up as the preset says. Raises PresetError and PluginError."""
    plugin = open_plugin(effect)
    found = parameter_problems(effect, parameter_facts(plugin))
    if found:
        raise PresetError(*(message for _, message in found))
    for name, value in effect.parameters:
        setattr(plugin, name, value)
    return plugin


def open_plugin(effect: PluginSettings, overdue: Callable[[str], None] | None = None) -> Any:
    """A plugin, loaded, with its state but not yet its parameters.

    overdue: told from another thread when loading takes longer than `timeout_s`. Nothing can end a
    plugin that hangs but the end of its process, so who listens should see to that.
    Raises PresetError for what the preset can mend, PluginError for a plugin that does not load.
    """
    label = Path(effect.plugin).name
    with _watchdog(f"{label} has not loaded in {effect.timeout_s:g} s", effect.timeout_s, overdue):
        plugin = _opened(effect, label)
    _keep_small_numbers()
    _versions[effect.plugin] = str(plugin.version)
    if effect.state is not None:
        _restore(plugin, effect, label)
    return plugin


def plugin_version(plugin: str) -> str:
    """What a plugin that was loaded here said of itself; "" for one that was not."""
    return _versions.get(plugin, "")


def _keep_small_numbers() -> None:
    """Undoes what a library built with -ffast-math does to its process when it is loaded.

    It has the processor flush the smallest floats to zero from then on, so that the same bounce
    might give other bytes after a job with such a plugin than before.
    """
    import torch

    torch.set_flush_denormal(False)


@contextmanager
def _watchdog(
    message: str, timeout_s: float, overdue: Callable[[str], None] | None
) -> Iterator[None]:
    timer = threading.Timer(timeout_s, overdue or _complain, [message])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _complain(message: str) -> None:
    print(f"stembridge: {message}; end this process if it never does", file=sys.stderr, flush=True)


def _opened(effect: PluginSettings, label: str) -> Any:
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
    except ValueError as error:  # several plugins in one file, and none was named
        raise PresetError(f"{label}: {_line(error)}; give its plugin_name") from error
    except (ImportError, RuntimeError) as error:
        raise PluginError(
            f"{label} does not load ({_line(error)}); open it in a DAW, or install it anew"
        ) from error
    if not plugin.is_effect:
        raise PresetError(f"{label} is an instrument; name an effect")
    return plugin


def _line(error: Exception) -> str:
    """An error of pedalboard in one line, without a full stop."""
    return " ".join(str(error).split()).rstrip(".")


def _restore(plugin: Any, effect: PluginSettings, label: str) -> None:
    file = effect.state or ""
    content, name = read_content(file), Path(file).name
    misfit = PresetError(f"state '{name}' does not fit {label}; save it from that plugin again")
    try:
        if content.startswith(_VST3_PRESET_MAGIC):
            plugin.load_preset(effect.state)  # refuses one of another plugin
        elif content.startswith(_RAW_STATE_MAGIC) or effect.effect_name == "audio_unit":
            plugin.raw_state = content
        else:
            raise misfit
    except (RuntimeError, ValueError, AttributeError) as error:
        raise misfit from error


def saved_state(plugin: Any, rate_hz: float) -> bytes:
    """The plugin's settings as a `.vstpreset` (raw where it is none).

    Parameters reach a plugin with the audio, so silence is sent through it first.
    """
    width = accepted_channels(plugin, rate_hz, 2, "plugin")
    plugin.process(np.zeros((width, _TRIAL_FRAMES), np.float32), rate_hz, reset=False)
    content: bytes = getattr(plugin, "preset_data", None) or plugin.raw_state
    return content


def channel_groups(channels: int, width: int) -> tuple[tuple[int, ...], ...]:
    """Which channels each instance of a plugin of that width gets, in file order.

    The last group is filled up with its last channel: a stereo plugin hears mono on both sides.
    """
    last = channels - 1
    return tuple(
        tuple(min(start + i, last) for i in range(width)) for start in range(0, channels, width)
    )


def accepted_channels(plugin: Any, rate_hz: float, channels: int, label: str) -> int:
    """How many channels the plugin takes at once: those of the stem, or two, or one."""
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
    """Instances of a plugin side by side, one for each group of channels."""

    def __init__(self, effect: PluginSettings, spec: ProcessSpec, latency_frames: int) -> None:
        self._label = Path(effect.plugin).name
        self._rate_hz = spec.rate_hz
        first = load_plugin(effect)
        width = self._width(first, spec.channels)
        self._groups = channel_groups(spec.channels, width)
        self._plugins = [first]
        for _ in self._groups[1:]:
            self._plugins.append(load_plugin(effect))
            # Some report their latency, and take their parameters, only once they have run.
            self._width(self._plugins[-1], width)
        self.latency_frames = latency_frames

    def process(self, block: Audio) -> Audio:
        """The same frames; fewer at first, where the plugin reports a latency."""
        out = [self._group(*pair, block) for pair in zip(self._plugins, self._groups, strict=True)]
        return np.concatenate(out)[: block.shape[0]]

    def _width(self, plugin: Any, channels: int) -> int:
        return accepted_channels(plugin, self._rate_hz, channels, self._label)

    def _group(self, plugin: Any, channels: tuple[int, ...], block: Audio) -> Audio:
        heard = np.ascontiguousarray(block[list(channels)])
        try:
            out: Audio = plugin.process(
                heard, self._rate_hz, buffer_size=PLUGIN_FRAMES, reset=False
            )
        except (ValueError, RuntimeError) as error:
            raise PluginError(f"{self._label} fails ({_line(error)}); take it out") from error
        copies = len(channels) - len(set(channels))
        if not copies:
            return out
        # What went in twice comes out once, as the mean.
        kept = len(channels) - copies - 1
        mean = out[kept:].mean(axis=0, dtype=np.float64, keepdims=True)
        return np.concatenate([out[:kept], mean.astype(np.float32)])


def build_node(effect: PluginSettings, spec: ProcessSpec) -> HostedPlugin:
    """The plugin, ready to run, with the delay that it does not report itself."""
    latency_frames = 0
    if effect.latency == "measured":
        latency_frames = _unreported_frames(effect, spec.rate_hz, spec.channels)
    return HostedPlugin(effect, spec, latency_frames)


@functools.lru_cache(maxsize=64)
def _unreported_frames(effect: PluginSettings, rate_hz: float, channels: int) -> int:
    """Measured once for each plugin, its settings, rate and width. Raises PresetError."""

    def run(audio: Audio) -> Audio:
        spec = ProcessSpec(rate_hz, channels, audio.shape[1])
        return np.concatenate(
            list(process_stream(HostedPlugin(effect, spec, 0), [audio], spec)), axis=1
        )

    late = delays_frames(run, rate_hz, channels)
    if len(late) > 1:
        raise PresetError(
            f"{Path(effect.plugin).name} delays its channels by different times; take it out, or "
            "write `latency: reported` if that is meant"
        )
    return late[0] if late else 0
