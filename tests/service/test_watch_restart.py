"""A restart neither redoes nor forgets; a new render, preset or name comes out right."""

from __future__ import annotations

import os
import shutil
import signal
import time
import unicodedata
from typing import TYPE_CHECKING

import pytest
import soundfile

from bridge.ledger.states import State
from bridge.publish.transaction import STAGING
from bridge.service.watch import Tally
from tests.bounces import RATE_HZ, SHORT_FRAMES, music, render
from tests.support import sha256, thorough

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.watch_service import Child, Studio


def touch(path: Path) -> None:
    """A new modification time, nothing else."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 5 * 10**9))


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a folder: its inode and bytes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): (p.stat().st_ino, p.read_bytes()) for p in files}


def test_a_restart_neither_redoes_nor_forgets(studio: Studio) -> None:
    for seed in range(3):
        render(studio.folder / f"{seed}.wav", seed=seed)
    assert studio.once() == Tally(done=3)
    before = contents(studio.stems)
    assert studio.once() == Tally()
    render(studio.folder / "new.wav", seed=9)  # while no service runs
    assert studio.once() == Tally(done=1)
    touch(studio.folder / "1.wav")
    assert studio.once() == Tally(skipped=1)
    assert studio.once() == Tally()
    after = contents(studio.stems)
    assert {name: after[name] for name in before} == before
    assert studio.published() == ["0", "1", "2", "new"]


def test_a_touched_bounce_whose_stems_are_gone_is_done_again(studio: Studio) -> None:
    render(studio.folder / "mix.wav")
    studio.once()
    shutil.rmtree(studio.stems / "mix")
    touch(studio.folder / "mix.wav")
    assert studio.once() == Tally(done=1)
    assert studio.published() == ["mix"]


@pytest.mark.timing
@pytest.mark.parametrize(
    "ended_by",
    [
        signal.SIGKILL,
        *thorough([signal.SIGTERM, signal.SIGINT]),
    ],
)
def test_a_job_that_is_interrupted_is_done_once_by_the_next_service(
    studio: Studio, start: Callable[..., Child], ended_by: signal.Signals
) -> None:
    child = start()
    child.ready()
    bounce = render(studio.folder / "long.wav", frames=30 * RATE_HZ)
    staging = studio.stems / STAGING
    child.wait_for(lambda: any(staging.glob("*/*")), "files in the staging folder")
    begun_s = time.monotonic()
    code = child.end(ended_by)
    assert time.monotonic() - begun_s < 5
    (job,) = studio.jobs()
    assert studio.published() == []
    if ended_by == signal.SIGKILL:
        assert staging.exists()  # it could not clean up: the next one has to
        assert job.state is State.RUNNING
    else:
        assert code == 130
        assert "long.wav: stopped; the next service does it" in child.log
        assert "Traceback" not in child.log
        assert (job.state, job.attempts) == (State.PENDING, 0)
        assert not staging.exists()
    assert studio.once() == Tally(done=1)
    (job,) = studio.jobs()
    assert job.state is State.DONE
    assert studio.manifest("long")["source"]["sha256"] == sha256(bounce)
    studio.check_complete()


def test_a_render_over_the_same_name_replaces_its_stems(studio: Studio) -> None:
    bounce = render(studio.folder / "mix.wav", seed=1)
    studio.once()
    place = studio.stems / "mix"
    (place / "my notes.txt").write_text("louder")
    (place / "mix - vocals.wav.reapeaks").write_bytes(b"peaks")
    older = contents(place)
    render(bounce, seed=2, frames=SHORT_FRAMES + 7)
    assert studio.once() == Tally(done=1)
    newer = contents(place)
    assert newer.keys() == older.keys()
    for name in newer:
        ours = name.endswith((".wav", "manifest.json"))
        assert (newer[name] != older[name]) == ours, name
    assert studio.manifest("mix")["source"]["sha256"] == sha256(bounce)
    studio.check_complete()


def test_another_preset_does_it_again_and_removes_what_it_does_not_make(studio: Studio) -> None:
    render(studio.folder / "mix.wav")
    studio.once()
    (studio.stems / "mix" / "mine.wav").write_bytes(b"not ours")
    studio.preset = "rehearsal"
    assert studio.once() == Tally(done=1)
    place = studio.stems / "mix"
    (stem,) = studio.manifest("mix")["stems"]
    assert {path.name for path in place.iterdir()} == {"manifest.json", "mine.wav", stem["path"]}
    assert studio.once() == Tally()
    studio.preset = "stems"  # and back
    assert studio.once() == Tally(done=1)
    assert not (place / stem["path"]).exists()
    studio.check_complete()


def test_names_of_every_kind_get_a_place_of_their_own(studio: Studio) -> None:
    composed = unicodedata.normalize("NFC", "Größe é.wav")
    decomposed = unicodedata.normalize("NFD", composed)
    names = [
        "My  Song (final) v2.wav",
        composed,
        decomposed,
        "日本語 🎸.wav",
        "a.wav",
        "Album/Disc 1/01 Intro.wav",
        "Album/01 Intro.wav",
        "trailing dots...wav",
        "line\nbreak.wav",
        "con.wav",
        os.fsdecode(b"caf\xe9.wav"),  # Latin-1, from an old disk
    ]
    if len({os.stat(render(studio.folder / name)).st_ino for name in names}) < len(names):  # noqa: PTH116
        names.remove(decomposed)  # a file system that takes both for one name
    for seed, name in enumerate(names):
        render(studio.folder / name, seed=seed)
    soundfile.write(studio.folder / "a.flac", music(SHORT_FRAMES, seed=99).T, RATE_HZ)
    names.append("a.flac")
    for ignored in (".hidden.wav", ".trash/old.wav", "mix.wav.part", "~lock.wav", "x.part/y.wav"):
        render(studio.folder / ignored)
    assert studio.once() == Tally(done=len(names)), studio.heard.events
    places = studio.published()
    sums = [studio.manifest(place)["source"]["sha256"] for place in places]
    assert sorted(sums) == sorted(sha256(studio.folder / name) for name in names)
    assert {"a", "a (flac)", "Album/Disc 1/01 Intro", "Album/01 Intro"} <= set(places)
    assert {"line break", "linebreak"} & set(places)
    studio.check_complete()
    assert studio.once() == Tally()


def test_our_own_stems_are_not_bounces_wherever_they_are_copied(studio: Studio) -> None:
    render(studio.folder / "mix.wav")
    studio.once()
    shutil.copytree(studio.stems / "mix", studio.folder / "kept")
    shutil.copytree(studio.stems, studio.folder / "Old Session" / "all stems")
    assert studio.once() == Tally()
    assert [job.path.name for job in studio.jobs()] == ["mix.wav"]
    assert studio.published() == ["mix"]


def test_stems_beside_the_bounces_are_not_taken_in(studio: Studio) -> None:
    """With another output folder today, yesterday's is still known by its manifests."""
    render(studio.folder / "mix.wav")
    assert studio.once(out=studio.folder / "Monday") == Tally(done=1)
    assert studio.once(out=studio.folder / "Tuesday") == Tally(done=1)
    assert {job.path.name for job in studio.jobs()} == {"mix.wav"}


