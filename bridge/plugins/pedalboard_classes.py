"""pedalboard's built-in effects by class name, with arguments read from their signatures."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge.errors import PresetError
from bridge.system.spelling import suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pedalboard

# Classes with an effect of their own here, containers, and classes that are no effects.
_NOT_OFFERED = {"Plugin", "IIRFilter", "ExternalPlugin", "VST3Plugin", "AudioUnitPlugin"}
# In blocks these two lose or move frames (pedalboard 0.9.26).
_REFUSED = {
    "PitchShift": "it loses frames when audio comes in blocks",
    "GSMFullRateCompressor": "it moves audio that comes in blocks",
}

# One argument: name, type (with brackets and commas), optional default.
_ARGUMENT = re.compile(r"(\w+): ((?:[^\[\],=]|\[[^\]]*\]+)+?)(?: = [^,]+)?(?:, |$)")


@dataclass(frozen=True)
class Argument:
    """Argument of a constructor; kind is number, switch, file, or choice (of `choices`)."""

    name: str
    kind: str
    choices: Mapping[str, object]

    def problem(self, value: object) -> str | None:
        """Why the value is not valid; None if it is."""
        switch = isinstance(value, bool)
        if self.kind == "choice":
            return None if value in self.choices else suggestion(str(value), self.choices)
        if self.kind == "file":
            return None if isinstance(value, str) else "write the path of a file"
        if self.kind == "switch":
            return None if switch else "allowed is true or false"
        number = isinstance(value, (int, float)) and not switch
        return None if number else "allowed is a number"


@functools.cache
def classes() -> dict[str, Any]:
    """pedalboard's effects that a preset can name."""
    import pedalboard

    return {
        name: kind
        for name, kind in sorted(vars(pedalboard).items())
        if isinstance(kind, type)
        and issubclass(kind, pedalboard.Plugin)
        and not issubclass(kind, pedalboard.PluginContainer)
        and not issubclass(kind, pedalboard.ExternalPlugin)
        and not name.startswith("_")
        and name not in _NOT_OFFERED | _REFUSED.keys()
    }


@functools.cache
def arguments(name: str) -> dict[str, Argument]:
    """Arguments of a class by name, from the signature that pybind11 puts into the docstring."""
    signature = (classes()[name].__init__.__doc__ or "").splitlines()[0]
    inside = signature[signature.index("(") + 1 : signature.rindex(")")]
    found = (_argument(*match) for match in _ARGUMENT.findall(inside))
    return {argument.name: argument for argument in found if argument.name != "self"}


def _argument(name: str, annotation: str) -> Argument:
    if annotation.startswith("pedalboard_native."):
        return Argument(name, "choice", _members(annotation.removeprefix("pedalboard_native.")))
    kind = "file" if "str" in annotation else "switch" if "bool" in annotation else "number"
    return Argument(name, kind, {})


def _members(path: str) -> Mapping[str, object]:
    """Names and values of an enumeration such as LadderFilter.Mode."""
    import pedalboard

    found: Any = functools.reduce(getattr, path.split("."), pedalboard)
    return dict(getattr(found, "__members__", {}))


def check_class(name: str) -> None:
    """Raise PresetError for a class that does not exist or is not offered."""
    if name in _REFUSED:
        raise PresetError(f"pedalboard's {name} cannot be used: {_REFUSED[name]}; use a plugin")
    if name not in classes():
        raise PresetError(f"pedalboard has no effect '{name}'; {suggestion(name, classes())}")


def build(name: str, values: Mapping[str, object]) -> pedalboard.Plugin:
    """New plugin with the given arguments. Raises PresetError for an invalid one."""
    known = arguments(name)
    ready: dict[str, object] = {}
    for key, value in values.items():
        if key not in known:
            raise PresetError(f"{name} has no parameter '{key}'; {suggestion(key, known)}")
        problem = known[key].problem(value)
        if problem:
            raise PresetError(f"parameter '{key}' of {name} is {value!r}; {problem}")
        ready[key] = known[key].choices.get(str(value), value)
    try:
        plugin: pedalboard.Plugin = classes()[name](**ready)
    except (TypeError, ValueError, RuntimeError) as error:
        text = str(error).splitlines()[0]
        raise PresetError(f"{name} refuses its parameters: {text}; change them") from error
    return plugin
