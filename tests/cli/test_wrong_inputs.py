"""What a user gets for wrong inputs: one line that says what is wrong and what to do instead."""

from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge.cli import inputs, options
from tests.bounces import render

if TYPE_CHECKING:
    from tests.cli.command import Desk, Inside


@pytest.fixture
def home(desk: Desk) -> Path:
    """What may lie where somebody works, and some of it in the way."""
    folder = desk.home
    render(folder / "mix.wav")
    (folder / "dir").mkdir()
    (folder / "a.txt").write_text("hello\n")
    (folder / "song.mid").write_bytes(b"MThd\0\0\0\6\0\1\0\1\0\x60")
    (folder / "song.rpp").write_text("<REAPER_PROJECT 0.1\n>\n")
    with gzip.open(folder / "set.als", "wb") as project:
        project.write(b"<Ableton/>")
    with zipfile.ZipFile(folder / "stems.zip", "w") as archive:
        archive.writestr("mix.wav", b"RIFF")
    (folder / "zero.wav").touch()
    (folder / "dangling.wav").symlink_to("gone.wav")
    (folder / "bad.yaml").write_text("schema: 1\nsummary: x\nchain:\n  - compresor\n")
    (folder / "settings.yaml").write_text("preset: karaoke\npresett: x\ncolour: blue\n")
    return folder


