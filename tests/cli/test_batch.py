"""`stembridge batch` as a user types it: what it makes, leaves alone, says, and its exit codes."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
import unicodedata
from typing import TYPE_CHECKING

import pytest
import soundfile

from bridge import source
from bridge.batch.sessions import RECORD
from bridge.intake import intake
from bridge.ledger.states import Recipe
from bridge.ledger.store import Ledger
from bridge.publish.transaction import MANIFEST
from bridge.worker.client import Worker
from tests.bounces import BAD, music, render, wav_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command import Desk, Inside, Result


@pytest.fixture
def export(desk: Desk) -> Path:
    """Two takes of two tracks, and what else lies in such a folder."""
    folder = desk.home / "Export"
    for number, name in enumerate(("Song 1/Drums", "Song 1/Vox", "Song 2/Drums", "Song 2/Vox")):
        render(folder / f"{name}.wav", seed=number, time_reference=1000 * number)
    (folder / "Song 1" / "notes.txt").write_text("louder")
    (folder / "Song 1" / ".Drums.wav").write_text("hidden")
    (folder / "link.wav").symlink_to(folder / "Song 1" / "Vox.wav")
    return folder


def places(out: Path) -> dict[str, str]:
    """The source of each published set, by the set's place."""
    found = {}
    for path in out.rglob(MANIFEST):
        source = json.loads(path.read_text(encoding="utf-8"))["source"]["path"]
        found[path.parent.relative_to(out).as_posix()] = source
    return found


def tree(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file below: inode, time and bytes."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {
        str(path.relative_to(folder)): (
            path.stat().st_ino,
            path.stat().st_mtime_ns,
            path.read_bytes(),
        )
        for path in files
    }


def last(result: Result) -> str:
    return result.out.splitlines()[-1]


def forbid(monkeypatch: pytest.MonkeyPatch, *things: tuple[object, str]) -> None:
    """A call of one of these fails the test."""
    for owner, name in things:
        monkeypatch.setattr(
            owner, name, lambda *_, name=name, **__: pytest.fail(f"{name} was called")
        )


def test_a_tree_of_exports_is_mirrored(inside: Inside, desk: Desk, export: Path) -> None:
    before = tree(export)
    result = inside("batch", "Export", "--out", "Made", "-m", desk.model)
    assert result.code == 0, result
    made = places(desk.home / "Made")
    assert made == {
        name: str(export / f"{name}.wav")
        for name in ("Song 1/Drums", "Song 1/Vox", "Song 2/Drums", "Song 2/Vox")
    }
    assert tree(export) == before
    for name, bounce in made.items():
        stem = desk.home / "Made" / name / f"{name.split('/')[1]} - vocals.wav"
        assert soundfile.info(stem).frames == soundfile.info(bounce).frames
    assert last(result) == "4 done"
    assert "ignored: 1 link(s), which are not followed" in result.err
    assert result.err.count("not read") == 1
    assert "not read: Song 1/notes.txt\n" in result.err
    assert result.err.count(" done ") == 4
    assert "4 of 4" in result.err
    assert "\x1b" not in result.out + result.err


