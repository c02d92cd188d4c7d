"""Check of a preset on this machine: plugins, output format and session formats.

Plugins run in a process of their own, so that one that hangs or crashes does no other harm.

    check_preset ─► python -m bridge.render.preset_check < effects ─► answer file

Used before a service accepts a preset, and by `presets check`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.effects.plugin import AudioUnit, Plugin, Vst3
from bridge.errors import PluginError, PresetError, StembridgeError
from bridge.presets import session_formats
from bridge.presets.loader import source_map

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.presets.loader import Preset

# Rate and width of most bounces.
RATE_HZ, CHANNELS = 48_000.0, 2
# Time to load Python, numpy and pedalboard on a busy machine.
_START_S = 30.0
# A plugin is loaded once for its parameters, then per channel and test signal.
_LOADS = 12
# Interval of calls of `waiting`.
_TICK_S = 0.1


def check_preset(
    preset: Preset,
    waiting: Callable[[], None] = lambda: None,
    variables: Mapping[str, object] | None = None,
) -> None:
    """Load and run every plugin of a preset; check that its formats can be written here.

    Args:
        preset: a loaded preset.
        waiting: called several times a second; an exception from it ends the check.
        variables: the variables that the preset was loaded with, to find its lines again.

    Raises:
        PresetError: with a line for each problem of the file.
        PluginError: a plugin does not load in time, or crashes.
    """
    found = [
        source_map(preset.path).problem(("session", index), text)
        for index, text in session_formats.unavailable(preset.session)
    ]
    missing = preset.output.missing()
    if missing:
        found.append(f"{preset.path}: {missing}")
    for place, effect in preset.all_effects():
        if not isinstance(effect, Plugin):
            continue
        for parameter, message in check_plugin(effect, waiting):
            location = (*place, "parameters", parameter) if parameter else place
            found.append(source_map(preset.path, variables).problem(location, message))
    if found:
        raise PresetError(*found)


def check_plugin(
    effect: Plugin, waiting: Callable[[], None] = lambda: None
) -> list[tuple[str, str]]:
    """Problems of one plugin: (parameter or "", message). Raises PluginError."""
    label = Path(effect.plugin).name
    request = json.dumps([effect.effect_name, effect.model_dump(mode="json", exclude={"when"})])
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        code = _run_check(request, answer, _START_S + _LOADS * effect.timeout_s, waiting)
        if code is None:
            raise PluginError(f"{label} does not finish; take it out")
        if not answer.exists():
            raise PluginError(f"{label} crashes ({_ending(code)}); take it out")
        result: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if result["code"] == PluginError.code:
        raise PluginError(result["problems"][0][1])
    return [(str(name), str(message)) for name, message in result["problems"]]


def _run_check(
    request: str, answer: Path, limit_s: float, waiting: Callable[[], None]
) -> int | None:
    """Run the check process; return its exit code, None where it was killed at its limit."""
    # Plugins may write to stdout and stderr, so the answer goes into a file.
    command = [sys.executable, "-m", "bridge.render.preset_check", str(answer)]
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=nothing, stderr=nothing, text=True
    )
    unsent: str | None = request
    deadline_s = time.monotonic() + limit_s
    with process:
        try:
            while time.monotonic() < deadline_s:
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(unsent, timeout=_TICK_S)
                    return process.returncode
                unsent = None  # sent by the first call
                waiting()
            return None
        finally:
            process.kill()  # no effect on a process that has ended


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _main(request: str, answer: Path) -> None:
    """Entry point of the check process; a plugin that hangs ends the process."""

    def write(result: dict[str, Any]) -> None:
        answer.write_text(json.dumps(result), encoding="utf-8")

    def overdue(message: str) -> None:
        problem = f"{message}; raise its timeout_s, or take it out"
        write({"code": PluginError.code, "problems": [("", problem)]})
        os._exit(1)

    write(_answer(request, overdue))


def _answer(request: str, overdue: Callable[[str], None]) -> dict[str, Any]:
    from bridge.plugins.host import open_plugin, parameter_facts, parameter_problems
    from bridge.render.alignment import check_alignment

    name, content = json.loads(request)
    content["parameters"] = dict(content["parameters"])
    kind: type[Plugin] = {each.effect_name: each for each in (Vst3, AudioUnit)}[name]
    effect = kind.model_validate(content)
    try:
        found = parameter_problems(effect, parameter_facts(open_plugin(effect, overdue)))
        if found:
            return {"code": PresetError.code, "problems": found}
        check_alignment([effect], RATE_HZ, CHANNELS)
    except StembridgeError as error:
        return {"code": error.code, "problems": [("", str(error))]}
    return {"code": "", "problems": []}


if __name__ == "__main__":
    _main(sys.stdin.read(), Path(sys.argv[1]))
