"""What `split`, `watch`, `batch` and `status` say of silent bounces, and their exit codes."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import pytest

from tests.bounces import render, silence, wav_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command import Desk, Inside

REASON = (
    "skipped: silent, all 2,400 frames are digital silence; leave skip_silent out to have its stems"
)


@pytest.fixture
def export(desk: Desk) -> Path:
    """Two tracks, the second one silent."""
    folder = desk.home / "Export"
    render(folder / "1 Vox.wav")
    (folder / "2 Keys.wav").write_bytes(wav_bytes(silence()))
    return folder


def test_split_warns_of_silence(inside: Inside, desk: Desk, export: Path) -> None:
    bounce = export / "2 Keys.wav"
    result = inside("split", str(bounce), "-m", desk.model)
    assert result.code == 0
    assert result.out.startswith(f"{bounce}: vocals, accompaniment → ")
    (line,) = result.err.splitlines()
    assert line.startswith(f"{bounce}: silent: all 2,400 frames are digital silence, ")


def test_split_skips_silence_when_asked_to(inside: Inside, desk: Desk, export: Path) -> None:
    files = [str(path) for path in sorted(export.iterdir())]
    result = inside("split", *files, "-m", desk.model, "--skip-silent")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[1] == f"{files[1]}: {REASON}"
    again = inside("split", *files, "-m", desk.model, "--skip-silent", "--json")
    assert (again.code, again.err) == (0, "")
    made, skipped = json.loads(again.out)
    assert "stems" in made
    assert skipped == {
        "source": {"path": files[1]},
        "skipped": {"code": "silent", "reason": REASON},
    }
    assert [path.name for path in (export / "Stems").iterdir()] == ["1 Vox"]


def test_batch_counts_what_it_skipped(inside: Inside, desk: Desk, export: Path) -> None:
    arguments = ("batch", "Export", "-m", desk.model, "--skip-silent")
    result = inside(*arguments, "--summary", "made.csv", "--summary", "made.html")
    assert result.code == 0, result.err
    assert f"2 Keys.wav: {REASON}" in result.out.splitlines()
    assert "1 done, 1 skipped" in result.out.splitlines()
    assert f" skip   2 Keys.wav: {REASON} (2 of 2)" in result.err
    rows = list(csv.DictReader((desk.home / "made.csv").open(encoding="utf-8")))
    assert [row["result"] for row in rows] == ["done", "done", "skipped"]
    assert (rows[2]["code"], rows[2]["reason"], rows[2]["stem"]) == ("silent", REASON, "")
    page = (desk.home / "made.html").read_text(encoding="utf-8")
    assert "<h2>Skipped</h2>" in page
    assert REASON in page
    again = inside(*arguments)
    assert (again.code, again.out.splitlines()[-1]) == (
        0,
        "nothing to do: 1 unchanged, 1 skipped",
    )
    foretold = inside(*arguments, "--dry-run")
    assert foretold.out.startswith("0 to do, 2 unchanged")
    status = inside("status")
    (row,) = [line for line in status.out.splitlines() if "2 Keys.wav" in line]
    assert " done " in row
    assert REASON in row
    kept = inside("batch", "Export", "-m", desk.model)
    assert (kept.code, kept.out.splitlines()[-1]) == (0, "2 done")  # another preset by now


def test_watch_says_what_it_skipped(inside: Inside, desk: Desk, export: Path) -> None:
    result = inside("watch", "Export", "--once", "-m", desk.model, "--skip-silent")
    assert (result.code, result.err) == (0, "")
    lines = [line.split(maxsplit=1)[1] for line in result.out.splitlines()]  # without the time
    assert f"skip   2 Keys.wav: {REASON}" in lines
    assert lines[-1].endswith("1 done, 0 unchanged, 1 silent, 0 failed")
