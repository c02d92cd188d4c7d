"""DAWs without their windows: Ardour by its scripting interface, LMMS by its command line."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support import require

OPEN = Path(__file__).with_name("open_session.lua")
TIMEOUT_S = 120  # of a loaded machine
# Ardour 7.3 sometimes aborts with a damaged heap when a script exports audio: also from a session
# that it saved itself, about one time in six; LMMS 1.2 more rarely. Such an end is tried again.
ATTEMPTS = 6
PRESET_ID = "7d1f4c52-5f0e-4b39-93c0-0c6f2b6a5a11"
BWAV_24BIT_EXPORT = "e61c1d0f-95bd-48fb-b812-def99dbabe28"  # a format that comes with Ardour
PRESET = f"""<?xml version="1.0" encoding="UTF-8"?>
<ExportPreset id="{PRESET_ID}" name="stembridge test">
  <ExportFormat id="{BWAV_24BIT_EXPORT}"/>
  <ExportFilename>
    <Folder relative="true" path="/export"/>
    <Field name="label" enabled="false"/>
    <Field name="session" enabled="false"/>
    <Field name="revision" enabled="false"/>
    <Field name="time" enabled="false" value="T_None"/>
    <Field name="date" enabled="false" value="D_None"/>
  </ExportFilename>
</ExportPreset>
"""


@dataclass(frozen=True)
class Region:
    """A region as Ardour has it; faded: whether either fade is on."""

    track: str
    name: str
    start_frames: int
    length_frames: int
    offset_frames: int
    channels: int
    faded: bool


@dataclass(frozen=True)
class Opened:
    """What Ardour says of a session."""

    rate_hz: int
    muted: dict[str, bool]
    outputs: dict[str, int]
    regions: list[Region]
    marks: dict[str, int]
    said: str


class Ardour:
    """Ardour 7 with settings of its own."""

    def __init__(self, folder: Path) -> None:
        self._program = require.program("ardour7-lua", "ardour")
        self._home = folder / "home"
        presets = self._home / "ardour7" / "export"
        presets.mkdir(parents=True)
        (presets / "test.preset").write_text(PRESET, "utf-8")

    def open(self, session_file: Path, rate_hz: int, *export: object) -> Opened:
        """Opens a session; export: folder, name without suffix, first frame, end."""
        place = (str(session_file.parent), session_file.stem, str(rate_hz))
        wanted = (*(str(part) for part in export), PRESET_ID) if export else ()
        ended = self._run(*place, *wanted)
        said = (ended.stdout + ended.stderr).decode("utf-8", "replace")
        assert ended.returncode == 0, said
        lines = ended.stdout.decode("utf-8").splitlines()
        rows = [line[1:].split("\t") for line in lines if line[:1] == "@"]
        if export:
            assert ["export", "true"] in rows, said
        return parsed(rows, said)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        places = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
        command = [self._program, str(OPEN), *arguments]
        return insistently(command, {**os.environ, **dict.fromkeys(places, str(self._home))})


def parsed(rows: list[list[str]], said: str) -> Opened:
    (rate,) = (int(float(row[1])) for row in rows if row[0] == "session")
    tracks = [row[1:] for row in rows if row[0] == "track"]
    regions = [
        Region(track, name, int(start), int(length), int(offset), int(channels), faded == "true")
        for kind, *rest in rows
        if kind == "region"
        for track, name, start, length, offset, channels, faded, _ in [rest]
    ]
    return Opened(
        rate_hz=rate,
        muted={name: muted == "true" for name, muted, *_ in tracks},
        outputs={name: int(outputs) for name, *_, outputs in tracks},
        regions=regions,
        marks={row[1]: int(row[2]) for row in rows if row[0] == "place" and row[4] == "true"},
        said=said,
    )


class Lmms:
    """LMMS 1.2, without a screen."""

    PROJECTS = Path("/usr/share/lmms/projects")

    def __init__(self) -> None:
        self._program = require.program("lmms", "lmms")

    def render(self, project: str, path: Path, rate_hz: int) -> None:
        """Renders one of its own demo projects, as its export dialogue does."""
        found = self.PROJECTS / project
        if not found.exists():
            require.lack(f"needs {project} (Debian package lmms-common)")
        as_root = ("--allowroot",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()
        command = [self._program, *as_root, "render", str(found)]
        command += ["-f", "wav", "-s", str(rate_hz), "-o", str(path)]
        ended = insistently(command, {**os.environ, "QT_QPA_PLATFORM": "offscreen"})
        assert ended.returncode == 0, ended.stderr.decode("utf-8", "replace")


def insistently(
    command: list[str], environment: dict[str, str]
) -> subprocess.CompletedProcess[bytes]:
    """Runs a program; only an end by a signal is tried again."""
    for attempt in range(ATTEMPTS):
        ended = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if ended.returncode >= 0 or attempt == ATTEMPTS - 1:
            break
    return ended