WRONG: dict[str, tuple[str, int, str]] = {
    # Files that are none, or not what was meant.
    "split mxi.wav": (
        "split mxi.wav",
        1,
        "mxi.wav: there is no such file; did you mean 'mix.wav'?",
    ),
    "split MIX.WAV?": ("split MiX.waw", 1, "there is no such file; did you mean 'mix.wav'?"),
    "split nowhere": ("split nowhere", 1, "nowhere: there is no such file; check the path"),
    "split below a file": ("split a.txt/x.wav", 1, "there is no such file; check the path"),
    "split dir": ("split dir", 1, "dir: a folder; name its files, or convert all with "),
    "split link": ("split dangling.wav", 1, "a link to gone.wav, which does not exist"),
    "split empty": ("split zero.wav", 1, "zero.wav: empty: 0 bytes; render it again"),
    "split zip": ("split stems.zip", 1, "stems.zip: not read: archive; unpack it first"),
    "split project": ("split song.rpp", 1, "not read: REAPER project; render the mix in the DAW"),
    "split packed project": ("split set.als", 1, "not read: Ableton Live project; render the mix"),
    "split midi": (
        "split song.mid",
        1,
        "not read: MIDI; notes without audio: render it in the DAW",
    ),
    "preview dir": ("preview dir", 2, "dir: a folder; name its files"),
    "preview nowhere": ("preview mxi.wav", 2, "mxi.wav: there is no such file; did you mean"),
    "preview midi": ("preview song.mid", 1, "song.mid: not read: MIDI; notes without audio"),
    "preview late": ("preview mix.wav --at 99", 1, "mix.wav: ends before 99 s; choose an earlier"),
    "watch file": ("watch mix.wav", 2, "mix.wav is not a folder: create it or name another"),
    "batch nowhere": ("batch nowhere", 2, "nowhere is not a folder: create it or name another"),
    "retry": ("retry nowhere", 0, "nothing to retry: of 'nowhere' none has failed; see"),
    # Folders for the stems that cannot be one.
    "out file": ("split mix.wav --out a.txt", 2, "--out a.txt: {home}/a.txt is not a folder"),
    "out below": ("split mix.wav --out a.txt/b", 2, "--out a.txt/b: {home}/a.txt is not a folder"),
    "watch out": ("watch dir --out a.txt", 2, "a.txt is not a folder; name another"),
    "batch out": ("batch dir --out a.txt", 2, "a.txt is not a folder; name another"),
    "preview out": ("preview mix.wav --out a.txt", 2, "a.txt is not a folder; name another"),
    # Presets and models.
    "preset": (
        "split mix.wav -p karaok",
        2,
        "no preset is named 'karaok'; did you mean 'karaoke'?",
    ),
    "preset file": ("split mix.wav -p nowhere.yaml", 2, "nowhere.yaml: there is no such file"),
    "preset folder": ("split mix.wav -p ./dir", 2, "dir: is a folder; name the preset's file"),
    "preset wrong": ("split mix.wav -p bad.yaml", 2, "bad.yaml:4: unknown effect 'compresor'; did"),
    "model": ("split mix.wav -m htdemuc", 2, "no model named 'htdemuc': did you mean 'htdemucs'?"),
    "model file": ("split mix.wav -m nowhere.th", 2, "nowhere.th: no such file"),
    "model text": ("split mix.wav -m a.txt", 2, "a checkpoint is a file that ends in .th, "),
    "model empty": ("split mix.wav -m ''", 2, "the model's name is empty: see"),
    "set": ("split mix.wav --set foo", 2, "--set 'foo' is not understood; write --set name=value"),
    # Values, by the names that were typed.
    "segment": ("split mix.wav --segment 0", 2, "--segment is a number from 0.1 to 600, not 0.0"),
    "overlap": ("split mix.wav --overlap 2", 2, "--overlap is a number from 0 to 0.99, not 2.0"),
    "method": ("split mix.wav --other-method x", 2, "--other-method is one of minus, add, not 'x'"),
    "precision": ("split mix.wav --precision x", 2, "precision is one of auto, float32, bfloat16"),
    "format": ("split mix.wav --format flc", 2, "there is no format 'flc'; did you mean 'flac'?"),
    "format mp4": ("split mix.wav --format mp4", 2, "there is no format 'mp4'; write 'm4a'"),
    "format .aif": ("split mix.wav --format .AIF", 2, "there is no format '.AIF'; write 'aiff'"),
    "osc": (
        "watch dir --osc nine",
        2,
        "--osc: expected PORT, HOST:PORT or [IPV6]:PORT, as in 9000",
    ),
    "map": ("batch dir --map foo", 2, "--map 'foo': write a pattern and a preset, as in --map"),
    "session": ("batch dir --session repaer", 2, "did you mean 'reaper'?"),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_line_says_what_is_wrong_and_what_to_do(
    inside: Inside, desk: Desk, home: Path, name: str
) -> None:
    typed, code, expected = WRONG[name]
    arguments = [word if word != "''" else "" for word in typed.split()]
    if arguments[0] in {"split", "preview", "watch", "batch"} and "-m" not in arguments:
        arguments += ["-m", desk.model]
    result = inside(*arguments)
    assert result.code == code, result
    lines = [line for line in (result.err + result.out).splitlines() if line.strip()]
    assert len(lines) == 1, lines
    assert expected.format(home=home) in lines[0]


def test_settings_that_there_are_not_are_named_with_their_lines_and_the_list_once(
    inside: Inside, desk: Desk, home: Path
) -> None:
    desk.extra["STEMBRIDGE_CONFIG"] = str(home / "settings.yaml")
    result = inside("status")
    assert result.code == 2
    assert ":2: there is no setting 'presett', did you mean 'preset'?; " in result.err
    assert ":3: there is no setting 'colour'; the settings are preset, model, " in result.err
    assert result.err.count("the settings are") == 1


def test_a_state_folder_that_is_a_file_is_named(inside: Inside, desk: Desk, home: Path) -> None:
    desk.extra["STEMBRIDGE_STATE_DIR"] = str(home / "a.txt")
    result = inside("watch", "dir", "--once", "-m", desk.model)
    assert result.code == 1
    assert "a.txt/ledger.sqlite3 (its folder is a file); check" in result.err


def test_status_of_a_folder_that_was_never_watched(inside: Inside, home: Path) -> None:
    assert inside("watch", "dir", "--once", "-m", "classical:hpss").code == 0
    result = inside("status", "nowhere")
    place = home / "nowhere"
    told = f"no bounce of {place} is known: `stembridge watch FOLDER` begins\n"
    assert (result.code, result.out) == (0, told)
    assert inside("status").out == "no bounce is known yet: `stembridge watch FOLDER` begins\n"


def test_one_file_that_cannot_be_read_does_not_cost_the_others(
    inside: Inside, desk: Desk, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    render(home / "locked.wav")
    real = os.open

    def refusing(path: str, *arguments: int, **named: int) -> int:
        if os.fspath(path).endswith("locked.wav"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *arguments, **named)

    monkeypatch.setattr(os, "open", refusing)
    result = inside("split", "locked.wav", "mix.wav", "-m", desk.model)
    assert result.code == 1
    assert f"locked.wav: cannot read {home / 'locked.wav'}: Permission denied; check" in result.err
    assert "mix.wav: vocals, accompaniment" in result.out


def test_a_folder_that_may_not_be_entered_is_one_line_too(
    inside: Inside, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "/locked/ledger.sqlite3")

    monkeypatch.setattr(options, "resolved_settings", refused)
    result = inside("status")
    assert result.code == 1
    assert result.err == (
        "stembridge: cannot use /locked/ledger.sqlite3 (Permission denied): "
        "change its permissions or name another\n"
    )


def test_a_file_in_a_folder_that_may_not_be_entered(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Path) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(inputs.UsageError, match=r"cannot be read \(Permission denied\); check"):
        inputs.check_sound_file(home / "mix.wav")
