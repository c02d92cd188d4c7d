"""Every command where its output goes nowhere, or to a stream that lacks characters.

The commands are taken from the program itself: a new one fails here until it has a case.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bridge.system.standard_streams import READER_GONE
from tests.bounces import render
from tests.cli.command import PATIENCE_S, all_commands
from tests.cli.tracks import write_track
from tests.support import require, thorough
from tests.waiting import wait_until

if TYPE_CHECKING:
    from typing import IO

    from tests.cli.command import Desk

pty = pytest.importorskip("pty", reason="needs a POSIX system")

MODEL = "MODEL"  # stands for the tiny model
ODD = "Mïx 3 → 中.wav"  # no 8-bit encoding holds that name
UNDECODABLE = os.fsdecode(b"caf\xe9.wav")  # and this one is no UTF-8


@dataclass(frozen=True)
class Case:
    """A command line, and how it ends where all is in order.

    code: None where that depends on the machine. prints: to standard output. by_work: whether it
    ends by what became of the files, whatever can be printed.
    """

    command: str
    arguments: tuple[str, ...] = ()
    code: int | None = 0
    prints: bool = True
    by_work: bool = False

    def __str__(self) -> str:
        return " ".join((self.command, *self.arguments)).replace("/", " ")


SPLIT = (f"Bounces/{ODD}", "-m", MODEL)
CASES = [
    Case("watch", ("Bounces", "--once", "-m", MODEL), by_work=True),
    Case("split", SPLIT, by_work=True),
    Case("split", (*SPLIT, "--json"), by_work=True),
    Case("split", ("no such file.wav", "-m", MODEL), code=1, prints=False, by_work=True),
    Case("batch", ("Bounces", "-m", MODEL, "--session", "csv"), by_work=True),
    Case("batch", ("Bounces", "-m", MODEL, "--dry-run")),
    Case("preview", (f"Bounces/{ODD}", "--at", "0", "--for", "0.1", "-m", MODEL)),
    Case("presets list"),
    Case("presets show", ("stems",)),
    Case("presets check", ("stems",)),
    Case("presets check", ("no such preset",), code=2, prints=False),
    Case("presets schema"),
    Case("presets new", ("mine",)),
    Case("models list"),
    Case("models list", ("--json",)),
    Case("models info", ("htdemucs",)),
    Case("models pull", ("no such model",), code=2, prints=False),
    Case("models import", ("spleeter:2stems", f"Bounces/{ODD}"), code=1, prints=False),
    Case("evaluate", ("Songs", "--baseline", "centre")),
    Case("status"),
    Case("status", ("--json",)),
    Case("retry"),
    Case("reload", code=1, prints=False),
    Case("doctor", ("Bounces",), code=None),
]
NEEDS_WEIGHTS = {"demo"}
PRINTING = [case for case in CASES if case.prints]

ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "latin9": {"PYTHONIOENCODING": "iso8859-15"},
    # As on a system without UTF-8: names are bytes that are no text there.
    "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
}


USUAL = {"presets list", "models list"}  # of those that only print


def combined(cases: list[Case], ways: list[str]) -> list[Any]:
    """(case, way): the usual cases in the first way, and as thorough ones all others.

    Each starts a process.
    """
    usual = [(case, ways[0]) for case in cases if case.by_work or case.command in USUAL]
    every = [(case, way) for case in cases for way in ways]
    return [*usual, *thorough(each for each in every if each not in usual)]


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what came out."""

    code: int
    out: bytes
    err: bytes

    def check_calm(self, case: Case) -> None:
        """Nothing of Python's own is on standard error; the code is as ever if there is one."""
        for noise in (b"Traceback", b"Exception ignored", b"Fatal", b"Error: ", b"Warning"):
            assert noise not in self.err, self
        if case.code:
            assert self.code == case.code, self


@dataclass
class Stage:
    """A folder in which a case finds what it needs."""

    desk: Desk

    def run(
        self,
        case: Case,
        redirect: str = "",
        *,
        out: int | IO[bytes] = subprocess.PIPE,
        **environment: str,
    ) -> Ended:
        """By a shell, with redirections such as `>&-`."""
        home = self.desk.home
        render(home / "Bounces" / ODD)
        if case.command in {"watch", "batch"}:
            render(home / "Bounces" / UNDECODABLE, seed=1)
        elif case.command == "evaluate":
            write_track(home / "Songs" / "Lïed → 中", 1, seconds=1.5)
        typed = (self.desk.model if one == MODEL else one for one in case.arguments)
        program = [sys.executable, "-m", "bridge", *case.command.split(), *typed]
        ended = subprocess.run(
            ["/bin/sh", "-c", f'exec "$@" {redirect}', "sh", *program],
            cwd=home,
            env=self.desk.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            check=False,
            timeout=PATIENCE_S,
        )
        if case.by_work and case.code == 0:
            bounces = len([*(home / "Bounces").glob("*.wav")])
            assert len([*home.glob("**/manifest.json")]) == bounces, ended
        return Ended(ended.returncode, ended.stdout or b"", ended.stderr)


@pytest.fixture
def stage(desk: Desk) -> Stage:
    return Stage(desk)


def test_every_command_has_a_case() -> None:
    groups = {path[0] for path in all_commands() if len(path) == 2}
    commands = {" ".join(path) for path in all_commands() if path[0] not in groups or path[1:]}
    assert {case.command for case in CASES} | NEEDS_WEIGHTS == commands


