"""The REAPER script under both Luas, in a REAPER of tables that checks every call.

The renderer of that REAPER writes real files, and a real service answers.
"""

from __future__ import annotations

import json
import os
import subprocess
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.presets import loader as presets
from bridge.publish.output_names import legal_name
from tests.bounces import music
from tests.daw.sets import read_24
from tests.hypothesis_profiles import examples
from tests.support import ROOT, require
from tests.tiny_model import write_tiny_model
from tests.watch_service import Studio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.worker.client import Worker
    from tests.watch_service import Child

SCRIPT = ROOT / "examples" / "daw" / "reaper" / "stembridge_stems.lua"
FAKE = Path(__file__).parent / "reaper_fake"
LUAS = ("5.3", "5.4")
RATE_HZ = 44_100
TIMEOUT_S = 120  # of a loaded machine
# Each example starts a Lua, which may take its time on a loaded machine.
MANY = settings(
    max_examples=examples(15),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(params=LUAS)
def lua(request: pytest.FixtureRequest) -> str:
    return require.program(f"lua{request.param}", f"lua{request.param}")


def run(command: list[str | Path], stdin: str = "", **environment: str) -> list[list[str]]:
    """The lines that a program prints, each split at its tabs."""
    ended = subprocess.run(
        [str(word) for word in command],
        input=stdin.encode(),
        env={**os.environ, **environment},
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b""), ended.stderr.decode()
    return [line.split("\t") for line in ended.stdout.decode("utf-8").split("\n")[:-1]]


def call(lua: str, module: str, function: str, *calls: list[Any]) -> list[list[Any]]:
    """What a function of the script returns for each list of arguments, after whether it did."""
    lines = "".join(f"{json.dumps(arguments)}\n" for arguments in calls)
    told = run([lua, FAKE / "call.lua", SCRIPT.parent, module, function], lines)
    return [json.loads(line) for (line,) in told]


# --- the parts ---

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, min_size=1) | st.dictionaries(st.text(), inner, min_size=1),
    max_leaves=20,
)


@MANY
@given(st.lists(JSON, min_size=1, max_size=20), st.booleans(), st.sampled_from([None, 1]))
def test_json_is_read_as_python_writes_it(
    lua: str, values: list[Any], ascii_only: bool, indent: int | None
) -> None:
    texts = [json.dumps(value, ensure_ascii=ascii_only, indent=indent) for value in values]
    read = call(lua, "json", "decode", *([text] for text in texts))
    assert read == [[True, value] for value in values]


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "{", "[", '"', "nul", "tru e", "01", "-", "+1", ".5", "1.", "[1,]", "[1 2]"),
        *('{"a"}', '{"a":}', "{a:1}", '{"a":1,}', "1 2", '"\\x"', '"\\u12"', "'a'", '"a\nb"'),
        *("NaN", "Infinity", "[" * 200 + "]" * 200, "\x00", "// a\n1"),
    ],
)
def test_what_is_no_json_is_refused(lua: str, text: str) -> None:
    ((good, reason),) = call(lua, "json", "decode", [text])
    assert not good
    assert reason.startswith("not JSON at byte ")


def test_a_name_that_is_no_text_comes_back_as_its_bytes(lua: str, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"path": os.fsdecode(b"Mix \xff\xe9.wav")}))
    code = (
        f"package.path='{SCRIPT.parent}/?.lua'; local f=io.open('{file}'); "
        "io.write(require('stembridge.json').decode(f:read('a')).path)"
    )
    told = subprocess.run([lua, "-e", code], capture_output=True, check=True).stdout
    assert told == b"Mix \xff\xe9.wav"


@MANY
@given(st.lists(st.text(max_size=300), min_size=1, max_size=50))
def test_a_safe_name_is_the_name_of_the_folder_that_the_service_makes(
    lua: str, titles: list[str]
) -> None:
    told = call(lua, "plan", "safe_name", *([title] for title in titles))
    for (_, name), title in zip(told, titles, strict=True):
        assert not {*name} & {*'<>:"/\\|?*$;'}, title
        assert 0 < len(name.encode()) <= 101
        if unicodedata.is_normalized("NFC", name):
            assert legal_name(name) == name


@pytest.mark.parametrize(
    "title", ["con", "NUL.tar", "Com1", "lpt9 .x", "..", " a. ", "e\u0301", "\x85"]
)
def test_odd_names_too(lua: str, title: str) -> None:
    ((_, name),) = call(lua, "plan", "safe_name", [title])
    assert legal_name(name) == name


