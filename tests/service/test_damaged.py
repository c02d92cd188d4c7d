"""Damaged and overwritten bounces, through the whole service."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from bridge.ledger.states import State
from bridge.presets import loader as presets
from bridge.service.job_runner import Tally
from tests.bounces import music, render, wav_bytes
from tests.support import sha256
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bridge.ledger.states import Job
    from tests.watch_service import Serving, Studio

ACCEPTING = "schema: 1\nsummary: takes what is damaged\n{}bounce: {{{}: true}}\n"


def accepting(studio: Studio, what: str, more: str = "") -> str:
    path = studio.root / f"{what}.yaml"
    path.write_text(ACCEPTING.format(more, what))
    return str(path)


def with_nan(path: Path, frames: int = 9000) -> Path:
    wave = music(frames)
    wave[0, 4000:4010] = np.nan
    wave[1, 6000:8000] = np.inf
    path.write_bytes(wav_bytes(wave, subtype="FLOAT"))
    return path


def test_a_refused_bounce_is_done_when_it_is_accepted_and_not_again(studio: Studio) -> None:
    cut = render(studio.folder / "cut.wav", frames=20_000, subtype="PCM_16")
    os.truncate(cut, cut.stat().st_size // 2)
    before = sha256(cut)
    assert studio.once() == Tally(failed=1)
    assert [job.code for job in studio.jobs()] == ["truncated"]
    studio.preset = accepting(studio, "accept_truncated")
    assert studio.once() == Tally(done=1)
    manifest = studio.manifest("cut")
    frames = manifest["source"]["frames"]
    assert 9_900 < frames < 10_000
    assert manifest["source"]["truncated"] is True
    assert manifest["source"]["claimed_frames"] == 20_000
    assert manifest["warnings"] == [
        f"cut off: its header promises 20,000 frames, {frames:,} frames were there"
    ]
    for stem in manifest["stems"]:
        assert soundfile.info(studio.stems / "cut" / stem["path"]).frames == frames
    assert float(manifest["null_residual_dbfs"]) < -90
    studio.check_complete()
    assert studio.once() == Tally()
    assert sha256(cut) == before


def test_nan_is_repaired_counted_and_nowhere_in_the_stems(studio: Studio) -> None:
    bounce = with_nan(studio.folder / "nan.wav")
    before = sha256(bounce)
    assert studio.once() == Tally(failed=1)
    studio.preset = accepting(studio, "repair")
    assert studio.once() == Tally(done=1)
    manifest = studio.manifest("nan")
    assert manifest["source"]["repaired_values"] == 2010
    assert "values that were NaN, Inf or beyond +120 dBFS: 2,010" in manifest["warnings"][0]
    total = np.zeros((9000, 2))
    for stem in manifest["stems"]:
        wave, _ = soundfile.read(studio.stems / "nan" / stem["path"])
        assert np.isfinite(wave).all()
        total += wave
    assert np.abs(total[6000:8000, 1]).max() < 1e-6  # long: silent
    wave, _ = soundfile.read(bounce)
    good = np.isfinite(wave)
    assert np.abs(total - wave)[good].max() < 1e-6
    assert sha256(bounce) == before


def test_accepting_changes_nothing_about_a_sound_bounce(studio: Studio) -> None:
    """Same bytes; it is another recipe all the same, as it says so in the manifest's preset."""
    render(studio.folder / "mix.wav")
    assert studio.once() == Tally(done=1)
    plain = studio.manifest("mix")
    studio.preset = accepting(studio, "repair")
    assert studio.once() == Tally(done=1)
    lenient = studio.manifest("mix")
    assert [s["sha256"] for s in lenient["stems"]] == [s["sha256"] for s in plain["stems"]]
    assert lenient["warnings"] == []
    assert lenient["source"] == plain["source"]
    assert presets.load(studio.preset).content_hash == lenient["preset"]["hash"]


