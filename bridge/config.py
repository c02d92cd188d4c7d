"""Settings: defaults < settings file < environment < command line, frozen and printable.

The file is `config.yaml` in the user's configuration folder (or STEMBRIDGE_CONFIG); a variable is
the setting's name in capitals after STEMBRIDGE_, such as STEMBRIDGE_PRESET.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import platformdirs
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bridge.errors import ConfigError
from bridge.system import endpoint, plain_yaml
from bridge.system.endpoint import OFF
from bridge.system.plain_yaml import YamlProblems

if TYPE_CHECKING:
    from collections.abc import Mapping

APP = "stembridge"
PREFIX = "STEMBRIDGE_"
# Variables that are no settings: the settings file, and whether tests may be skipped.
_OTHER_VARIABLES = (PREFIX + "CONFIG", PREFIX + "REQUIRE")
DEFAULT_MODEL = "spleeter:2stems"

Origin = Literal["default", "file", "environment", "command line"]


def _state_dir() -> Path:
    return Path(platformdirs.user_state_dir(APP))


def _cache_dir() -> Path:
    return Path(platformdirs.user_cache_dir(APP))


def _folders(value: object) -> object:
    """Folders from a list (file) or a text separated as PATH is (environment)."""
    folders = value.split(os.pathsep) if isinstance(value, str) else value
    if not isinstance(folders, list | tuple):
        return folders  # pydantic reports its type
    return tuple(_folder(folder) for folder in folders if folder)


def _folder(value: object) -> object:
    """An absolute path with `~` expanded; other types are left to pydantic to report."""
    return Path(value).expanduser().absolute() if isinstance(value, str | Path) else value


_Folder = Annotated[Path, BeforeValidator(_folder)]
_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Endpoint = Annotated[str, BeforeValidator(endpoint.parse_setting)]


class Settings(BaseModel):
    """Settings common to all commands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str = Field("stems", description="preset when a command names none")
    model: str | None = Field(None, description="model when neither command nor preset names one")
    device: str = Field("auto", description="auto, cpu, cuda or mps")
    precision: str = Field("auto", description="auto, float32 or bfloat16")
    poll: bool = Field(False, description="check the folder at intervals, without events")
    rescan_s: _Seconds = Field(30.0, description="seconds between full looks at a folder")
    poll_s: _Seconds = Field(1.0, description="the same, with poll")
    # A segment of the largest model takes well under a minute on a slow laptop.
    stall_s: _Seconds = Field(300.0, description="seconds without progress until a job is ended")
    plugin_folders: Annotated[tuple[Path, ...], BeforeValidator(_folders)] = Field(
        (), description="plugin folders, besides the system's"
    )
    osc: _Endpoint = Field(OFF, description="UDP port for incoming OSC, such as 9000")
    osc_reply: _Endpoint = Field(OFF, description="UDP port for the progress of every bounce")
    state_dir: _Folder = Field(default_factory=_state_dir, description="ledger and log")
    cache_dir: _Folder = Field(default_factory=_cache_dir, description="model weights")

    @property
    def ledger_path(self) -> Path:
        """Path of the ledger, an SQLite file."""
        return self.state_dir / "ledger.sqlite3"

    @property
    def log_dir(self) -> Path:
        """Folder of the service's log."""
        return self.state_dir / "log"


@dataclass(frozen=True)
class Resolved:
    """Settings in force, the origin of each, and the settings file."""

    settings: Settings
    origins: Mapping[str, Origin]
    file: Path