@pytest.mark.parametrize(
    ("source", "start_s", "offset_s", "position_s"),
    [
        ({"time_reference": 96_123, "rate_hz": 48_000}, 96_123 / 48_000, 0, 96_123 / 48_000),
        # the start between two frames: where the file says
        ({"time_reference": 96_123, "rate_hz": 48_000}, 2.00257, 0, 96_123 / 48_000),
        # the project begins at an hour
        ({"time_reference": 3_000_000_000, "rate_hz": 96_000}, 27_650, 3600, 27_650),
        # a program that leaves the time out, or counts it from somewhere else
        ({"time_reference": None, "rate_hz": 48_000}, 2.5, 0, 2.5),
        ({"time_reference": 0, "rate_hz": 48_000}, 2.5, 0, 2.5),
        ({"time_reference": 99, "rate_hz": 48_000}, 2.5, 3600, 2.5),
    ],
)
def test_the_place_of_a_bounce(
    lua: str, source: dict[str, Any], start_s: float, offset_s: float, position_s: float
) -> None:
    ((_, found),) = call(lua, "plan", "position", [source, start_s, offset_s])
    assert found == position_s


@MANY
@given(st.floats(0, 1e5), st.floats(0, 1e3), st.sampled_from([0, 44_100, 48_000, 96_000]))
def test_a_range_lies_on_whole_frames(lua: str, start_s: float, length_s: float, rate: int) -> None:
    end_s = start_s + length_s
    ((_, found, *reason),) = call(lua, "plan", "range", [start_s, end_s, rate])
    if reason:
        assert end_s - start_s <= (1 / rate if rate else 0)
        return
    for name, wanted_s in (("start_s", start_s), ("end_s", end_s)):
        if rate:
            assert abs(found[name] * rate - round(found[name] * rate)) < 1e-5
            assert abs(found[name] - wanted_s) <= 0.5 / rate + 1e-9
        else:
            assert found[name] == wanted_s


@pytest.mark.parametrize("name", ["", "karaoke", "mix-ready", "my own 2", "a.b"])
def test_a_sidecar_is_a_preset(lua: str, tmp_path: Path, name: str) -> None:
    ((_, text),) = call(lua, "plan", "sidecar", [name])
    if not name:
        assert text is None
        return
    if name not in presets.find():
        text = text.replace(name, "karaoke")
    (tmp_path / "Mix.wav.yaml").write_text(text)
    assert presets.load_beside(tmp_path / "Mix.wav.yaml").summary


@pytest.mark.parametrize("name", ["../x", "a/b", 'a"b', "a\\b", "a\nb", " a", "-a", "é", "a:b"])
def test_what_cannot_be_a_preset_is_refused(lua: str, name: str) -> None:
    ((_, text, reason),) = call(lua, "plan", "sidecar", [name])
    assert text is None
    assert "is no name of a preset" in reason


MANIFEST = {
    "generator": "stembridge",
    "schema": 1,
    "source": {"path": "/b/Mix.wav", "time_reference": None, "rate_hz": 48_000},
    "stems": [{"name": "vocals", "path": "Mix - vocals.wav", "frames": 480, "rate_hz": 48_000}],
}


@pytest.mark.parametrize(
    "change",
    [
        {"generator": "other"},
        {"schema": 2},
        {"stems": []},
        {"stems": [{**MANIFEST["stems"][0], "path": "../Mix.wav"}]},  # type: ignore[index]
        {"stems": [{**MANIFEST["stems"][0], "path": None}]},  # type: ignore[index]
    ],
)
def test_a_manifest_that_is_not_as_it_should_be_is_refused(
    lua: str, change: dict[str, Any]
) -> None:
    good, bad = call(
        lua, "plan", "stems", [MANIFEST, "/s", 1.5, 0], [{**MANIFEST, **change}, "/s", 1.5, 0]
    )
    assert good[1] == [
        {"name": "vocals", "path": "/s/Mix - vocals.wav", "position_s": 1.5, "length_s": 0.01}
    ]
    assert bad[1] is None
    assert "manifest" in bad[2]