def test_a_bounce_that_is_gone_before_its_turn_is_withdrawn(
    studio: Studio, start: Callable[..., Child]
) -> None:
    render(studio.folder / "mix.wav")
    watch = studio.watch()
    ledger = watch._ledger
    status = (studio.folder / "mix.wav").stat()
    ledger.offer(
        studio.folder,
        studio.folder / "mix.wav",
        status.st_size,
        status.st_mtime_ns,
        settled_s=time.time(),
        recipe=watch._recipe,
    )
    (studio.folder / "mix.wav").unlink()
    assert studio.once() == Tally()
    assert studio.states() == {"mix.wav": State.WITHDRAWN}


def test_a_failure_whose_cause_is_gone_is_done_after_retry(studio: Studio) -> None:
    """A file where the stems' folder should be: three attempts, then it waits for the user."""
    begun_s = time.time()
    studio.clock = lambda: begun_s + 50 * (time.time() - begun_s)  # the pauses are 5 s and 30 s
    bounce = render(studio.folder / "mix.wav")
    studio.stems.mkdir()
    (studio.stems / "mix").write_text("in the way")
    assert studio.once() == Tally(failed=1)
    assert [event for event, _ in studio.heard.events if event != "started"] == [
        *("retry", "retry", "failed")
    ]
    (job,) = studio.jobs()
    assert (job.code, job.attempts) == ("output", 3)
    assert "stembridge retry" in str(job.reason)
    assert studio.leftovers() == []
    (studio.stems / "mix").unlink()
    assert studio.once() == Tally()  # not before the user asks for it
    retried = studio.cli("retry", str(bounce))
    assert (retried.returncode, retried.stdout) == (0, "1 back in the queue\n")
    assert studio.once() == Tally(done=1)
    (job,) = studio.jobs()
    assert (job.state, job.code, job.reason) == (State.DONE, None, None)
    studio.check_complete()
    assert "nothing to retry" in studio.cli("retry").stdout
