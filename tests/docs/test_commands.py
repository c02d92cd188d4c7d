"""Every command of the pages exists, takes its options, and does what it is shown for."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge.presets import template
from docs.generate import bounces
from docs.generate.commands import commands
from tests.docs import pages
from tests.support import ROOT, require

if TYPE_CHECKING:
    from tests.cli.command import Inside

# Programs that shell blocks call beside `stembridge` and `make`.
PROGRAMS = {
    *(".", ".venv/bin/python", "cp", "mkdir", "touch"),
    *("pip", "pipx", "python3", "uv"),
    *("journalctl", "launchctl", "oscsend", "systemctl"),
}
# Commands that need a network or the released weights: their options are checked, no more.
NEED_WEIGHTS = re.compile(r"^stembridge models (pull|import)\b")


@pytest.mark.parametrize("sample", [*pages.shell_commands(), *pages.screen_commands()], ids=str)
def test_a_command_takes_these_options(sample: pages.Sample) -> None:
    command, words = pages.find(shlex.split(sample.text)[1:])
    command.make_context(command.name, words)  # an unknown option or a missing argument raises


@pytest.mark.parametrize("sample", pages.inline_commands(), ids=str)
def test_a_command_in_a_sentence_exists(sample: pages.Sample) -> None:
    words = shlex.split(sample.text)[1:]
    if words == ["--version"]:
        return
    command, words = pages.find(words)
    if words:  # a bare name stands for the command as such
        command.make_context(command.name, words)


def test_an_unknown_option_would_be_noticed() -> None:
    command, words = pages.find(["split", "mix.wav", "--stereo", "yes"])
    with pytest.raises(Exception, match="No such option"):
        command.make_context("split", words)


def test_every_command_is_shown_outside_the_reference() -> None:
    text = "".join(t for page, t in pages.sources().items() if not page.startswith("reference"))
    for name, _ in commands():
        assert re.search(rf"\bstembridge {name}\b", text) or f"`{name}`" in text, name


def test_every_command_has_a_section_in_the_reference() -> None:
    text = pages.pages()["reference/commands.md"]
    for name, command in commands():
        section = text.split(f"\n## stembridge {name}\n")[1].split("\n## ")[0]
        for parameter in command.params:
            shown = parameter.opts if parameter.param_type_name == "option" else [parameter.metavar]
            assert all(f"`{word}`" in section for word in shown), (name, shown)


# --- commands that run ---


@pytest.fixture
def home(inside: Inside) -> Path:
    """Everything that the pages' commands name."""
    folder = inside.desk.home
    names = ("Mix 3.wav", "mix.wav", "Bounces/Mix 3.wav", "Export/Drums/Kit.wav", "Export/Mix.wav")
    for name in (*names, "Multitracks/Song/vocals.wav", "Multitracks/Song/accompaniment.wav"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        bounces.write(path, bounces.noise(20_000), rate_hz=44_100)
    (folder / "drums.yaml").write_text("schema: 1\nsummary: drums\n")
    (folder / "examples").symlink_to(ROOT / "examples")
    inside.desk.extra |= {"HOME": str(folder), "STEMBRIDGE_MODEL": inside.desk.model}
    return folder


def runnable() -> list[pages.Sample]:
    return [each for each in pages.shell_commands() if not NEED_WEIGHTS.match(each.text)]


@pytest.mark.parametrize("sample", runnable(), ids=str)
def test_a_command_runs(sample: pages.Sample, home: Path, inside: Inside) -> None:
    words = [re.sub(r"^~", str(home), word) for word in shlex.split(sample.text)[1:]]
    for place, word in enumerate(words):
        if word == "--model":
            words[place + 1] = inside.desk.model
        if word == "--osc":
            words[place + 1] = "0"  # any free port
    if words[0] == "watch":
        words.append("--once")
    if "mine" in words and words[:2] != ["presets", "new"]:
        template.write("mine", None, home / "config" / "stembridge" / "presets")
    result = inside(*words)
    nothing_to_reload = words[0] == "reload"
    assert result.code == int(nothing_to_reload), result.err
    if words[0] in {"watch", "split", "batch"} and "--dry-run" not in words:
        assert [*home.rglob("manifest.json")], result.out


def test_some_commands_are_not_run() -> None:
    left = [each.text for each in pages.shell_commands() if NEED_WEIGHTS.match(each.text)]
    assert len(left) == 2


# --- everything else in shell blocks ---


@pytest.mark.parametrize("sample", pages.samples("sh"), ids=str)
def test_a_shell_block_is_valid(sample: pages.Sample) -> None:
    bash = require.program("bash", "bash")
    done = subprocess.run([bash, "-n"], input=sample.text, text=True, check=False)
    assert done.returncode == 0


def test_shell_blocks_call_known_programs_on_files_that_exist() -> None:
    called: set[str] = set()
    for sample in pages.samples("sh"):
        for line in sample.text.splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] not in {"stembridge", "make"}:
                called.add(words[0])
            for word in words:
                if word.startswith("examples/"):
                    assert (ROOT / word).exists(), word
    assert called == PROGRAMS


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = "".join(pages.sources().values())
    wanted = set(re.findall(r"\bmake ([a-z-]+)\b *(?:#|`|$)", text, re.MULTILINE))
    assert {"demo", "test", "check", "bench", "docs", "wheel"} <= wanted
    assert wanted <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    offered = set(re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE))
    table = pages.sources()["contributing/testing.md"]
    assert offered - {"demo", "clean", "bench-long"} <= set(re.findall(r"`make ([a-z-]+)`", table))


def test_the_shown_osc_message_is_understood() -> None:
    from bridge.osc.messages import Split, parse_request

    (line,) = [
        text for s in pages.samples("sh") for text in s.text.splitlines() if "oscsend" in text
    ]
    _, _, _, address, types, *arguments = shlex.split(os.path.expandvars(line))
    assert types == "s" * len(arguments)
    assert isinstance(parse_request(address, arguments), Split)
