"""`--format`, as a user types it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest
import soundfile

from bridge.audio.mp4_input import list_streams
from tests.bounces import RATE_HZ, SHORT_FRAMES, render
from tests.cli.command import check_one_line_error
from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.command import Desk, Inside


def endings(folder: Path) -> set[str]:
    return {path.suffix for path in folder.iterdir()}


def test_stems_get_the_format_that_was_asked_for(inside: Inside, desk: Desk) -> None:
    bounce = render(desk.home / "mix.wav", time_reference=48_000)
    place = desk.home / "Stems" / "mix"
    result = inside("split", "mix.wav", "--model", desk.model, "--format", "flac")
    assert (result.code, result.err) == (0, "")
    assert endings(place) == {".flac", ".json"}
    stem = place / "mix - vocals.flac"
    assert soundfile.info(stem).frames == soundfile.info(bounce).frames
    again = inside("watch", str(desk.home), "--once", "--model", desk.model, "--format", "aiff")
    assert again.code == 0
    assert endings(place) == {".aiff", ".json"}  # those in the old format went


def test_a_command_says_it_before_its_preset(inside: Inside, desk: Desk) -> None:
    render(desk.home / "mix.wav")
    preset = desk.home / "mine.yaml"
    preset.write_text("schema: 2\nsummary: s\noutput: {format: mp3, bitrate_kbps: 128}\n")
    split = ("split", "mix.wav", "--model", desk.model, "--preset", str(preset))
    assert inside(*split, "--format", "caf").code == 0
    assert endings(desk.home / "Stems" / "mix") == {".caf", ".json"}
    assert inside(*split, "--format", "mp3").code == 0
    stem = desk.home / "Stems" / "mix" / "mix - vocals.mp3"
    assert endings(stem.parent) == {".mp3", ".json"}
    assert soundfile.info(stem).subtype == "MPEG_LAYER_III"


def test_a_format_that_is_not_known(inside: Inside, desk: Desk) -> None:
    render(desk.home / "mix.wav")
    result = inside("split", "mix.wav", "--model", desk.model, "--format", "flak")
    text = check_one_line_error(result, 2)
    assert text == "there is no format 'flak'; did you mean 'flac'?"


def test_a_depth_that_the_format_does_not_hold(inside: Inside, desk: Desk) -> None:
    render(desk.home / "mix.wav")
    split = ("split", "mix.wav", "--model", desk.model, "--preset", "mastering-stems")
    result = inside(*split, "--format", "flac")
    assert check_one_line_error(result, 2).startswith("FLAC does not hold FLOAT; choose PCM_16")


def test_m4a_and_stem_files_need_no_program(desk: Desk) -> None:
    render(desk.home / "mix.wav")
    desk.extra["PATH"] = str(desk.home / "nothing")
    split = ("split", "mix.wav", "--model", desk.model, "--format", "m4a")
    result = desk.run(*split, "--session", "stem-mp4")
    assert result.code == 0, result.err
    place = desk.home / "Stems" / "mix"
    assert endings(place) == {".m4a", ".json"}  # two stems, and a stem file has four
    assert "a stem file holds drums, bass" in result.err
    assert list_streams(place / "mix - vocals.m4a")[0].frames == SHORT_FRAMES


@pytest.mark.thorough
def test_nothing_else_imports_the_library_for_them(desk: Desk) -> None:
    render(desk.home / "mix.wav")
    (desk.home / "trap").mkdir()
    (desk.home / "trap" / "av.py").write_text("raise SystemExit('imported')\n")
    desk.extra["PYTHONPATH"] = os.pathsep.join((str(desk.home / "trap"), str(ROOT)))
    assert desk.run("--help").code == 0
    result = desk.run("split", "mix.wav", "--model", desk.model, "--session", "reaper,csv")
    assert result.code == 0, result.err
    result = desk.run("split", "mix.wav", "--model", desk.model, "--format", "m4a")
    assert result.code != 0  # the trap works


@pytest.mark.slow
def test_a_kill_while_an_m4a_is_written_leaves_no_stem(desk: Desk) -> None:
    render(desk.home / "mix.wav", frames=60 * RATE_HZ)
    command = [sys.executable, "-m", "bridge", "split", "mix.wav", "--format", "m4a"]
    killed = subprocess.Popen(
        [*command, "--model", desk.model],
        cwd=desk.home,
        env=desk.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: any(desk.home.rglob("*.m4a")))
    family = psutil.Process(killed.pid).children(recursive=True)
    killed.kill()
    killed.wait()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
    assert not (desk.home / "Stems" / "mix").exists()
    assert desk.run(*command[3:], "--model", desk.model).code == 0
    assert endings(desk.home / "Stems" / "mix") == {".m4a", ".json"}


def wait_for(met: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 120
    while not met():
        assert time.monotonic() < deadline_s, "it never came to that"
        time.sleep(0.02)