@pytest.mark.parametrize(("case", "redirect"), combined(PRINTING, [">/dev/full", ">&-"]), ids=str)
def test_output_that_cannot_be_written(stage: Stage, case: Case, redirect: str) -> None:
    """The work is done all the same; where there is none but to print, the code says so."""
    if redirect == ">/dev/full" and not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    ended = stage.run(case, redirect)
    ended.check_calm(case)
    assert ended.code == (0 if case.by_work else 1)
    reason = "No space left on device" if "full" in redirect else "it is closed"
    line = f"stembridge: standard output cannot be written ({reason})"
    told = [text for text in ended.err.decode().splitlines() if text.startswith("stembridge: ")]
    assert told == [f"{line}; the work goes on" if case.by_work else line]


@pytest.mark.thorough
@pytest.mark.parametrize("case", PRINTING, ids=str)
def test_a_reader_that_goes_away(stage: Stage, case: Case) -> None:
    """As `head` does. Nobody wants to know then; the code is that of any program in a pipe."""
    read, write = os.pipe()
    os.close(read)
    try:
        ended = stage.run(case, out=write)
    finally:
        os.close(write)
    ended.check_calm(case)
    if case.by_work:
        assert ended.code == 0
        assert b"standard output cannot be written (Broken pipe); the work goes on" in ended.err
    else:
        assert ended.code == (READER_GONE if case.code == 0 else ended.code or 1)
        assert b"standard output" not in ended.err


@pytest.mark.thorough
@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full", "<&- 2>&-", "<&-"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_without_standard_error_or_input(stage: Stage, case: Case, redirect: str) -> None:
    if "full" in redirect and not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    ended = stage.run(case, redirect)
    ended.check_calm(case)
    assert case.code is None or ended.code == case.code
    assert bool(ended.out) == case.prints


@pytest.mark.thorough
@pytest.mark.parametrize("case", CASES, ids=str)
def test_without_any_standard_stream(stage: Stage, case: Case) -> None:
    """No file that is opened gets one of the three numbers, and what is printed with it."""
    ended = stage.run(case, "<&- >&- 2>&-")
    assert ended.code == (case.code or (0 if case.by_work else 1))


@pytest.mark.parametrize(("case", "encoding"), combined(CASES, sorted(ENCODINGS)), ids=str)
def test_a_stream_that_lacks_characters(stage: Stage, case: Case, encoding: str) -> None:
    ended = stage.run(case, **ENCODINGS[encoding])
    ended.check_calm(case)
    assert case.code is None or ended.code == case.code
    assert bool(ended.out) == case.prints
    name = {"C": "ascii", "latin9": "iso8859-15"}.get(encoding, encoding)
    if case.command != "presets show":  # that is a file in UTF-8, byte for byte
        ended.out.decode(name)
    ended.err.decode(name)
    if "--json" in case.arguments:
        json.loads(ended.out)


@pytest.mark.parametrize("encoding", ["utf-8", "iso8859-15"])
def test_a_terminal_that_goes_away(stage: Stage, encoding: str) -> None:
    """As when a window is closed on a service that was told to ignore that. Writes fail then."""
    bounces = stage.desk.home / "Bounces"
    bounces.mkdir()
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "bridge", "watch", "Bounces", "-m", stage.desk.model],
        cwd=stage.desk.home,
        env=stage.desk.environment | {"TERM": "xterm", "PYTHONIOENCODING": encoding},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        shown = b""
        while b"watching " not in shown:
            shown += os.read(ours, 4096)
        render(bounces / ODD)
        place = stage.desk.home / "Bounces" / "Stems" / Path(ODD).stem / "manifest.json"
        wait_until(place.exists, "stems, with a bar on the terminal")
        os.close(ours)
        render(bounces / "second.wav", seed=1)
        place = bounces / "Stems" / "second" / "manifest.json"
        wait_until(place.exists, "stems without a terminal")
        child.send_signal(signal.SIGINT)
        assert child.wait(PATIENCE_S) == 130
    finally:
        child.kill()
        child.wait()


@pytest.mark.thorough
def test_the_demo_needs_its_output_too(stage: Stage) -> None:
    require.weights()
    for redirect, environment, code in ((">/dev/full", {}, 1), ("", ENCODINGS["C"], 0)):
        ended = stage.run(Case("demo"), redirect, **environment)
        assert ended.code == code, ended
        assert b"Traceback" not in ended.err


@pytest.mark.parametrize("arguments", ["--help", "--version", "split --help", "nonsense", "split"])
@pytest.mark.parametrize("redirect", [">/dev/full", ""])
def test_help_and_mistakes_too(stage: Stage, arguments: str, redirect: str) -> None:
    is_mistake = arguments in {"nonsense", "split"}
    case = Case(arguments, code=2 if is_mistake else 0, prints=not is_mistake)
    ended = stage.run(case, redirect, **ENCODINGS["C"])
    ended.check_calm(case)
    if is_mistake:
        assert ended.code == 2
        assert b"standard output" not in ended.err
    elif redirect:
        assert ended.code == 1
        (line,) = ended.err.splitlines()
        assert line.startswith(b"stembridge: standard output cannot be written")
    else:
        assert (ended.code, ended.err) == (0, b"")
        ended.out.decode("ascii")


def test_a_copied_preset_is_the_file_itself(stage: Stage) -> None:
    ended = stage.run(Case("presets show", ("stems",)), **ENCODINGS["cp1252"])
    place = Path(__file__).parents[2] / "presets" / "stems.yaml"
    assert ended.out == place.read_bytes()