def test_a_second_run_opens_nothing_and_starts_nothing(
    inside: Inside, desk: Desk, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes as long as the walk and the look into the ledger, whatever the files weigh."""
    assert inside("batch", "Export", "-m", desk.model).code == 0
    before = tree(desk.home)
    forbid(
        monkeypatch,
        (Worker, "start"),
        (Worker, "load"),
        (source, "open_regular"),
        (intake, "open_regular"),
        (intake.Intake, "run"),
        (soundfile, "SoundFile"),
    )
    result = inside("batch", "Export", "-m", desk.model)
    assert result.code == 0, result
    assert result.out == "nothing to do: 4 unchanged\n"
    assert tree(desk.home) == before


def test_a_second_run_imports_neither_torch_nor_effects(desk: Desk, export: Path) -> None:
    """In a process of its own. What is imported takes longer than what is done."""
    arguments = ["stembridge", "batch", "Export", "-m", desk.model]
    code = (
        "import sys, threading\n"
        f"sys.argv = {arguments!r}\n"
        "from bridge.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0, end\n"
        "print([m for m in ('torch', 'pedalboard') if m in sys.modules], threading.active_count())"
    )
    for expected in ("4 done", "nothing to do: 4 unchanged"):
        ended = subprocess.run(
            [sys.executable, "-c", code],
            cwd=desk.home,
            env=desk.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        *_, told, loaded = ended.stdout.splitlines()
        assert told == expected
        assert loaded.startswith("[] ")
    assert loaded == "[] 1"


def test_what_is_new_or_changed_is_done_and_nothing_else(
    inside: Inside, desk: Desk, export: Path
) -> None:
    out = export / "Stems"
    assert inside("batch", "Export", "-m", desk.model).code == 0
    before = tree(out)
    render(export / "Song 3" / "Bass.wav", seed=9)
    render(export / "Song 1" / "Vox.wav", seed=8)
    result = inside("batch", "Export", "-m", desk.model)
    assert (result.code, last(result)) == (0, "2 done, 3 unchanged")
    after = tree(out)
    changed = {name for name in after if after[name] != before.get(name)}
    assert {name.rsplit("/", 1)[0] for name in changed} == {"Song 1/Vox", "Song 3/Bass"}


def test_stems_that_were_removed_are_made_again(inside: Inside, desk: Desk, export: Path) -> None:
    out = export / "Stems"
    assert inside("batch", "Export", "-m", desk.model).code == 0
    before = {name: data for name, (_, _, data) in tree(out).items() if name.endswith(".wav")}
    shutil.rmtree(out / "Song 1" / "Vox")
    (out / "Song 2" / "Vox" / MANIFEST).unlink()
    result = inside("batch", "Export", "-m", desk.model)
    assert (result.code, last(result)) == (0, "2 done, 2 unchanged")
    after = {name: data for name, (_, _, data) in tree(out).items() if name.endswith(".wav")}
    assert after == before
    shutil.rmtree(out)
    assert last(inside("batch", "Export", "-m", desk.model)) == "4 done"


def test_names_that_could_meet_do_not(inside: Inside, desk: Desk) -> None:
    """One name with two endings, in two folders, in other letters, and composed otherwise."""
    folder = desk.home / "Export"
    folder.mkdir()
    long = "x" * 240
    names = ["a.wav", "a.W64", "A.WAV", "sub/a.wav", f"{long}.wav", f"{long}.aif"]
    names += [unicodedata.normalize(form, "é.wav") for form in ("NFC", "NFD")]
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        form = {".aif": "AIFF", ".w64": "W64"}.get(path.suffix.lower(), "WAV")
        soundfile.write(path, music(2400, seed=number).T, 44_100, "PCM_24", format=form)
    if len(list(folder.iterdir())) < len(names) - 1:
        pytest.skip("this file system takes some of these names for the same")
    for expected in (f"{len(names)} done", f"nothing to do: {len(names)} unchanged"):
        result = inside("batch", "Export", "-m", desk.model)
        assert (result.code, last(result)) == (0, expected), result
    made = places(folder / "Stems")
    assert sorted(made.values()) == sorted(str(folder / name) for name in names)
    assert {place for place in made if "x" not in place} == {
        *("A", "a (w64)", "a (wav)", "sub/a", "é", "é (wav)")
    }


def test_our_own_outputs_are_no_inputs(inside: Inside, desk: Desk, export: Path) -> None:
    """Wherever they were put or copied to."""
    assert inside("batch", "Export", "-m", desk.model, "--out", "Export/In it").code == 0
    shutil.copytree(export / "In it", export / "Copied")
    shutil.copytree(export / "In it" / "Song 1" / "Vox", export / "Song 2" / "Vox stems")
    for out in ("Export/In it", "Export/Others"):
        result = inside("batch", "Export", "-m", desk.model, "--out", out)
        assert result.code == 0
        assert sum(int(word) for word in last(result).split() if word.isdigit()) == 4


def test_presets_by_pattern_and_beside_the_file(inside: Inside, desk: Desk, export: Path) -> None:
    (export / "Song 2" / "stembridge.yaml").write_text("schema: 1\nsummary: x\nstems: [vocals]\n")
    own = desk.home / "own.yaml"
    own.write_text("schema: 1\nsummary: mine\nstems: [accompaniment]\n")
    maps = ("--map", f"song 1/vox*={own}", "--map", "Vox*=karaoke", "--map", "Nothing*=karaoke")
    result = inside("batch", "Export", "-m", desk.model, *maps)
    assert result.code == 0, result
    assert "--map: the pattern 'Nothing*' matches no sound file\n" in result.err
    stems = {
        place: sorted(path.stem for path in (export / "Stems" / place).glob("*.wav"))
        for place in places(export / "Stems")
    }
    assert stems == {
        "Song 1/Drums": ["Drums - accompaniment", "Drums - vocals"],
        "Song 1/Vox": ["Vox - accompaniment"],
        "Song 2/Drums": ["Drums - vocals"],  # by what lies beside it
        "Song 2/Vox": ["Vox - karaoke"],  # the command line wins
    }
    assert last(inside("batch", "Export", "-m", desk.model, *maps)) == "nothing to do: 4 unchanged"
    again = inside("batch", "Export", "-m", desk.model, *maps[2:])
    assert last(again) == "1 done, 3 unchanged"


def test_a_dry_run_tells_all_and_writes_nothing(inside: Inside, desk: Desk, export: Path) -> None:
    (export / "Song 1" / "stembridge.yaml").write_text("schema: 1\nsummry: x\n")
    before = tree(desk.home)
    arguments = ("batch", "Export", "-m", desk.model, "--map", "Vox*=karaoke", "--dry-run")
    result = inside(*arguments)
    assert result.code == 0
    assert tree(desk.home) == before  # no ledger, no folder, no log
    assert not (desk.home / "state").exists()
    rows = {
        line.split(".wav")[0].strip(): line for line in result.out.splitlines() if ".wav" in line
    }
    assert set(rows) == {"Song 1/Drums", "Song 1/Vox", "Song 2/Drums", "Song 2/Vox"}
    assert " karaoke " in rows["Song 2/Vox"]
    assert " stems " in rows["Song 2/Drums"]
    assert "did you mean 'summary'" in result.err
    assert last(result).startswith("4 to do, 0 unchanged: 0 s of audio, time unknown")
    assert last(result).endswith(str(export / "Stems"))
    (export / "Song 1" / "stembridge.yaml").unlink()
    assert inside("batch", "Export", "-m", desk.model).code == 0
    render(export / "Song 3" / "Vox.wav")
    before = tree(desk.home)
    foretold = inside("batch", "Export", "-m", desk.model, "--dry-run")
    assert "1 to do, 4 unchanged: 0 s of audio, about " in last(foretold)
    assert tree(desk.home) == before
    made = inside("batch", "Export", "-m", desk.model)
    assert last(made) == "1 done, 4 unchanged"


def test_bad_files_fail_with_their_reasons_and_the_rest_is_done(
    inside: Inside, desk: Desk, export: Path
) -> None:
    for name, (data, _) in BAD.items():
        (export / name).write_bytes(data)
    summary = ("--summary", "made.csv", "--summary", "made.html")
    result = inside("batch", "Export", "-m", desk.model, *summary)
    assert result.code == 1
    rows = list(csv.DictReader((desk.home / "made.csv").open(encoding="utf-8")))
    assert {row["bounce"]: row["code"] for row in rows if row["result"] == "failed"} == {
        name: code for name, (_, code) in BAD.items()
    }
    for name in BAD:
        (line,) = [line for line in result.out.splitlines() if f"failed: {name}: " in line]
        assert len(line) > len(f"failed: {name}: ")
    assert f"4 done, {len(BAD)} failed" in result.out.splitlines()
    assert "<h2>Failed</h2>" in (desk.home / "made.html").read_text(encoding="utf-8")
    again = inside("batch", "Export", "-m", desk.model)
    assert (again.code, last(again)) == (1, f"nothing to do: 4 unchanged, {len(BAD)} failed")
    bad = next(iter(BAD))
    (export / bad).write_bytes(wav_bytes(music(2400)))  # rendered anew
    mended = inside("batch", "Export", "-m", desk.model)
    assert last(mended) == f"1 done, 4 unchanged, {len(BAD) - 1} failed"


def test_what_failed_is_tried_again_when_asked_for(
    inside: Inside, desk: Desk, export: Path
) -> None:
    beside = export / "Song 1" / "Vox.yaml"
    beside.write_text("schema: 1\nsummary: x\nstems: [piano]\n")
    first = inside("batch", "Export", "-m", desk.model)
    assert (first.code, last(first)) == (1, "3 done, 1 failed")
    assert "piano" in first.out
    assert (
        last(inside("batch", "Export", "-m", desk.model)) == "nothing to do: 3 unchanged, 1 failed"
    )
    assert inside("retry", "Export/Song 1/Vox.wav").out == "1 back in the queue\n"
    assert last(inside("batch", "Export", "-m", desk.model)) == "3 unchanged, 1 failed"
    beside.unlink()  # another preset is another job
    assert last(inside("batch", "Export", "-m", desk.model)) == "1 done, 3 unchanged"


def test_the_session_and_the_summary_are_of_the_whole_export(
    inside: Inside, desk: Desk, export: Path
) -> None:
    wanted = ("--session", "reaper, csv", "--summary", "all.csv")
    first = inside("batch", "Export", "-m", desk.model, *wanted)
    assert first.code == 0
    out = export / "Stems"
    assert [path.name for path in sorted(out.glob("Export*"))] == [
        *("Export.rpp", "Export.spotting.csv")
    ]
    with (out / "Export.spotting.csv").open(encoding="utf-8") as file:
        clips = list(csv.DictReader(file))
    assert len(clips) == 4 * 3
    starts = {clip["file"]: int(clip["time_reference_frames"]) for clip in clips}
    assert starts["Song 2/Drums/Drums - vocals.wav"] == 2000
    assert all((out / clip["file"]).exists() for clip in clips)
    before = tree(export)
    again = inside("batch", "Export", "-m", desk.model, *wanted)
    assert "Export.rpp (unchanged)" in again.out
    assert tree(export) == before
    rows = list(csv.DictReader((desk.home / "all.csv").open(encoding="utf-8")))
    assert [row["result"] for row in rows] == ["unchanged"] * 8
    render(export / "Song 3" / "Vox.wav", seed=7)
    assert inside("batch", "Export", "-m", desk.model, *wanted).code == 0
    assert "Song 3/Vox" in (out / "Export.rpp").read_text()
    (out / "Export.rpp").write_text("saved by the user")
    render(export / "Song 4" / "Vox.wav", seed=8)
    kept = inside("batch", "Export", "-m", desk.model, *wanted)
    assert "it was saved by another program" in kept.out
    assert (out / "Export.rpp").read_text() == "saved by the user"
    assert (out / RECORD).exists()


def test_watch_finds_done_what_a_batch_has_done(inside: Inside, desk: Desk, export: Path) -> None:
    """One converter, one ledger: either goes on where the other ended."""
    assert inside("batch", "Export", "-m", desk.model).code == 0
    render(export / "late.wav", seed=5)
    watched = inside("watch", "Export", "--once", "-m", desk.model)
    assert watched.code == 0
    assert " 1 done, 0 unchanged, 0 failed" in watched.out
    assert last(inside("batch", "Export", "-m", desk.model)) == "nothing to do: 5 unchanged"


def test_a_folder_is_known_however_it_is_spelled(inside: Inside, desk: Desk, export: Path) -> None:
    assert inside("batch", "Export", "-m", desk.model).code == 0
    for spelled in ("./Export/", str(export), "Export/Song 1/..", "state/../Export"):
        assert "nothing to do" in inside("batch", spelled, "-m", desk.model).out


def test_an_empty_folder_is_no_failure(inside: Inside, desk: Desk) -> None:
    (desk.home / "Empty").mkdir()
    result = inside("batch", "Empty", "-m", desk.model)
    assert (result.code, result.out) == (0, "nothing to do: no sound files\n")
    assert f"no sound files in {desk.home / 'Empty'}" in result.err
    assert not (desk.home / "state").exists()


def test_a_folder_that_cannot_be_looked_into_is_a_failure(
    inside: Inside, desk: Desk, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def refuse(path: str | Path) -> object:
        if str(path).endswith("Song 2"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    result = inside("batch", "Export", "-m", desk.model)
    assert (result.code, last(result)) == (1, "2 done")
    assert f"cannot read {export / 'Song 2'} (Permission denied)" in result.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nowhere",), "nowhere is not a folder"),
        (("Export", "--out", "Export"), "would be taken for bounces"),
        (("Export", "--out", "."), "would be taken for bounces"),
        (("Export", "--map", "Drums"), "write a pattern and a preset"),
        (("Export", "--map", "Drums*=karaok"), "did you mean 'karaoke'"),
        (("Export", "--preset", "karaok"), "did you mean 'karaoke'"),
        (("Export", "--model", "spleeter:2stem"), "did you mean 'spleeter:2stems'"),
        (("Export", "--session", "reapr"), "did you mean 'reaper'"),
        (("Export", "--session", "csv,,stem-mp4"), "holds only one bounce"),
        (("Export", "--session", "stem-mp4"), "holds only one bounce"),
        (("Export", "--summary", "x.pdf"), "ends in .csv or .html"),
        (("Export", "--summary", "no/x.csv"), "is not a folder"),
        (("Export", "--stems", "piano"), "piano"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_2_before_anything_is_done(
    inside: Inside, desk: Desk, export: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    model = () if "--model" in arguments else ("-m", desk.model)
    result = inside("batch", *arguments, *model)
    line = [line for line in result.err.splitlines() if line.startswith("stembridge: ")]
    assert (result.code, result.out, len(line)) == (2, "", 1), result
    assert complaint in line[0]
    assert not (export / "Stems").exists()


def test_another_service_with_other_stems_is_told(inside: Inside, desk: Desk, export: Path) -> None:
    ledger = Ledger(desk.home / "state" / "ledger.sqlite3")
    service = ledger.services.begin(export, Recipe("karaoke", "h", "m", "v", export / "Stems"))
    result = inside("batch", "Export", "-m", desk.model)
    assert result.code == 1
    assert "another service" in result.err
    ledger.services.end(service)
    ledger.close()


@pytest.mark.timing
@pytest.mark.slow
def test_a_second_run_over_a_thousand_files_takes_under_two_seconds(
    desk: Desk,
) -> None:
    """Whole processes, in seconds of processor time: the machine may have other work."""
    folder = desk.home / "Export"
    contents = [wav_bytes(music(1200, seed=seed), subtype="PCM_16") for seed in range(5)]
    for number in range(1000):
        path = folder / f"Song {number % 40}" / f"Take {number:04}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[number % 5])
    command = [sys.executable, "-m", "bridge", "batch", "Export", "-m", desk.model]

    def run() -> tuple[float, float, str]:
        begun_s, before = time.perf_counter(), os.times()
        ended = subprocess.run(
            command, cwd=desk.home, env=desk.environment, capture_output=True, text=True, check=True
        )
        after, wall_s = os.times(), time.perf_counter() - begun_s
        worked_s = sum(after[2:4]) - sum(before[2:4])  # of children that have ended
        return wall_s, worked_s, ended.stdout.splitlines()[-1]

    assert run()[-1] == "1000 done"
    took = [run() for _ in range(3)]
    assert {told for *_, told in took} == {"nothing to do: 1000 unchanged"}
    told = ", ".join(f"{wall_s:.2f} s ({worked_s:.2f} s of work)" for wall_s, worked_s, _ in took)
    print(f"second run over 1,000 files: {told}")
    assert min(worked_s for _, worked_s, _ in took) < 2.0
