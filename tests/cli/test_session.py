"""`--session`: session files beside the stems, as asked for on the command line."""

from __future__ import annotations

import json
import re

import pytest

from bridge.daw.formats import FORMATS
from tests.bounces import render
from tests.cli.command import Desk, Inside


def test_they_lie_beside_the_stems(inside: Inside, desk: Desk) -> None:
    bounce = render(desk.home / "mix.wav")
    asked = ("split", str(bounce), "-m", desk.model, "--session", "m3u8, csv", "--json")
    result = inside(*asked)
    assert result.code == 0, result.err
    (manifest,) = json.loads(result.out)
    found = {each["name"]: each["path"] for each in manifest["sessions"]}
    assert found == {"m3u8": "mix.m3u8", "csv": "mix.spotting.csv"}
    text = (desk.home / "Stems" / "mix" / "mix.m3u8").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line[0] != "#"] == [
        *("../../mix.wav", "./mix - vocals.wav", "./mix - accompaniment.wav"),
    ]


@pytest.mark.parametrize("command", ["split", "watch"])
def test_an_unknown_one_is_a_mistake_of_the_command(
    inside: Inside, desk: Desk, command: str
) -> None:
    result = inside(command, str(desk.home), "--session", "repaer")
    assert result.code == 2
    assert "--session: unknown session 'repaer'; did you mean 'reaper'?" in result.err


def test_presets_check_says_what_is_not_installed(
    inside: Inside, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    path = desk.home / "mine.yaml"
    path.write_text("schema: 2\nsummary: s\nsession:\n  - aaf\n")
    result = inside("presets", "check", str(path))
    assert (result.code, result.err) == (
        2,
        f"{path}:4: session 'aaf' needs pyaaf2: install stembridge[aaf]\n",
    )


@pytest.mark.parametrize("command", ["split", "watch"])
def test_the_help_names_all_of_them(inside: Inside, command: str) -> None:
    assert set(FORMATS) <= {*re.findall(r"[\w-]+", inside(command, "--help").out)}