def test_a_bounce_overwritten_in_place_with_its_old_time_is_done_as_it_is_now(
    studio: Studio, serve: Callable[..., Serving], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `rsync --inplace --times` does it: size, time and inode stay, only the bytes differ."""
    bounce = studio.folder / "mix.wav"
    pending = [2]

    def overtake(job: Job, now: str, share: float) -> None:
        if now == "separate" and share == 1 and pending:
            status = bounce.stat()
            with bounce.open("r+b") as file:
                file.write(wav_bytes(music(9000, seed=pending.pop())))
                file.flush()
                os.utime(bounce, ns=(status.st_atime_ns, status.st_mtime_ns))

    monkeypatch.setattr(studio.heard, "progress", overtake)
    monkeypatch.setattr("bridge.ledger.states._BACK_OFF_S", (0.1, 0.1))
    render(bounce, frames=9000, seed=1)
    serve()
    wait_until(lambda: studio.heard.of("done") == ["mix.wav"], "the newer content")
    assert len(studio.heard.of("retry")) == 1
    assert "changed while it was read" in studio.heard.of("retry")[0]
    (job,) = studio.jobs()
    assert (job.state, job.attempts) == (State.DONE, 2)
    assert studio.manifest("mix")["source"]["sha256"] == sha256(bounce) == job.sha256
    stems = studio.manifest("mix")["stems"]
    total = sum(soundfile.read(studio.stems / "mix" / stem["path"])[0] for stem in stems)
    assert np.abs(total - soundfile.read(bounce)[0]).max() < 2 / 2**23
    studio.check_complete()


def test_what_is_no_file_is_neither_opened_nor_waited_for(studio: Studio) -> None:
    """Links, loops and pipes under names of bounces: nothing hangs, nothing is followed."""
    outside = render(studio.root / "outside" / "secret.wav")
    folder = studio.folder
    os.mkfifo(folder / "pipe.wav")
    (folder / "link.wav").symlink_to(outside)
    (folder / "dangling.wav").symlink_to("nowhere.wav")
    (folder / "loop.wav").symlink_to("loop.wav")
    (folder / "linked folder").symlink_to(outside.parent)
    (folder / "up").symlink_to(folder)
    (folder / "folder.wav").mkdir()
    (folder / "folder.wav" / "round").symlink_to(folder)
    (folder / "null.wav").symlink_to("/dev/zero")
    render(folder / "good.wav")
    render(folder / "folder.wav" / "inner.wav", seed=2)
    assert studio.once() == Tally(done=2), studio.heard.events
    assert studio.published() == ["folder.wav/inner", "good"]
    assert not (outside.parent / "Stems").exists()


def test_extreme_names_get_stems_and_overwrite_nothing(studio: Studio) -> None:
    """255 bytes, only dots, a leading dash, case twins, and mixdowns with names as long."""
    studio.preset = accepting(
        studio, "repair", f"mixdowns:\n  {'🎚' * 64}: {{rest: 0}}\n  CON: {{rest: 0}}\n"
    )
    names = [
        *("ü" * 125 + "x.wav", "ü" * 125 + "y.wav"),  # 255 bytes each
        *("....wav", "-rf.wav", "--help.wav", "a .wav", "a.wav", "A.WAV", "nul.wav", "LPT1.wav"),
        *("a*b?.wav", "a_b_.wav", "tab\there.wav", os.fsdecode(b"\xff\xfe.wav")),
    ]
    for seed, name in enumerate(names):
        render(studio.folder / name, seed=seed)
    kept = {name for name in names if not name.startswith(".")}  # "....wav" is hidden
    assert studio.once() == Tally(done=len(kept)), studio.heard.events
    places = studio.published()
    assert len({place.casefold() for place in places}) == len(kept)
    sums = {studio.manifest(place)["source"]["sha256"] for place in places}
    assert sums == {sha256(studio.folder / name) for name in kept}
    for place in places:
        files = {stem["path"] for stem in studio.manifest(place)["stems"]}
        assert len(files) == 4
        assert all(len(os.fsencode(name)) <= 255 for name in files)
    studio.check_complete()
