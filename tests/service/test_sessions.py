"""Session files of published sets: there with the stems, and never at the cost of a user's work."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import rppxml
from reaproj import Project  # type: ignore[import-untyped]

from bridge.convert import Converter
from bridge.errors import PresetError
from bridge.ledger.states import State
from bridge.presets import loader as presets
from bridge.source import identify
from bridge.worker.client import Worker
from tests.bounces import RATE_HZ, music, render, time_reference_of, wav_bytes
from tests.support import ROOT
from tests.watch_service import Studio

FRAMES = 5001
START_FRAMES = 96_123


def preset(studio: Studio, keys: str, name: str = "mine") -> Path:
    path = studio.root / f"{name}.yaml"
    path.write_text(f"schema: 2\nsummary: s\n{keys}\n")
    studio.preset = str(path)
    return path


def bounce(studio: Studio, *, frames: int = FRAMES, seed: int = 1, channels: int = 2) -> Path:
    return render(
        studio.folder / "mix.wav",
        frames=frames,
        seed=seed,
        channels=channels,
        time_reference=START_FRAMES,
    )


def listed(studio: Studio) -> dict[str, str]:
    """Name and place of each session file of the manifest; they are as it says."""
    sessions = studio.manifest("mix")["sessions"]
    for each in sessions:
        data = (studio.stems / "mix" / each["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == each["sha256"]
    return {each["name"]: each["path"] for each in sessions}


def places(path: Path) -> list[tuple[int, int, bool]]:
    """Start and length in frames of each item of a REAPER project, and whether it is muted."""
    root = rppxml.load(str(path))  # type: ignore[arg-type]
    blocks = [block for block in root.children if isinstance(block, rppxml.RPPXML)]
    lines = [line for block in blocks for line in block.children if isinstance(line, list)]
    muted = [line[1] for line in lines if line[0] == "MUTESOLO"]
    return [
        (round(item.position * RATE_HZ), round(item.length * RATE_HZ), bool(mute))
        for track, mute in zip(Project.load(path).tracks, muted, strict=True)
        for item in track.items
    ]


def test_an_edited_project_survives_a_new_render(studio: Studio) -> None:
    preset(studio, "session: [reaper, csv]")
    bounce(studio)
    assert studio.once().done == 1
    assert [*listed(studio)] == ["reaper", "csv"]
    project, table = (studio.stems / "mix" / f"mix.{kind}" for kind in ("rpp", "spotting.csv"))
    saved = project.read_bytes().replace(b"MUTESOLO 0", b"MUTESOLO 1") + b"an hour of work"
    project.write_bytes(saved)
    before = table.read_bytes()

    bounce(studio, frames=FRAMES + 7, seed=2)
    assert studio.once().done == 1
    assert project.read_bytes() == saved
    assert [*listed(studio)] == ["csv"]
    assert table.read_bytes() != before
    text = "kept mix.rpp: it was changed since it was written; remove it to get a new one"
    assert studio.manifest("mix")["warnings"] == [text]
    assert studio.heard.manifests[-1].warnings == (text,)  # who watches is told, too
    studio.check_complete()

    project.unlink()
    bounce(studio, frames=FRAMES + 9, seed=3)
    assert studio.once().done == 1
    assert [*listed(studio)] == ["reaper", "csv"]
    assert {length for _, length, _ in places(project)} == {FRAMES + 9}
    assert studio.manifest("mix")["warnings"] == []


def test_another_preset_takes_its_session_files_along(studio: Studio) -> None:
    preset(studio, "session: [reaper, ardour, m3u8]")
    bounce(studio)
    assert studio.once().done == 1
    assert [*listed(studio)] == ["reaper", "ardour", "m3u8"]
    preset(studio, "session: [dawproject]", "other")
    assert studio.once().done == 1
    assert listed(studio) == {"dawproject": "mix.dawproject"}
    assert sorted(path.name for path in (studio.stems / "mix").iterdir()) == [
        *("manifest.json", "mix - accompaniment.wav", "mix - vocals.wav", "mix.dawproject"),
    ]


def test_trimmed_stems_are_where_their_sound_is(studio: Studio) -> None:
    preset(studio, "aligned: false\nchain: [trim_silence: {pad_ms: 0}]\nsession: [reaper]")
    wave = np.pad(music(20_000), ((0, 0), (20_000, 10_000)))
    (studio.folder / "mix.wav").write_bytes(wav_bytes(wave, time_reference=START_FRAMES))
    assert studio.once().done == 1, studio.heard.events
    path = studio.stems / "mix" / listed(studio)["reaper"]
    stems = studio.manifest("mix")["stems"]
    assert all(stem["start_frame"] > 1000 for stem in stems)
    assert places(path) == [
        (START_FRAMES, 50_000, True),
        *((START_FRAMES + s["start_frame"], s["frames"], False) for s in stems),
    ]


def test_tails_are_longer_and_mixdowns_are_muted(studio: Studio) -> None:
    keys = "tails: keep\nchain: [delay: {time_ms: 20}]\nmixdowns: {karaoke: {rest: 0}}"
    preset(studio, f"{keys}\nsession: [reaper]")
    bounce(studio)
    assert studio.once().done == 1, studio.heard.events
    manifest = studio.manifest("mix")
    long = FRAMES + manifest["tail_frames"]
    assert long > FRAMES
    assert [stem["mixdown"] for stem in manifest["stems"]] == [False, False, True]
    assert places(studio.stems / "mix" / listed(studio)["reaper"]) == [
        (START_FRAMES, FRAMES, True),
        *((START_FRAMES, long, muted) for muted in (False, False, True)),
    ]


def test_a_format_that_cannot_hold_the_set_costs_that_file_alone(studio: Studio) -> None:
    """Here: two stems in place of the four of a stem file."""
    preset(studio, "session: [stem-mp4, csv]")
    bounce(studio)
    assert studio.once().done == 1
    assert [*listed(studio)] == ["csv"]
    (warning,) = studio.manifest("mix")["warnings"]
    assert warning.startswith("session 'stem-mp4' was not written: a stem file holds drums, bass")
    studio.check_complete()


def test_an_implausible_time_reference_is_called_out(studio: Studio) -> None:
    """Written by a DAW whose timeline has a place before zero; no session file can hold that."""
    preset(studio, "session: [reaper, dawproject, ardour, aaf, csv]")
    render(studio.folder / "mix.wav", frames=FRAMES, time_reference=2**64 - 48_000)
    assert studio.once().done == 1
    assert [*listed(studio)] == ["csv"]
    doubt, *refused = studio.manifest("mix")["warnings"]
    assert doubt == (
        "the time reference of 18,446,744,073,709,503,616 frames wrapped below zero: the bounce "
        "began 48,000 frames (1.088 s) before zero; the stems carry it as it is: check the start "
        "of the render"
    )
    assert [text.partition(" was not")[0] for text in refused] == [
        f"session '{name}'" for name in ("reaper", "dawproject", "ardour", "aaf")
    ]
    assert all("out of" in text and "reach" in text for text in refused)
    for stem in studio.manifest("mix")["stems"]:
        assert time_reference_of(studio.stems / "mix" / stem["path"]) == 2**64 - 48_000
    studio.check_complete()


def test_a_defect_in_a_writer_costs_its_file_and_is_in_the_log(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the worker's own process, from where the traceback has to come."""
    folder = studio.root / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import struct\n"
        "from bridge.daw import spotting\n"
        "def broken(*_): raise struct.error('injected')\n"
        "spotting.write = broken\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(folder), str(ROOT))))
    preset(studio, "session: [csv, m3u8]")
    bounce(studio)
    with Worker() as studio.worker:
        assert studio.once().done == 1
    assert [*listed(studio)] == ["m3u8"]
    (warning,) = studio.manifest("mix")["warnings"]
    assert warning == (
        "session 'csv' was not written: internal error: error: injected; please report it"
    )
    (facts,) = [facts for event, facts in studio.heard.facts if event == "defect"]
    assert facts["bounce"] == "mix.wav"
    assert "in broken" in str(facts["traceback"])
    studio.check_complete()