def test_the_log_is_where_the_service_keeps_it(lua: str) -> None:
    code = (
        f"package.path='{SCRIPT.parent}/?.lua'; local plan=require('stembridge.plan'); "
        "local env={HOME='/h', LOCALAPPDATA='/l'}; local get=function(n) return env[n] end; "
        "for _, os in ipairs({'Other', 'OSX64', 'macOS-arm64', 'Win64'}) do "
        "print(plan.log_path(get, os)) end; env.XDG_STATE_HOME='/x'; print(plan.log_path(get, "
        "'Other')); env.STEMBRIDGE_STATE_DIR='/s'; print(plan.log_path(get, 'Win64'))"
    )
    places = [line.removesuffix("/log/service.jsonl") for (line,) in run([lua, "-e", code])]
    mac = "/h/Library/Application Support/stembridge"
    windows = "/l/stembridge/stembridge"
    assert places == ["/h/.local/state/stembridge", mac, mac, windows, "/x/stembridge", "/s"]


# --- the whole ---


@dataclass(frozen=True)
class Told:
    """How the project looks at the end."""

    rows: list[list[str]]

    def of(self, kind: str) -> list[list[str]]:
        return [row[1:] for row in self.rows if row[0] == kind]

    @property
    def messages(self) -> list[str]:
        return [text for (text,) in self.of("message")]

    def stems(self) -> list[tuple[str, float, float, Path]]:
        """Track, position and length in frames, and file, of what was placed."""
        found = []
        for track, position, length, _, name, path, *rest in self.of("item"):
            if path:
                assert track == name
                assert [float(value) for value in rest] == [0, 0, -1, -1, 0, 0], "fades, loop, base"
                place = (float(position) * RATE_HZ, float(length) * RATE_HZ)
                found.append((track, *place, Path(path)))
        return found


@dataclass(frozen=True)
class Desk:
    """A project's music, the folder that is watched, and what the service would read."""

    music: Path
    studio: Studio

    def play(self, lua: str, scene: str, preset: str = "") -> Told:
        rows = run(
            [lua, FAKE / "scene.lua", SCRIPT, self.music, self.studio.folder, preset, scene],
            STEMBRIDGE_STATE_DIR=str(self.studio.settings.state_dir),
        )
        told = Told(rows)
        assert told.of("complaint") == []
        return told


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, worker: Worker) -> Desk:
    root = tmp_path_factory.mktemp("reaper")
    path = root / "music.wav"
    soundfile.write(path, music(100_000).T, RATE_HZ, subtype="PCM_24")
    return Desk(path, Studio(root, write_tiny_model(root), worker))


@pytest.fixture(scope="module")
def service(desk: Desk) -> Iterator[Child]:
    child = desk.studio.child("--skip-silent").ready()
    yield child
    child.process.kill()
    child.process.wait()


def check_sum(desk: Desk, stems: list[tuple[str, float, float, Path]], start: int) -> None:
    """Played at their places, the stems are the music that was there."""
    whole = read_24(desk.music)
    total = np.zeros_like(whole)
    for _, position, length, path in stems:
        assert position == pytest.approx(start, abs=1e-6)
        wave = read_24(path)
        assert length == pytest.approx(len(wave), abs=1e-6)
        total[round(position) : round(position) + len(wave)] += wave
    stop = start + len(read_24(stems[0][3]))
    assert np.abs(total - whole)[start:stop].max() <= 1
    assert np.abs(total[:start]).sum() == np.abs(total[stop:]).sum() == 0


def test_the_stems_of_an_item_come_to_its_place(lua: str, desk: Desk, service: Child) -> None:
    told = desk.play(lua, "item")
    assert told.messages == []
    tracks = told.of("track")
    name = tracks[2][0].removesuffix(" stems")
    assert name.startswith("Mix 3")
    # after the item's track, within its folder
    assert [(track, int(float(depth))) for track, depth, _ in tracks] == [
        ("drums", 0),
        ("band", 1),
        (f"{name} stems", 1),
        ("vocals", 0),
        ("accompaniment", -1),
        ("late", -1),
        ("empty", 0),
    ]
    assert {mute for *_, mute in tracks} == {"0"}
    muted = [row[0] for row in told.of("item") if float(row[3]) == 1]
    assert muted == ["band"]
    assert [track for track, *_ in told.stems()] == ["vocals", "accompaniment"]
    check_sum(desk, told.stems(), 30_000)
    assert told.of("undo") == [[f"Stembridge: stems of {name}"]]
    assert told.of("sidecar") == [["false"]]
    assert ["stembridge.folder", str(desk.studio.folder)] in told.of("kept")