def resolve(
    flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> Resolved:
    """Read and merge the settings of all sources.

    Args:
        flags: values from the command line; None for one that is not given.
        environment: environment variables; by default those of the process.

    Raises:
        ConfigError: an unknown setting or an invalid value; names file, line or variable.
    """
    environment = os.environ if environment is None else environment
    file = config_file(environment)
    content, lines = _read_file(file)
    layers: list[tuple[Origin, Mapping[str, Any]]] = [
        ("file", content),
        ("environment", _from_environment(environment)),
        ("command line", {k: v for k, v in (flags or {}).items() if v is not None}),
    ]
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = dict.fromkeys(Settings.model_fields, "default")
    for origin, layer in layers:
        values.update(layer)
        origins.update(dict.fromkeys(layer, origin))
    try:
        settings = Settings(**values)
    except ValidationError as error:
        places = _Places(file, lines, origins)
        problems = [_explain(problem, places) for problem in error.errors()]
        if any(problem["type"] == "extra_forbidden" for problem in error.errors()):
            problems.append(f"the settings are {', '.join(Settings.model_fields)}")
        raise ConfigError("; ".join(problems)) from None
    return Resolved(settings, origins, file)


def format_value(name: str, value: object) -> str:
    """Format the value of a setting: "none", "yes", "30 s", or names with commas."""
    if value is None or value in ((), ""):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and name.endswith("_s"):
        return f"{value:g} s"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def variable(name: str) -> str:
    """Name of a setting's environment variable."""
    return PREFIX + name.upper()


def unknown_variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Variables with the prefix of settings that are not known."""
    known = {*map(variable, Settings.model_fields), *_OTHER_VARIABLES}
    return tuple(
        sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
    )


def config_file(environment: Mapping[str, str]) -> Path:
    """Path of the settings file, which need not exist."""
    named = environment.get(PREFIX + "CONFIG")
    return Path(named) if named else Path(platformdirs.user_config_dir(APP)) / "config.yaml"


def _read_file(file: Path) -> tuple[Mapping[str, Any], Mapping[str, int]]:
    """Settings of a file and the line of each; empty if there is no file."""
    try:
        found = plain_yaml.load(plain_yaml.decode(file.read_bytes()))
    except FileNotFoundError:
        return {}, {}
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(
            f"{file}: cannot be read ({reason}); check path and permissions"
        ) from None
    except YamlProblems as error:
        problems = (f"{file}:{line}: {text}" for line, text in error.problems)
        raise ConfigError("; ".join(problems)) from None
    if found.is_empty:
        return {}, {}
    if not isinstance(found.data, dict):
        raise ConfigError(f"{file}: expected lines like 'preset: mix-ready'")
    return found.data, {str(place[0]): line for place, line in found.lines.items() if place}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    names = {variable(name): name for name in Settings.model_fields}
    return {name: environment[key] for key, name in names.items() if environment.get(key)}


@dataclass(frozen=True)
class _Places:
    """Location of each setting, for error messages."""

    file: Path
    lines: Mapping[str, int]
    origins: Mapping[str, Origin] = field(default_factory=dict)

    def of(self, name: str) -> str:
        """File and line, variable, or option that holds a setting."""
        origin = self.origins.get(name, "file")
        if origin == "environment":
            return variable(name)
        if origin == "command line":
            return f"--{name.replace('_', '-')}"
        line = f":{self.lines[name]}" if name in self.lines else ""
        return f"{self.file}{line}"


# Expected value, by pydantic's type of error.
_NEEDED = {
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "greater_than": "a number above 0",
    "tuple_type": "a list of folders",
    "path_type": "the path of a folder",
}


def _explain(problem: Any, places: _Places) -> str:
    """One problem in one line, with its location and the expected value."""
    name = str(problem["loc"][0]) if problem["loc"] else "settings"
    where, value = places.of(name), problem["input"]
    if problem["type"] == "extra_forbidden":
        near = get_close_matches(name, Settings.model_fields, n=1)
        return f"{where}: there is no setting {name!r}" + (
            f", did you mean {near[0]!r}?" if near else ""
        )
    about = where if where.startswith("--") else f"{where}: {name}"
    if problem["type"] == "value_error":  # raised by our validators, with a message of their own
        return f"{about}: {problem['ctx']['error']}, not {_written(value)}"
    if value is None:
        return f"{where}: {name} is empty; write a value, or remove the line"
    needed = _NEEDED.get(problem["type"])
    text = f"{needed} is needed" if needed else problem["msg"].lower()
    quotes = "; put it in quotes" if needed == "text" and isinstance(value, int | float) else ""
    return f"{about}: {text}, not {_written(value)}{quotes}"


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | tuple | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return repr(value)
