"""The examples run as their first lines say, with the tiny network in place of real weights."""

from __future__ import annotations

import configparser
import json
import os
import plistlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer.main

from bridge.cli import app
from bridge.presets import loader as presets
from tests.support import GOLDEN, ROOT, require

EXAMPLES = ROOT / "examples"
TINY_MODEL = str(GOLDEN / "spleeter" / "2stems.json")
RATE_HZ = 48_000
NAMES = {"vocals", "accompaniment"}


def music(path: Path, seconds: float = 3.0) -> np.ndarray:
    """A short file at another rate than the model's; what is in it, (frames, channels)."""
    source = GOLDEN / "real" / "audio_example.flac"
    wave: np.ndarray = soundfile.read(source, frames=int(seconds * RATE_HZ), dtype="float32")[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, RATE_HZ, subtype="FLOAT")
    return wave


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def stems(folder: Path) -> dict[str, np.ndarray]:
    return {file.stem: soundfile.read(file)[0] for file in sorted(folder.glob("*.wav"))}


@pytest.mark.parametrize(
    ("example", "names", "last_line"),
    [
        ("separate_array.py", NAMES | {"residual"}, r"sum of .* mixture: \d\.\de-0[789] at most"),
        ("stream_blocks.py", NAMES, r"144000 frames in, 144000 frames out: vocals, accompaniment"),
    ],
)
def test_python_examples_write_stems_that_add_up(
    tmp_path: Path, example: str, names: set[str], last_line: str
) -> None:
    mix = music(tmp_path / "mix.wav")
    done = run(sys.executable, EXAMPLES / example, "mix.wav", "--model", TINY_MODEL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = stems(tmp_path / "stems")
    assert set(written) == names
    np.testing.assert_allclose(sum(written.values()), mix, atol=1e-6)
    assert re.fullmatch(last_line, done.stdout.splitlines()[-1])
    for file in (tmp_path / "stems").iterdir():
        assert soundfile.info(file).subtype == "FLOAT"
        assert soundfile.info(file).samplerate == RATE_HZ


def test_the_preset_fits_its_model() -> None:
    preset = presets.load_file(EXAMPLES / "my_preset.yaml")
    outputs = preset.outputs(("vocals", "accompaniment", "residual"))
    assert set(outputs) == {"vocals", "vocal up"}
    assert set(outputs["vocal up"]) == {"vocals", "accompaniment", "residual"}
    assert preset.output.subtype == "PCM_24"


def program(folder: Path) -> str:
    """A `stembridge` that runs this checkout with this Python."""
    script = folder / "stembridge"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m bridge "$@"\n')
    script.chmod(0o755)
    return str(script)


def bash() -> str:
    return require.program("bash", "bash")


def batch(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = EXAMPLES / "batch_folder.sh"
    return run(bash(), script, *arguments, cwd=tmp_path, STEMBRIDGE=program(tmp_path))


def test_the_batch_script_is_valid_and_executable(tmp_path: Path) -> None:
    script = EXAMPLES / "batch_folder.sh"
    assert run(bash(), "-n", script, cwd=tmp_path).returncode == 0
    assert os.access(script, os.X_OK)


def test_the_batch_script_splits_every_export_once_and_names_the_bad_one(tmp_path: Path) -> None:
    exports = tmp_path / "exports"
    music(exports / "One.wav", 1.0)
    music(exports / "sub folder" / "-two's mix.WAV", 1.0)
    music(exports / "Stems" / "Old" / "Old - vocals.wav", 1.0)
    (exports / "bad.wav").write_bytes(b"")
    (exports / "notes.txt").write_text("no export")
    done = batch(tmp_path, "exports", "--model", TINY_MODEL, "--preset", "karaoke", "--out", "out")
    assert done.returncode == 1
    assert done.stdout.startswith("3 exports in exports\n")
    assert done.stderr == "exports/bad.wav: empty: 0 bytes; render it again\n"
    manifests = [json.loads(file.read_text()) for file in (tmp_path / "out").rglob("manifest.json")]
    names = {Path(manifest["source"]["path"]).name for manifest in manifests}
    assert names == {"One.wav", "-two's mix.WAV"}
    assert {manifest["preset"]["name"] for manifest in manifests} == {"karaoke"}


@pytest.mark.parametrize(("arguments", "code"), [((), 2), (("nowhere",), 2), ((".",), 1)])
def test_the_batch_script_says_when_there_is_nothing(
    tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    done = batch(tmp_path, *arguments)
    assert done.returncode == code
    assert done.stderr.count("\n") == 1


def check_watch(words: list[str]) -> None:
    """The command is the checkout's program, and `watch` takes what follows."""
    assert words[0].endswith("/.venv/bin/stembridge")
    command = typer.main.get_command(app).commands[words[1]]  # type: ignore[attr-defined]
    assert command.name == "watch"
    command.make_context("watch", words[2:])  # raises for what it does not understand


def test_the_systemd_unit_starts_the_service() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # systemd minds the case
    unit.read(EXAMPLES / "watch.service", encoding="utf-8")
    assert unit.sections() == ["Unit", "Service", "Install"]
    check_watch(shlex.split(unit["Service"]["ExecStart"]))
    assert unit["Service"]["RestartPreventExitStatus"] == "2"
    assert unit["Service"]["SuccessExitStatus"] == "130"


def test_the_launch_agent_starts_the_service() -> None:
    agent = plistlib.loads((EXAMPLES / "stembridge.watch.plist").read_bytes())
    assert agent["Label"] == "stembridge.watch"
    check_watch(agent["ProgramArguments"])
    assert agent["RunAtLoad"] is True
    assert agent["KeepAlive"] == {"SuccessfulExit": False}
    assert all(agent[key].startswith("/") for key in ("StandardOutPath", "StandardErrorPath"))


def test_every_example_says_what_it_is() -> None:
    for file in EXAMPLES.iterdir():
        if file.is_file() and file.name != "README.md":
            head = "".join(file.read_text(encoding="utf-8").splitlines(keepends=True)[:8])
            assert any(mark in head for mark in ('"""', "# ", "<!--")), file.name
            assert file.stem in head or "Install" in head, file.name
