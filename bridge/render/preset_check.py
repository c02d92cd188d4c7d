"""What a preset needs of this machine, before it is put to work.

Its plugins are tried in a process of their own: one that hangs or crashes harms nobody else.

    check_preset ─► python -m bridge.render.preset_check < effects ─► answers, in a file

Used before a preset is taken into service, and by `presets check`.
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
from bridge.presets.loader import origin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.presets.loader import Preset

# Where a preset is tried: the rate and the width of most bounces.
RATE_HZ, CHANNELS = 48_000.0, 2
# Python, numpy and pedalboard have to be loaded too, on a machine with other work.
_START_S = 30.0
# It is loaded once and measured, with an instance for each channel and signal.
_LOADS = 12
# How late the end of the service may be noticed meanwhile.
_TICK_S = 0.1


def check_preset(
    preset: Preset,
    waiting: Callable[[], None] = lambda: None,
    variables: Mapping[str, object] | None = None,
) -> None:
    """Loads and runs every plugin of a preset; looks for what its format and session files need.

    waiting: is called several times a second; what it raises ends the trial and is passed on.
    variables: those that the preset was loaded with, to find its lines again.

    Raises PresetError with a line for each thing that is wrong in the file, PluginError for a
    plugin that does not load in its time or takes its process down.
    """
    found = [
        origin(preset.path).problem(("session", index), text)
        for index, text in session_formats.lacking(preset.session)
    ]
    lacking = preset.output.missing()
    if lacking:
        found.append(f"{preset.path}: {lacking}")
    for place, effect in preset.all_effects():
        if not isinstance(effect, Plugin):
            continue
        for parameter, message in check_plugin(effect, waiting):
            location = (*place, "parameters", parameter) if parameter else place
            found.append(origin(preset.path, variables).problem(location, message))
    if found:
        raise PresetError(*found)


def check_plugin(
    effect: Plugin, waiting: Callable[[], None] = lambda: None
) -> list[tuple[str, str]]:
    """What is wrong with one plugin: (parameter or "", message). Raises PluginError."""
    label = Path(effect.plugin).name
    order = json.dumps([effect.effect_name, effect.model_dump(mode="json", exclude={"when"})])
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        code = _run_trial(order, answer, _START_S + _LOADS * effect.timeout_s, waiting)
        if code is None:
            raise PluginError(f"{label} does not come to an end; take it out")
        if not answer.exists():
            raise PluginError(f"{label} crashes ({_ending(code)}); take it out")
        told: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if told["code"] == PluginError.code:
        raise PluginError(told["problems"][0][1])
    return [(str(name), str(message)) for name, message in told["problems"]]


def _run_trial(order: str, answer: Path, limit_s: float, waiting: Callable[[], None]) -> int | None:
    """The exit code of the process that writes the answer; None where it had to be killed."""
    # Plugins write to both outputs as they like, so the answer goes into a file.
    command = [sys.executable, "-m", "bridge.render.preset_check", str(answer)]
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=nothing, stderr=nothing, text=True
    )
    left: str | None = order
    deadline_s = time.monotonic() + limit_s
    with process:
        try:
            while time.monotonic() < deadline_s:
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(left, timeout=_TICK_S)
                    return process.returncode
                left = None  # what is on its way already is not handed over again
                waiting()
            return None
        finally:
            process.kill()  # nothing happens to one that has ended


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _main(order: str, answer: Path) -> None:
    """In the process of its own: says what became of the plugin. One that hangs ends it."""

    def write(told: dict[str, Any]) -> None:
        answer.write_text(json.dumps(told), encoding="utf-8")

    def overdue(message: str) -> None:
        problem = f"{message}; raise its timeout_s, or take it out"
        write({"code": PluginError.code, "problems": [("", problem)]})
        os._exit(1)

    write(_answer(order, overdue))


def _answer(order: str, overdue: Callable[[str], None]) -> dict[str, Any]:
    from bridge.plugins.host import facts, opened, problems
    from bridge.render.alignment import check_alignment

    name, content = json.loads(order)
    content["parameters"] = dict(content["parameters"])
    kind: type[Plugin] = {each.effect_name: each for each in (Vst3, AudioUnit)}[name]
    effect = kind.model_validate(content)
    try:
        found = problems(effect, facts(opened(effect, overdue)))
        if found:
            return {"code": PresetError.code, "problems": found}
        check_alignment([effect], RATE_HZ, CHANNELS)
    except StembridgeError as error:
        return {"code": error.code, "problems": [("", str(error))]}
    return {"code": "", "problems": []}


if __name__ == "__main__":
    _main(sys.stdin.read(), Path(sys.argv[1]))
