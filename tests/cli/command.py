"""The command as a user runs it, in a process of its own or, for speed, in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import typer.main

from bridge.cli import app, main
from bridge.worker import client
from tests.shared_worker import LentWorker
from tests.support import ROOT

#: What would make a pipe look like a terminal, or settings of whoever runs the tests count.
FOREIGN = ("FORCE_COLOR", "PY_COLORS", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "STEMBRIDGE_STATE_DIR")
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Result:
    """What a command gave back."""

    code: int
    out: str
    err: str


@dataclass
class Desk:
    """A folder to work in, with settings of its own."""

    home: Path
    model: str
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        return kept | {
            "STEMBRIDGE_STATE_DIR": str(self.home / "state"),
            "STEMBRIDGE_CONFIG": str(self.home / "no such file.yaml"),
            "XDG_CONFIG_HOME": str(self.home / "config"),  # no presets of the tester's own
            "PYTHONPATH": str(ROOT),
            **self.extra,
        }

    def run(self, *arguments: str) -> Result:
        """In a process of its own, in the folder, its output into pipes."""
        ended = subprocess.run(
            [sys.executable, "-m", "bridge", *arguments],
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=PATIENCE_S,
        )
        return Result(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


@dataclass
class Inside:
    """The same entry point in this process, with a worker that is there already."""

    desk: Desk
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    worker: LentWorker

    def __call__(self, *arguments: str) -> Result:
        for name in FOREIGN:
            self.monkeypatch.delenv(name, raising=False)
        for name, value in self.desk.environment.items():
            self.monkeypatch.setenv(name, value)
        self.monkeypatch.chdir(self.desk.home)
        self.monkeypatch.setattr(client, "Worker", self.worker.lend)
        self.monkeypatch.setattr(sys, "argv", ["stembridge", *arguments])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        assert isinstance(code, int)
        captured = self.capsys.readouterr()
        return Result(code, captured.out, captured.err)


def check_one_line_error(result: Result, code: int) -> str:
    """The whole of standard error is one line, and it is ours; returns its text."""
    assert result.code == code, result
    assert result.out == ""
    (line,) = result.err.splitlines()
    assert line.startswith("stembridge: ")
    return line.removeprefix("stembridge: ")


def all_commands() -> list[tuple[str, ...]]:
    """Every command and sub-command, as typed."""
    root = typer.main.get_command(app)
    found: list[tuple[str, ...]] = []
    for name, command in sorted(getattr(root, "commands", {}).items()):
        found.append((name,))
        found += [(name, below) for below in sorted(getattr(command, "commands", {}))]
    return found
