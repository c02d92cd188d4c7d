"""`watch` and `batch` name the files that they do not read; exit codes do not change."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.bounces import render

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command import Desk, Inside

LINE = "not read: 5 files: Mix 1.5 (WAV by its content), set.als (Ableton Live project), "
LINE += "song.mid (MIDI), a.txt, b.png"


@pytest.fixture
def export(desk: Desk) -> Path:
    folder = desk.home / "Export"
    render(folder / "mix.wav")
    sound = render(folder / "take.wav").rename(folder / "Mix 1.5")
    then_s = sound.stat().st_mtime - 3600
    os.utime(sound, (then_s, then_s))
    for name in ("song.mid", "set.als", "a.txt", "b.png", "mix.wav.asd", "mix.wav.yaml~"):
        (folder / name).write_bytes(b"x")
    return folder


def test_a_batch_names_them_at_its_end_and_before(inside: Inside, desk: Desk, export: Path) -> None:
    for arguments in (["--dry-run"], ["--summary", "s.html", "--summary", "s.csv"], []):
        result = inside("batch", export.name, "-m", desk.model, *arguments)
        assert result.code == 0, result
        assert result.err.splitlines()[-1] == LINE
        assert result.err.count("not read") == 1
    page = (desk.home / "s.html").read_text(encoding="utf-8")
    assert "<li>song.mid (MIDI): notes without audio: render it in the DAW</li>" in page
    assert "song.mid" not in (desk.home / "s.csv").read_text(encoding="utf-8")


def test_a_folder_without_sound_says_what_is_there_instead(inside: Inside, desk: Desk) -> None:
    folder = desk.home / "MIDI"
    folder.mkdir()
    (folder / "song.mid").write_bytes(b"MThd")
    result = inside("batch", "MIDI", "-m", desk.model)
    assert result.code == 0
    assert f"no sound files in {folder}\n" in result.err
    assert "not read: song.mid (MIDI): notes without audio: render it in the DAW\n" in result.err


def test_the_service_names_what_could_be_meant(inside: Inside, desk: Desk, export: Path) -> None:
    result = inside("watch", export.name, "--once", "-m", desk.model)
    assert result.code == 0, result
    (line,) = [line for line in result.out.splitlines() if "not read" in line]
    shown = "not read: 3 files: Mix 1.5 (WAV by its content), set.als (Ableton Live project), "
    assert line.endswith(shown + "song.mid (MIDI)")
    log = (desk.home / "state" / "log" / "service.jsonl").read_text(encoding="ascii")
    events = {event["event"]: event for event in map(json.loads, log.splitlines())}
    assert events["not-read"]["level"] == "info"
    assert [one["file"] for one in events["left-alone"]["files"]] == ["a.txt", "b.png"]
    assert events["left-alone"]["level"] == "debug"
