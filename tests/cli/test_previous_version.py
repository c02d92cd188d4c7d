"""State, stem sets and presets that version 0.1 has left behind are read by this version."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from bridge.presets import loader as presets
from tests.cli.command import Inside
from tests.support import GOLDEN, ROOT

LEFT = GOLDEN / "version_0_1"
WRITTEN_IN = "/tmp/studio"
MODEL = ("--model", "classical:hpss")


@pytest.fixture
def studio(inside: Inside) -> Inside:
    """The folder of version 0.1, its paths and its ledger moved to a folder of this test."""
    home = inside.desk.home
    shutil.copytree(LEFT / "Bounces", home / "Bounces")
    manifest = home / "Bounces" / "Stems" / "Done" / "manifest.json"
    manifest.write_text(manifest.read_text("utf-8").replace(WRITTEN_IN, str(home)), "utf-8")
    dump = (LEFT / "ledger.sql").read_text("utf-8")
    (home / "state").mkdir()
    with sqlite3.connect(home / "state" / "ledger.sqlite3") as ledger:
        ledger.executescript(
            dump.replace(WRITTEN_IN.encode().hex(), str(home).encode().hex()).replace(
                WRITTEN_IN, str(home)
            )
        )
    ledger.close()
    return inside


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_jobs_are_known_and_stems_stay(studio: Inside) -> None:
    stems = studio.desk.home / "Bounces" / "Stems"
    before = contents(stems)
    listed = json.loads(studio("status", "Bounces", "--json").out)
    assert {Path(job["bounce"]).name: job["state"] for job in listed["jobs"]} == {
        "Done.wav": "done",
        "Broken.wav": "failed",
    }
    again = studio("watch", "Bounces", "--once", *MODEL, "--session", "csv,reaper")
    assert "0 done" in again.out + again.err
    assert "done   Done.wav" not in again.out
    assert contents(stems) == before


@pytest.mark.parametrize("name", sorted(json.loads((LEFT / "preset_hashes.json").read_text())))
def test_a_shipped_preset_asks_for_the_same(name: str) -> None:
    known = json.loads((LEFT / "preset_hashes.json").read_text("utf-8"))
    assert presets.load(ROOT / "presets" / f"{name}.yaml").content_hash == known[name]
