"""The import hook for Ardour: under plain Lua with an Ardour of tables, and in Ardour itself."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bridge.daw import ardour
from tests.daw.sets import manifest, session, write_set
from tests.support import ROOT, require

SCRIPT = ROOT / "examples" / "daw" / "ardour" / "stembridge_import.lua"
DRIVER = Path(__file__).with_name("ardour_hook.lua")
READER = ROOT / "examples" / "daw" / "reaper" / "stembridge" / "json.lua"
RATE_HZ = 48_000
START_FRAMES = 96_123
FRAMES = 50_001
NAMES = ["vocals", "other"]
HALF_AN_HOUR_TICKS = 18_200
TIMEOUT_S = 120  # of a loaded machine


@dataclass(frozen=True)
class Scene:
    """A watched folder with stems whose manifest is still to come."""

    folder: Path
    data: dict[str, Any]

    @property
    def export(self) -> Path:
        return self.folder / "Mix 3.wav"

    @property
    def stems(self) -> Path:
        return self.folder / "Stems" / "Mix 3"

    def new(self) -> Path:
        file = self.folder / "new.json"
        file.write_text(json.dumps(self.data))
        return file

    def run(
        self,
        program: str,
        *more: object,
        off: int = 0,
        start: int = START_FRAMES,
        comes: bool = True,
        **environment: str,
    ) -> list[list[str]]:
        arguments = (self.folder, self.export, start, off, *more)
        manifest_file = {"MANIFEST": str(self.new())} if comes else {}
        shape = {"STEM_FRAMES": str(FRAMES), **manifest_file, **environment}
        for _ in range(6):  # Ardour 7.3 sometimes aborts as it ends; see test_ardour.py
            ended = subprocess.run(
                [program, str(DRIVER), str(SCRIPT), *map(str, arguments)],
                env={**os.environ, "HOME": str(self.folder), **shape},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
            )
            if ended.returncode >= 0:
                break
            if comes:
                self.new()
                (self.stems / "manifest.json").unlink(missing_ok=True)
        said = (ended.stdout + ended.stderr).decode("utf-8", "replace")
        assert ended.returncode == 0, said
        assert "rror:" not in said, said
        lines = ended.stdout.decode("utf-8").splitlines()
        rows = [line[1:].split("\t") for line in lines if line[:1] == "@"]
        assert [row for row in rows if row[0] == "complaint"] == []
        return rows


def of(rows: list[list[str]], kind: str) -> list[list[str]]:
    return [row[1:] for row in rows if row[0] == kind]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path / "Bounces é", {})
    made.stems.mkdir(parents=True)
    made.data.update(
        manifest(made.export, NAMES, frames=FRAMES, rate_hz=RATE_HZ, time_reference=START_FRAMES)
    )
    return made


@pytest.fixture(params=["5.3", "5.4"])
def lua(request: pytest.FixtureRequest) -> str:
    return require.program(f"lua{request.param}", f"lua{request.param}")


PLACED = [[f"Mix 3 - {name}", str(START_FRAMES), str(FRAMES), "false"] for name in NAMES]


@pytest.mark.parametrize("off", [0, 7, -7])
def test_stems_come_to_the_time_reference_without_fades(lua: str, scene: Scene, off: int) -> None:
    rows = scene.run(lua, off=off)
    assert of(rows, "before") == [["0"]]
    assert of(rows, "after") == [["2"]]
    assert of(rows, "region") == [["before", "0", "100", "true"], *PLACED]
    assert of(rows, "message") == []


@pytest.mark.parametrize("reference", [None, 0])
def test_without_a_time_reference_they_come_to_where_the_export_began(
    lua: str, scene: Scene, reference: int | None
) -> None:
    scene.data["source"]["time_reference"] = reference
    rows = scene.run(lua, start=START_FRAMES if reference is None else 0)
    places = [row[1] for row in of(rows, "region")[1:]]
    assert places == [str(START_FRAMES if reference is None else 0)] * 2


def test_the_stems_of_an_earlier_export_are_not_taken(lua: str, scene: Scene) -> None:
    (scene.stems / "manifest.json").write_text(json.dumps({**scene.data, "seconds": {"old": 1}}))
    rows = scene.run(lua)
    assert (of(rows, "before"), of(rows, "after")) == ([["0"]], [["2"]])
    scene_again = scene.run(lua, comes=False)
    assert of(scene_again, "after") == [["0"]]


def test_when_nothing_comes_it_says_so_once(lua: str, scene: Scene) -> None:
    rows = scene.run(lua, comes=False, TICKS=str(2 * HALF_AN_HOUR_TICKS))
    assert of(rows, "after") == [["0"]]
    assert of(rows, "message") == [["Mix 3.wav: no stems came; is `stembridge watch` running?"]]


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("generator", "other", "Mix 3.wav: the manifest cannot be read"),
        ("rate_hz", None, "Mix 3.wav: the stems have another rate than the session"),
        ("path", "/b/Other.wav", "Mix 3.wav: the manifest is about Other.wav"),
        ("rate_hz", 44_100, "Mix 3.wav: the stems have another rate than the session"),
    ],
)
def test_what_does_not_fit_is_told_and_not_imported(
    lua: str, scene: Scene, part: str, value: object, message: str
) -> None:
    (scene.data if part == "generator" else scene.data["source"])[part] = value
    rows = scene.run(lua)
    assert of(rows, "message") == [[message]]
    assert of(rows, "after") == [["0"]]


def test_a_manifest_without_its_parts_ends_no_hook(lua: str, scene: Scene) -> None:
    """It is told, and the hook, which Ardour would drop if it raised, goes on."""
    del scene.data["source"]
    rows = scene.run(lua, TICKS="100")
    ((message,),) = of(rows, "message")
    assert "source" in message
    assert of(rows, "after") == [["0"]]


def test_another_length_is_told(lua: str, scene: Scene) -> None:
    rows = scene.run(lua, STEM_FRAMES=str(FRAMES + 1))
    told = [f"Mix 3 - {name}.wav: it has another length than its file" for name in NAMES]
    assert of(rows, "message") == [[text] for text in told]


@pytest.mark.parametrize("off", [0, 7])
def test_in_ardour_itself(scene: Scene, tmp_path: Path, off: int) -> None:
    program = require.program("ardour7-lua", "ardour")
    write_set(scene.export, NAMES, frames=FRAMES, rate_hz=RATE_HZ)
    # A session that has their regions, at another place: an import needs a window.
    made = session(scene.export, NAMES, frames=FRAMES, rate_hz=RATE_HZ, time_reference=0)
    place = tmp_path / "Regions (Ardour)"
    ardour.write(made, place)
    file = ardour.session_file(place)
    rows = scene.run(program, place, file.stem, RATE_HZ, off=off)
    assert of(rows, "message") == []
    assert of(rows, "after") == [["2"]]
    assert [row for row in of(rows, "region") if row[0].startswith("Mix 3 - ")] == PLACED


def test_the_reader_of_json_is_that_of_the_other_script() -> None:
    """Ardour keeps one function of one file, so that the reader stands there too."""
    ours = (
        SCRIPT.read_text("utf-8").split("as it is there ---\n")[1].split("  -- --- end of the")[0]
    )
    theirs = READER.read_text("utf-8").split("local json = {}")[1].rsplit("return json", 1)[0]
    unindented = [line.removeprefix("  ") for line in ours.strip().splitlines()]
    assert unindented[0] == "local json = {}"
    assert "\n".join(unindented[1:]).strip() == theirs.strip()
