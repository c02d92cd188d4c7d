"""Commands that need no separation: what they print, where, and with which exit code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge import __version__
from bridge.ledger.states import Recipe
from bridge.ledger.store import Ledger
from bridge.presets import loader as presets
from separator.weights import catalog
from tests.bounces import render
from tests.cli.command import all_commands, check_one_line_error
from tests.support import ROOT, require

if TYPE_CHECKING:
    from tests.cli.command import Desk, Inside

COMMANDS = (
    *("watch", "split", "presets", "models", "evaluate", "status", "retry", "reload", "doctor"),
    *("demo", "preview", "batch"),
)
HEAVY = ("torch", "pedalboard", "pydantic", "rich", "numpy", "soundfile", "watchdog", "yaml")
BAD_PRESET = ROOT / "tests" / "presets_bad" / "several.yaml"


def test_help_waits_for_nothing_heavy() -> None:
    """`--help` takes as long as its imports do."""
    code = (
        "import sys, bridge.cli as cli, typer.main as t; t.get_command(cli.app);"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "[]"


def test_the_commands_are_those_that_were_promised() -> None:
    tops = [path[0] for path in all_commands() if len(path) == 1]
    assert sorted(tops) == sorted(COMMANDS)
    assert {path for path in all_commands() if len(path) == 2} == {
        *(("presets", name) for name in ("list", "show", "check", "schema", "new")),
        *(("models", name) for name in ("list", "pull", "info", "import")),
    }


@pytest.mark.parametrize("path", [(), *all_commands()], ids=" ".join)
def test_every_command_explains_itself(inside: Inside, path: tuple[str, ...]) -> None:
    result = inside(*path, "--help")
    assert (result.code, result.err) == (0, "")
    assert f"Usage: {' '.join(('stembridge', *path))}" in result.out
    assert "\x1b" not in result.out
    assert max(map(len, result.out.splitlines())) <= 100
    said = result.out.split("Usage:")[1].split("╭")[0].splitlines()[1:]
    assert len(" ".join(said).split()) >= 4, "no sentence says what it does"


def test_version_and_help_in_a_process_of_their_own(desk: Desk) -> None:
    assert desk.run("--version").out == f"stembridge {__version__}\n"
    result = desk.run("-h")
    assert result.code == 0
    assert "\x1b" not in result.out
    assert "Exit codes: 0 success, 1 something failed, 2" in " ".join(result.out.split())
    assert list(desk.home.iterdir()) == []  # looking changes nothing


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--nonsense",), "No such option"),
        (("nonsense",), "No such command"),
        (("split",), "Missing argument"),
        (("watch",), "Missing argument"),
        (("watch", ".", "--twice"), "No such option"),
        (("split", "x.wav", "--presett", "y"), "--preset"),
        (("presets", "show"), "Missing argument"),
        (("models", "remove", "x"), "No such command"),
        (("status", "--limit", "0"), "limit"),
    ],
    ids=" ".join,
)
def test_what_was_not_understood_is_2(
    inside: Inside, arguments: tuple[str, ...], complaint: str
) -> None:
    result = inside(*arguments)
    assert (result.code, result.out) == (2, "")
    assert complaint in result.err
    assert "Traceback" not in result.err
    assert "\x1b" not in result.err


def test_errors_are_one_line_from_a_process_too(desk: Desk) -> None:
    result = desk.run("presets", "show", "karaok")
    assert check_one_line_error(result, 2) == (
        "no preset is named 'karaok'; did you mean 'karaoke'?"
    )


def test_presets_list_names_each_with_what_it_gives(inside: Inside, desk: Desk) -> None:
    result = inside("presets", "list")
    assert (result.code, result.err) == (0, "")
    for name, path in presets.find().items():
        (line,) = [line for line in result.out.splitlines() if line.strip().startswith(f"{name} ")]
        assert presets.load_file(path).summary in line
    assert "\x1b" not in result.out


def test_presets_show_prints_a_file_that_can_be_used(inside: Inside, desk: Desk) -> None:
    shown = inside("presets", "show", "mix-ready")
    assert shown.code == 0
    copy = desk.home / "mine.yaml"
    copy.write_text(shown.out)
    assert copy.read_bytes() == presets.find()["mix-ready"].read_bytes()
    checked = inside("presets", "check", "mine.yaml")
    assert (checked.code, checked.err) == (0, "")
    assert "mine.yaml: fine" in checked.out


def test_a_new_preset_is_the_user_s_own_and_can_be_used(inside: Inside, desk: Desk) -> None:
    for arguments in (("mine",), ("quiet one", "--from", "karaoke")):
        made = inside("presets", "new", *arguments)
        assert (made.code, made.err) == (0, "")
        path = Path(made.out.strip())
        assert desk.home in path.parents
        assert path.read_text(encoding="utf-8").count("#") > 3
        checked = inside("presets", "check", arguments[0])
        assert (checked.code, checked.err) == (0, "")
    quiet = presets.load("quiet one")
    assert quiet.mixdowns == presets.load("karaoke").mixdowns
    again = inside("presets", "new", "mine")
    assert "is there already" in check_one_line_error(again, 2)


@pytest.mark.parametrize("name", ["../evil", "a/b", "x.yaml", "-x", " "])
def test_a_new_preset_needs_a_name_that_is_one(inside: Inside, name: str) -> None:
    assert "cannot be a preset's name" in check_one_line_error(
        inside("presets", "new", "--", name), 2
    )


def test_presets_schema_is_json(inside: Inside) -> None:
    result = inside("presets", "schema")
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out)["title"] == "Stembridge preset"


def test_presets_check_gives_file_and_line_of_each_problem(inside: Inside) -> None:
    result = inside("presets", "check", "stems", str(BAD_PRESET), "karaok")
    assert result.code == 2
    assert "stems.yaml: fine" in result.out
    *places, unknown = result.err.splitlines()
    assert len(places) >= 3
    assert all(re.match(re.escape(str(BAD_PRESET)) + r":\d+: .+", line) for line in places)
    assert "did you mean 'karaoke'?" in unknown


def test_presets_check_takes_variables(inside: Inside, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(
        "schema: 2\nsummary: s\nvariables: {ceiling: -1}\n"
        "headroom: {mode: common, ceiling_dbfs: '${ceiling}'}\n"
    )
    assert inside("presets", "check", str(path), "--set", "ceiling=-3").code == 0
    loud = inside("presets", "check", str(path), "--set", "ceiling=3")
    assert loud.code == 2
    assert f"{path}:" in loud.err
    assert "ceiling_dbfs" in loud.err
    unknown = inside("presets", "check", str(path), "--set", "ceilin=3")
    assert unknown.code == 2
    assert "did you mean 'ceiling'?" in unknown.err


def test_models_list_names_each_with_stems_and_licence(inside: Inside) -> None:
    result = inside("models", "list")
    assert (result.code, result.err) == (0, "")
    for entry in catalog.models():
        (line,) = [
            row for row in result.out.splitlines() if row.strip().startswith(f"{entry.name} ")
        ]
        assert ", ".join(entry.stems) in line
        assert entry.licence.name in line


def test_models_info_says_where_weights_come_from(inside: Inside) -> None:
    result = inside("models", "info", "spleeter:2stems")
    assert result.code == 0
    assert "vocals, accompaniment" in result.out
    assert "MIT" in result.out
    bundle = catalog.load().weights[catalog.find("spleeter:2stems").weights]
    for source in bundle.sources:
        assert source.archive.sha256 in result.out
    assert re.search(r"https://\S+2stems\.tar\.gz", result.out)


def test_models_pull_needs_no_network_for_what_is_cached(inside: Inside) -> None:
    folder = require.weights()
    result = inside("models", "pull", "spleeter:2stems")
    assert (result.code, result.err) == (0, "")
    assert result.out == f"spleeter:2stems: {folder}\n"
    assert str(folder) in inside("models", "info", "spleeter:2stems").out


@pytest.mark.parametrize("command", ["info", "pull"])
def test_an_unknown_model_is_2_with_a_suggestion(inside: Inside, command: str) -> None:
    text = check_one_line_error(inside("models", command, "spleeter:2stem"), 2)
    assert "'spleeter:2stem'" in text
    assert "did you mean 'spleeter:2stems'?" in text


def test_a_wrong_archive_is_refused(inside: Inside, desk: Desk) -> None:
    desk.extra["STEMBRIDGE_CACHE_DIR"] = str(desk.home / "cache")
    (desk.home / "weights.tar.gz").write_bytes(b"not the archive")
    text = check_one_line_error(inside("models", "import", "spleeter:2stems", "weights.tar.gz"), 1)
    assert "weights.tar.gz" in text


def test_before_anything_was_watched_there_is_nothing_to_tell(inside: Inside, desk: Desk) -> None:
    status, retry = inside("status"), inside("retry")
    assert (status.code, retry.code) == (0, 0)
    assert "nothing has been watched yet" in status.out
    assert "nothing to retry" in retry.out
    assert not (desk.home / "state").exists()


def fill_ledger(desk: Desk) -> None:
    """Three bounces of two folders: done, failed, pending."""
    ledger = Ledger(desk.home / "state" / "ledger.sqlite3")
    now_s = time.time()
    for folder, name in (("one", "done.wav"), ("one", "bad\x1b[31m\n.wav"), ("two", "new.wav")):
        home = desk.home / folder
        recipe = Recipe("stems", "h", "m", "v", home / "Stems")
        ledger.offer(home, home / name, 1, 1, settled_s=now_s, recipe=recipe)
    job = ledger.claim_next(desk.home / "one", "a service", recipe)
    assert job is not None
    ledger.done(job, desk.home / "one" / "Stems" / "done" / "manifest.json")
    job = ledger.claim_next(desk.home / "one", "a service", recipe)
    assert job is not None
    ledger.failed(job, "silent", "silent: all 480 frames are digital silence", retryable=False)
    ledger.close()


def test_status_tells_what_became_of_each(inside: Inside, desk: Desk) -> None:
    fill_ledger(desk)
    result = inside("status")
    assert (result.code, result.err) == (0, "")
    rows = [line for line in result.out.splitlines() if ".wav" in line]
    assert [row.strip()[:12].strip() for row in rows] == ["done.wav", "bad [31m .wa", "new.wav"]
    assert str(desk.home / "one" / "Stems" / "done") in rows[0]
    assert "silent: all 480 frames are digital silence" in rows[1]
    assert " pending " in rows[2]
    assert result.out.splitlines()[-1] == "1 pending, 1 done, 1 failed"
    assert "\x1b" not in result.out  # also where a file name has one
    only = inside("status", "two").out
    assert "new.wav" in only
    assert "done.wav" not in only
    assert "done.wav" not in inside("status", "-n", "1").out


def test_status_as_json_has_all_of_it(inside: Inside, desk: Desk) -> None:
    nothing = json.loads(inside("status", "--json").out)
    assert (nothing["jobs"], nothing["services"]) == ([], [])
    assert set(nothing["counts"].values()) == {0}
    fill_ledger(desk)
    ledger = Ledger(desk.home / "state" / "ledger.sqlite3")
    service = ledger.services.begin(
        desk.home / "one", Recipe("karaoke", "h", "m", "v", desk.home / "one" / "Stems")
    )
    ledger.services.beat(service, service.recipe, "no room")
    result = inside("status", "--json")
    assert (result.code, result.err) == (0, "")
    told = json.loads(result.out)
    assert told["counts"] == {"pending": 1, "running": 0, "done": 1, "failed": 1, "withdrawn": 0}
    assert [job["state"] for job in told["jobs"]] == ["done", "failed", "pending"]
    assert told["jobs"][1]["bounce"] == str(desk.home / "one" / "bad\x1b[31m\n.wav")
    assert (told["jobs"][1]["code"], told["jobs"][1]["attempts"]) == ("silent", 1)
    (alive,) = told["services"]
    assert (alive["pid"], alive["paused"]) == (os.getpid(), "no room")
    assert json.loads(inside("status", "two", "--json").out)["services"] == []
    plain = inside("status").out
    (line,) = [line for line in plain.splitlines() if line.startswith("watching ")]
    assert f"watching {desk.home / 'one'} → " in line
    assert line.endswith(f"(process {os.getpid()}, preset karaoke); PAUSED: no room")
    ledger.services.end(service)
    ledger.close()
    assert json.loads(inside("status", "--json").out)["services"] == []


def test_a_reload_without_a_service_says_so(inside: Inside, desk: Desk) -> None:
    for _ in range(2):
        result = inside("reload", "one")
        assert (result.code, result.out) == (1, "")
        assert "no service is running on one" in result.err
        fill_ledger(desk)


def test_retry_takes_all_or_the_named_ones(inside: Inside, desk: Desk) -> None:
    fill_ledger(desk)
    assert "nothing to retry" in inside("retry", "one/done.wav").out
    assert inside("retry", "one/bad\x1b[31m\n.wav").out == "1 back in the queue\n"
    assert "nothing to retry" in inside("retry").out
    assert inside("status").out.splitlines()[-1] == "2 pending, 1 done"


def test_a_ledger_that_is_none_is_an_error_of_one_line(inside: Inside, desk: Desk) -> None:
    path = desk.home / "state" / "ledger.sqlite3"
    path.parent.mkdir()
    path.write_bytes(b"this is no database, whatever its name says. " * 100)
    text = check_one_line_error(inside("status"), 1)
    assert str(path) in text
    assert path.read_bytes().startswith(b"this is no database")


def test_doctor_examines_what_the_bridge_needs(inside: Inside) -> None:
    result = inside("doctor")
    assert (result.code, result.err) == (0, "")
    checks = {line.split()[1] for line in result.out.splitlines() if line[:4] in {" ok ", " -- "}}
    assert checks >= {"stembridge", "torch", "weights", "events", "stems", "av", "ledger"}
    if sys.platform.startswith("linux"):
        assert "inotify" in result.out
    assert re.search(r"state_dir +\S+ +environment \(STEMBRIDGE_STATE_DIR\)", result.out)
    assert not re.search(r"\bNone\b|\(\)|\bFalse\b", result.out)
    assert result.out.splitlines()[-1].startswith("ready to work")


@pytest.mark.parametrize(
    ("variable", "value", "check"),
    [
        ("STEMBRIDGE_DEVICE", "abacus", "torch"),
        ("STEMBRIDGE_MODEL", "spleeter:3stems", "weights"),
        ("STEMBRIDGE_MODEL", "gone.json", "weights"),
    ],
)
def test_doctor_fails_when_something_stops_the_bridge(
    inside: Inside, desk: Desk, variable: str, value: str, check: str
) -> None:
    desk.extra[variable] = value
    result = inside("doctor")
    assert result.code == 1
    (line,) = [line for line in result.out.splitlines() if line.startswith(" !! ")]
    assert line.split()[1] == check
    assert value in line
    assert result.out.splitlines()[-1].startswith("1 to fix (!!), ")


def test_doctor_looks_at_a_folder(inside: Inside, desk: Desk) -> None:
    (desk.home / "B").mkdir()
    result = inside("doctor", "B")
    assert result.code == 0
    assert any(line.split()[:2] == ["ok", "folder"] for line in result.out.splitlines())
    assert str(desk.home / "B" / "Stems") in result.out
    result = inside("doctor", "nowhere")
    assert result.code == 1
    assert "nowhere is not a folder: create it" in result.out


def test_a_wrong_setting_is_2_and_names_its_place(inside: Inside, desk: Desk) -> None:
    desk.extra["STEMBRIDGE_RESCAN_S"] = "often"
    assert check_one_line_error(inside("status"), 2).startswith("STEMBRIDGE_RESCAN_S: ")


def test_a_folder_that_cannot_be_watched_is_2(inside: Inside, desk: Desk) -> None:
    """Not there; a file; and stems that would come back as bounces."""
    bounce = render(desk.home / "B" / "mix.wav")
    missing = check_one_line_error(inside("watch", "nowhere", "-m", desk.model), 2)
    assert f"{desk.home}/nowhere is not a folder" in missing
    assert "is not a folder" in check_one_line_error(
        inside("watch", str(bounce), "-m", desk.model), 2
    )
    for out in (desk.home / "B", desk.home):
        result = inside("watch", "B", "--out", str(out), "-m", desk.model)
        assert "would be taken for bounces" in check_one_line_error(result, 2)
    assert {path.name for path in (desk.home / "B").iterdir()} == {"mix.wav"}


def test_tables_in_a_pipe_are_whole_whatever_the_terminal(desk: Desk) -> None:
    """Each model on one line, with nothing cut off: for `grep` and for files."""
    desk.extra["COLUMNS"] = "60"
    lines = desk.run("models", "list").out.splitlines()
    for entry in catalog.models():
        assert [line for line in lines if entry.name in line and line.rstrip().endswith(entry.note)]
