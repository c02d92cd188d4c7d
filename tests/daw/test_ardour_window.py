"""Ardour with its window, on a screen that nobody sees: an export, and the stems come back by hook.

The service is the real one. Ardour keeps its hooks as bytecode, which Lua 5.3 makes.
"""

from __future__ import annotations

import base64
import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest

from bridge.daw import ardour
from bridge.daw.session import Clip, Session, SoundFile, Track
from tests.daw.headless import PRESET, PRESET_ID
from tests.daw.sets import noise_24, read_24, write_24
from tests.support import ROOT, require
from tests.tiny_model import write_tiny_model
from tests.waiting import wait_until
from tests.watch_service import Studio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.worker.client import Worker

HOOK = ROOT / "examples" / "daw" / "ardour" / "stembridge_import.lua"
USER = Path(__file__).with_name("ardour_window.lua")
RATE_HZ = 48_000
START_FRAMES, FRAMES = 96_123, 50_001  # as the user exports
PATIENCE_S = 300.0
# Which signals a hook hears, a bit for each: all of them, whatever their numbers are.
SIGNALS = "1" * 128

# An engine without a device, and no question at the start; in the words of Ardour's own files.
CONFIG = f"""<?xml version="1.0" encoding="UTF-8"?>
<Ardour>
  <Config>
    <Option name="try-autostart-engine" value="1"/>
    <Option name="hide-dummy-backend" value="0"/>
  </Config>
  <Extra><AudioMIDISetup><EngineStates>
    <State backend="None (Dummy)" driver="Normal Speed" device="Silence" input-device=""
      output-device="" sample-rate="{RATE_HZ}" buffer-size="1024" n-periods="0" input-latency="0"
      output-latency="0" input-channels="0" output-channels="0" active="1" use-buffered-io="0"
      midi-option="1 in, 1 out, Silence" lru="1"><MIDIDevices/></State>
  </EngineStates></AudioMIDISetup></Extra>
</Ardour>
"""

# Prints a hook as Ardour saves it: a chunk that sets `s`.
SAVE = """
local script, arguments = arg[1], { table.unpack(arg, 2) }
function ardour() end
dofile(script)
local function put(...) io.write(string.format(...)) end
put("s = {} s['n'] = %q s['s'] = %q ", "hook", io.open(script):read("a"))
put("s['f'] = %q s['a'] = {} ", string.dump(factory, true))
for index = 1, #arguments, 2 do put("s['a'][%q] = %q ", arguments[index], arguments[index + 1]) end
"""


def saved(script: Path, scratch: Path, **arguments: object) -> str:
    """The element that makes Ardour load a hook."""
    program = scratch / "save.lua"
    program.write_text(SAVE)
    words = [str(word) for pair in arguments.items() for word in pair]
    lua = require.program("lua5.3", "lua5.3")
    made = subprocess.run([lua, program, script, *words], capture_output=True, check=True).stdout
    text = base64.b64encode(made).decode()
    facts = {"lua": "Lua 5.3", "id": 9000 + len(words), "name": script.stem, "signals": SIGNALS}
    written = " ".join(f"{name}={quoteattr(str(fact))}" for name, fact in facts.items())
    return f"<LuaCallback {written}>{text}</LuaCallback>"


def furnish(home: Path, hooks: str) -> None:
    """Ardour's settings, as if it had been used before."""
    place = home / "ardour7"
    (place / "export").mkdir(parents=True)
    (place / "export" / "test.preset").write_text(PRESET)
    (place / ".a7").write_text("")  # no greeting
    (place / "config").write_text(CONFIG)
    (place / "ui_scripts").write_text(
        f"<UIScripts><ActionHooks>{hooks}</ActionHooks></UIScripts>", "utf-8"
    )


@contextmanager
def running(command: list[str], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a group of its own, which ends with the block."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def screen(folder: Path) -> Iterator[str]:
    """The name of an X display."""
    program = require.program("Xvfb", "xvfb")
    log = folder / "screen.log"
    with running([program, "-displayfd", "1", "-screen", "0", "1400x900x24"], log):
        wait_until(lambda: log.read_text().endswith("\n"), "the screen")
        yield f":{log.read_text().split()[-1]}"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_export_comes_back_as_tracks(tmp_path: Path, worker: Worker) -> None:
    program = require.program("ardour", "ardour")
    studio = Studio(tmp_path, write_tiny_model(tmp_path), worker)
    music, place = tmp_path / "music.wav", tmp_path / "Song"
    write_24(music, noise_24(200_000, 2, seed=7), RATE_HZ)
    clip = Clip(SoundFile(music, 200_000, 2), "music", 0, 200_000)
    ardour.write(Session("Song", RATE_HZ, (Track("music", (clip,)),)), place)
    told = tmp_path / "told.log"
    told.write_text("")
    user = {"log": told, "preset": PRESET_ID, "bounces": studio.folder, "aside": tmp_path}
    home = tmp_path / "home"
    furnish(home, saved(HOOK, tmp_path, folder=studio.folder) + saved(USER, tmp_path, **user))

    places = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), str(home))
    child = studio.child().ready()
    try:
        with screen(tmp_path) as display:
            command = [program, "--no-splash", str(ardour.session_file(place))]
            log = tmp_path / "ardour.log"
            with running(command, log, DISPLAY=display, **places):
                wait_until(lambda: "done\n" in told.read_text(), "the user", PATIENCE_S)
    finally:
        child.end()

    rows = [line.split("\t") for line in told.read_text().splitlines()]
    assert [row for row in rows if row[0] == "error"] == []
    assert [row[1:] for row in rows if row[0] == "export"] == [
        [name, "true"] for name in ("Mix 3", "again", "Start")
    ]
    mix = [[f"Mix 3 - {stem}", START_FRAMES, FRAMES] for stem in ("vocals", "accompaniment")]
    start = [[f"Start - {stem}", 0, 30_000] for stem in ("vocals", "accompaniment")]
    first, second = (
        [
            [name, int(at), int(length)]
            for kind, name, at, length, faded in of_five(rows)
            if kind == which and faded == "false"
        ]
        for which in ("first", "second")
    )
    song = ["music", 0, 200_000]
    assert first == [song, *mix]
    assert second == [song, *mix, *start]
    # The original muted, the stems sound as it did.
    bounce, again = read_24(studio.folder / "Mix 3.wav"), read_24(tmp_path / "again.wav")
    assert bounce.shape == again.shape == (FRAMES, 2)
    assert np.abs(bounce).max() > 2**21
    assert np.abs(again - bounce).max() <= 1  # of 24 bit


def of_five(rows: list[list[str]]) -> Iterator[list[str]]:
    return (row for row in rows if len(row) == 5)
