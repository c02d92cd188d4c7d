"""Shell examples, units and pages: they call what there is, and say what is so."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from bridge.cli import app
from bridge.osc import messages
from bridge.presets import loader as presets
from tests.support import ROOT, require

EXAMPLES = ROOT / "examples"
PAGES = (EXAMPLES / "README.md", EXAMPLES / "daw" / "README.md")
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def words_of(script: str, folder: Path, *arguments: str) -> list[str]:
    """What a script would call, said by a program in its place."""
    echo = folder / "echo"
    code = "import json, sys; print(json.dumps(sys.argv[1:]))"
    echo.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -c '{code}' \"$@\"\n")
    echo.chmod(0o755)
    done = call(script, folder, *arguments, STEMBRIDGE=str(echo))
    assert done.returncode == 0, done.stderr
    import json

    words: list[str] = json.loads(done.stdout)
    return words


def call(
    script: str, folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [require.program("bash", "bash"), str(EXAMPLES / script), *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("script", sorted(file.name for file in EXAMPLES.glob("*.sh")))
def test_every_script_is_valid_and_executable(script: str, tmp_path: Path) -> None:
    file = EXAMPLES / script
    bash = require.program("bash", "bash")
    assert subprocess.run([bash, "-n", str(file)], check=False).returncode == 0
    assert os.access(file, os.X_OK)
    wrong = call(script, tmp_path)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("usage: ")


def test_the_album_goes_to_batch_with_its_presets(tmp_path: Path) -> None:
    words = words_of("batch_album.sh", tmp_path, ".", "my stems", "--jobs", "2")
    assert words[:4] == ["batch", ".", "--out", "my stems"]
    assert words[-2:] == ["--jobs", "2"]
    names = [words[words.index("--preset") + 1], words[words.index("--map") + 1].partition("=")[2]]
    assert set(names) <= set(presets.find())
    if "batch" in COMMANDS:
        COMMANDS["batch"].make_context("batch", words[1:])  # raises for what it does not know


def test_the_evaluation_is_one_that_the_command_knows(tmp_path: Path) -> None:
    words = words_of("evaluate_models.sh", tmp_path, ".", "scores.csv", "a", "b")
    assert words[0] == "evaluate"
    context = COMMANDS["evaluate"].make_context("evaluate", words[1:])
    assert context.params["model"] == ["a", "b"]
    assert context.params["csv"] == Path("scores.csv")
    assert context.params["oracle"] is True


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    analyze = require.program("systemd-analyze", "systemd")
    text = (EXAMPLES / "watch.service").read_text("utf-8")
    (program,) = re.findall(r"^ExecStart=(\S+)", text, re.MULTILINE)
    unit = tmp_path / "stembridge-watch.service"
    unit.write_text(text.replace(program, "/bin/true"))  # it looks whether the program is there
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    command = [analyze, "--user", "verify", str(unit)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    unit.write_text(text.replace(program, "/bin/true").replace("RestartSec=5", "RestartSecs=5"))
    wrong = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "RestartSecs" in wrong.stderr


# --- the pages ---


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert len(links) > 5
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_example_is_in_the_index() -> None:
    index = PAGES[0].read_text("utf-8")
    names = {file.name for file in EXAMPLES.iterdir() if file.name not in {"README.md", "daw"}}
    names -= {"__pycache__"}
    assert names == set(re.findall(r"\| \[(\w[\w.]*)\]\(\1\)", index))


def test_every_script_for_a_daw_is_in_the_index() -> None:
    index = PAGES[1].read_text("utf-8")
    scripts = {f"{path.parent.name}/{path.name}" for path in (EXAMPLES / "daw").glob("*/*.lua")}
    assert set(re.findall(r"\]\((\w+/\w+\.lua)\)", index)) == scripts


def test_the_commands_and_addresses_of_the_pages_are_known() -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    for words in re.findall(r"`stembridge ([^`]+)`", text):
        name, *arguments = shlex.split(words)
        COMMANDS[name].make_context(name, arguments)
    known = {address.name for address in messages.ADDRESSES}
    assert set(re.findall(r"(?<=[ \"`])/stembridge/\w+", text)) <= known


def test_the_scripts_for_daws_say_how_they_are_installed() -> None:
    for script in ("reaper/stembridge_stems.lua", "ardour/stembridge_import.lua"):
        text = (EXAMPLES / "daw" / script).read_text("utf-8")
        head = text[text.index("-- Install:") :].split("\n--\n")[0]
        assert re.findall(r"(\d)\. ", head) == ["1", "2", "3"]