@pytest.mark.parametrize(
    ("scene", "start"),
    [("range", round(0.6234567 * RATE_HZ)), ("offset", 25_001), ("no_reference", 25_001)],
)
def test_the_stems_of_a_range_come_to_its_place(
    lua: str, desk: Desk, service: Child, scene: str, start: int
) -> None:
    told = desk.play(lua, scene)
    assert told.messages == []
    tracks = told.of("track")
    assert [float(depth) for _, depth, _ in tracks] == [0, 1, -1, 0, 1, 0, -1]
    # what plays in the range, and nothing else
    assert [name for name, _, mute in tracks if float(mute)] == ["drums", "band"]
    check_sum(desk, told.stems(), start)
    assert len(told.of("undo")) == 1


def test_the_preset_goes_with_the_bounce(lua: str, desk: Desk, service: Child) -> None:
    told = desk.play(lua, "item", "karaoke")
    assert told.messages == []
    assert [track for track, *_ in told.stems()] == ["karaoke"]
    assert told.of("sidecar") == [["true"]]


def test_an_odd_name_is_made_a_file_name(lua: str, desk: Desk, service: Child) -> None:
    told = desk.play(lua, "name")
    assert told.messages == []
    assert told.stems()[0][3].parent.name.startswith("A_B _take _é_")


def test_what_the_service_says_against_a_bounce_is_shown(
    lua: str, desk: Desk, service: Child
) -> None:
    told = desk.play(lua, "silent")
    (message,) = told.messages
    assert "skipped: silent, all 50,000 frames are digital silence" in message
    assert told.of("undo") == []
    assert len(told.of("track")) == 4


def test_a_file_that_reaper_cannot_open_leaves_all_in_order(
    lua: str, desk: Desk, service: Child
) -> None:
    told = desk.play(lua, "unreadable")
    (message,) = told.messages
    assert "REAPER cannot open " in message
    assert len(told.of("undo")) == 1  # one undo takes back what was begun


def test_a_closed_project_gets_nothing(lua: str, desk: Desk) -> None:
    told = desk.play(lua, "closed")
    assert (told.messages, told.of("undo"), told.of("turns")) == ([], [], [["1"]])


def test_a_deleted_item_does_not_matter(lua: str, desk: Desk, service: Child) -> None:
    told = desk.play(lua, "deleted")
    assert told.messages == []
    assert [name for name, *_ in told.of("track")][-2:] == ["vocals", "accompaniment"]
    check_sum(desk, told.stems(), 30_000)


@pytest.mark.parametrize(
    ("scene", "preset", "message"),
    [
        ("nothing", "", "select one item, or a time range"),
        ("no_folder", "", "name the folder that `stembridge watch` looks at"),
        ("item", "no/preset", "'no/preset' is no name of a preset; see `stembridge presets list`"),
        ("cancel", "", "the render was cancelled, or failed: there is no "),
        ("waits", "", "no stems after 30 minutes; is `stembridge watch` running?"),
    ],
)
def test_what_goes_wrong_is_told_and_changes_nothing(
    lua: str, tmp_path: Path, desk: Desk, scene: str, preset: str, message: str
) -> None:
    alone = Desk(desk.music, Studio(tmp_path, desk.studio.model, desk.studio.worker))
    told = alone.play(lua, scene, preset)
    (text,) = told.messages
    assert message in text
    assert told.of("undo") == []
    assert len(told.of("track")) == 4


def test_who_cancels_is_not_asked_again(lua: str, desk: Desk) -> None:
    told = desk.play(lua, "no_answer")
    assert (told.messages, told.of("undo")) == ([], [])


def test_every_function_on_the_list_is_used(desk: Desk, service: Child) -> None:
    """So that the list does not grow old."""
    lua = require.program("lua5.4", "lua5.4")
    called = {name for scene in ("item", "range") for (name,) in desk.play(lua, scene).of("called")}
    called |= {"ShowMessageBox", "GetAudioDeviceInfo"}
    code = f"package.path='{FAKE}/?.lua'; for n in pairs(require('api').arguments) do print(n) end"
    assert {name for (name,) in run([lua, "-e", code])} == called


@pytest.mark.parametrize("version", LUAS)
def test_every_script_compiles(version: str) -> None:
    luac = require.program(f"luac{version}", f"lua{version}")
    for file in sorted((ROOT / "examples").rglob("*.lua")):
        subprocess.run([luac, "-p", str(file)], check=True, capture_output=True)