def test_what_is_not_installed_is_told_before_the_work(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    path = preset(studio, "session: [aaf]")
    converter = Converter(studio.settings, presets.load(path), str(studio.model), studio.worker)
    with pytest.raises(PresetError) as caught:
        converter.load()
    assert str(caught.value) == f"{path}: session 'aaf' needs pyaaf2: install stembridge[aaf]"

    studio.preset = "stems"  # and where a preset beside the bounce asks for it
    bounce(studio)
    (studio.folder / "mix.yaml").write_text("schema: 2\nextends: stems\nsession: [aaf]\n")
    assert studio.once().failed == 1
    (failed,) = studio.jobs()
    assert (failed.state, failed.code) == (State.FAILED, "preset")
    assert "install stembridge[aaf]" in (failed.reason or "")


def test_a_set_that_lacks_a_session_file_is_made_again(studio: Studio) -> None:
    """As by a service that died before its ledger knew, and a user who tidied up in between."""
    path = preset(studio, "session: [reaper, ardour]")
    converter = Converter(studio.settings, presets.load(path), str(studio.model), studio.worker)
    source, out = identify(bounce(studio)), studio.stems
    converter.convert_identified(source, out / "mix", out, lambda *_: None)
    before = converter.published_before(source, out / "mix", out)
    assert before is not None
    assert [each.name for each in before[0].sessions] == ["reaper", "ardour"]
    project = out / "mix" / "mix.rpp"
    project.write_bytes(b"saved by the DAW")
    assert converter.published_before(source, out / "mix", out) is not None
    for each in listed_anyhow(studio):
        data = each.read_bytes()
        each.unlink()
        assert converter.published_before(source, out / "mix", out) is None
        each.write_bytes(data)


def listed_anyhow(studio: Studio) -> list[Path]:
    return [studio.stems / "mix" / each["path"] for each in studio.manifest("mix")["sessions"]]
