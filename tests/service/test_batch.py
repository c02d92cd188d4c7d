"""A batch that is killed, stopped, or short of room: nothing is done twice, nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import soundfile

from bridge.batch.pace import Pace
from bridge.batch.progress import Progress
from bridge.batch.run import Batch, extra_converters
from bridge.convert import Converter
from bridge.errors import LeaseLost
from bridge.ledger.states import Recipe, State
from bridge.ledger.store import Ledger
from bridge.presets import loader as presets
from bridge.publish import output_names
from bridge.publish.manifest import Manifest
from bridge.publish.transaction import MANIFEST, STAGING
from bridge.service import retry_wait
from bridge.service.events import CompositeListener
from bridge.service.job_runner import Tally
from bridge.worker.client import Worker
from tests.bounces import RATE_HZ, music, render, wav_bytes
from tests.support import ROOT, require, thorough
from tests.waiting import PATIENCE_S, wait_until
from tests.watch_service import Studio

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import PurePath

    from bridge.batch.plan import Plan
    from bridge.ledger.states import Job


def fill(folder: Path, count: int, frames: int = 2400) -> None:
    """An export: songs with takes, twins that would share a place, each with its own content."""
    for number in range(count):
        track, kind = divmod(number, 2)
        path = folder / f"Song {track % 4}" / f"Track {track:02}{('.wav', '.W64')[kind]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav_bytes(music(frames, seed=number), time_reference=100 * number))


@dataclass
class Export:
    """The folder of a studio, and batches on it in processes of their own."""

    studio: Studio

    @property
    def folder(self) -> Path:
        return self.studio.folder

    @property
    def out(self) -> Path:
        return self.studio.stems

    def start(self) -> subprocess.Popen[str]:
        model = ("-m", str(self.studio.model))
        return subprocess.Popen(
            [sys.executable, "-m", "bridge", "batch", str(self.folder), *model],
            cwd=ROOT,
            env=self.studio.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self) -> str:
        """To its end; the last line that it says."""
        out, err = self.start().communicate(timeout=600)
        assert "Traceback" not in err
        assert out, err
        return out.splitlines()[-1]

    def manifests(self) -> dict[str, tuple[int, int]]:
        """Of each published set, which file its manifest is."""
        found = [path for path in self._files() if path.name == MANIFEST]
        return {
            path.parent.relative_to(self.out).as_posix(): (
                path.stat().st_ino,
                path.stat().st_mtime_ns,
            )
            for path in found
        }

    def stems(self) -> dict[str, bytes]:
        """Every sound file that was made."""
        found = [path for path in self._files() if path.suffix == ".wav"]
        return {path.relative_to(self.out).as_posix(): path.read_bytes() for path in found}

    def _files(self) -> Iterator[Path]:
        """What is published; folders that come and go while one looks are not looked into."""
        for folder, inside, files in os.walk(self.out):
            inside[:] = [name for name in inside if name != STAGING]
            yield from (Path(folder, name) for name in files)

    def check_each_done_once(self, count: int) -> None:
        jobs = self.studio.jobs()
        assert len({job.source_path for job in jobs}) == len(jobs) == count
        assert {(job.state, job.attempts) for job in jobs} == {(State.DONE, 1)}
        assert len(self.manifests()) == count
        assert not (self.out / STAGING).exists()


def check_killed_and_resumed(studio: Studio, count: int, kills: int) -> None:
    war = Export(studio)
    quiet = Studio(studio.root / "in peace", studio.model, studio.worker)
    fill(war.folder, count)
    shutil.copytree(war.folder, quiet.folder, dirs_exist_ok=True)
    assert Bench(quiet).run() == Tally(done=count)
    for number in range(1, kills + 1):
        before, enough = war.manifests(), count * number // (kills + 1)
        process = war.start()
        wait_until(lambda: len(war.manifests()) >= enough, "sets", timeout_s=5 * PATIENCE_S)  # noqa: B023
        process.kill()
        process.communicate()
        between = war.manifests()
        assert enough <= len(between) < count
        assert before.items() <= between.items()
    last = war.run()
    # What was published when the ledger did not know it yet counts as done now.
    done, unchanged = (int(word) for word in last.split() if word.isdigit())
    assert done + unchanged == count
    assert unchanged >= len(between) - 1
    after = war.manifests()
    assert between.items() <= after.items(), "a set was made twice"
    assert war.stems() == Export(quiet).stems()
    war.check_each_done_once(count)
    assert war.run() == f"nothing to do: {count} unchanged"
    assert war.manifests() == after


@pytest.mark.thorough
def test_a_batch_that_is_killed_goes_on_where_it_was(studio: Studio) -> None:
    check_killed_and_resumed(studio, count=8, kills=1)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_forty_exports_killed_again_and_again_go_on(studio: Studio) -> None:
    check_killed_and_resumed(studio, count=40, kills=4)


@pytest.mark.timing
@pytest.mark.parametrize("number", [signal.SIGINT, *thorough([signal.SIGTERM])])
def test_a_batch_that_is_stopped_gives_its_job_back_and_tells_what_was_done(
    studio: Studio, number: signal.Signals
) -> None:
    export = Export(studio)
    fill(export.folder, 1)
    render(export.folder / "z long.wav", frames=30 * RATE_HZ)
    process = export.start()
    staging = export.out / STAGING

    def is_begun() -> bool:
        running = [job.path.name for job in studio.jobs() if job.state is State.RUNNING]
        return running == ["z long.wav"] and any(files for *_, files in os.walk(staging))

    wait_until(is_begun, "the long one to begin")
    begun_s = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert time.monotonic() - begun_s < 5
    assert process.returncode == 130, err
    assert "Track 00.wav" in out
    assert out.splitlines()[-1] == "1 done, 1 left"
    assert "left: 1 (stopped; the next service does it)" in out
    (long,) = [job for job in studio.jobs() if job.path.name == "z long.wav"]
    assert (long.state, long.attempts) == (State.PENDING, 0)
    assert not staging.exists()
    assert Bench(studio).run() == Tally(done=1)


# In this process, where its inside can be looked at.


class Bench:
    """Batches of a studio's folder, in this process."""

    def __init__(self, studio: Studio) -> None:
        self.studio, self.stop = studio, threading.Event()
        converter = Converter(
            studio.settings, presets.load(studio.preset), str(studio.model), studio.worker
        )
        self.batch = Batch(studio.folder, studio.stems, converter)
        self.progress: Progress

    def run(self, jobs: int = 1) -> Tally:
        plan = self.batch.plan()
        self.progress = self._progress(plan)
        events = CompositeListener(self.progress, self.studio.heard)
        with extra_converters(self.batch.converter, jobs - 1, Worker) as more:
            return self.batch.run(plan, events, self.stop, more)

    def ends(self) -> dict[str, str]:
        found = self.batch.outcomes(self.batch.plan(), self.progress.by_source())
        return {one.source.as_posix(): one.state.value for one in found}

    def _progress(self, plan: Plan) -> Progress:
        lengths_s = self.batch.lengths_s(plan.to_do)
        return Progress(lengths_s, Pace(), overall=lambda _, share: share)

    @contextmanager
    def running(self) -> Iterator[list[Tally]]:
        tallies: list[Tally] = []
        thread = threading.Thread(target=lambda: tallies.append(self.run()))
        thread.start()
        try:
            yield tallies
        finally:
            self.stop.set()
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


@pytest.fixture
def bench(studio: Studio) -> Bench:
    return Bench(studio)


def test_several_hands_do_each_once_and_make_the_same(
    studio: Studio, bench: Bench, tmp_path: Path
) -> None:
    """Twins, too, lie where one hand would have put them."""
    fill(studio.folder, 8)
    assert bench.run() == Tally(done=8)
    alone = {path.relative_to(studio.stems): path for path in studio.stems.rglob("*.wav")}
    before = {place: path.read_bytes() for place, path in alone.items()}
    shutil.rmtree(studio.stems)
    assert bench.run(jobs=2) == Tally(done=8)
    after = {path.relative_to(studio.stems): path for path in studio.stems.rglob("*.wav")}
    assert {place: path.read_bytes() for place, path in after.items()} == before
    assert {job.attempts for job in studio.jobs()} == {1}
    assert len(studio.heard.of("done")) == 16
    studio.check_complete()
    assert set(bench.ends().values()) == {"done"}
    assert bench.run(jobs=3) == Tally()


def test_places_are_those_that_were_foretold(studio: Studio, bench: Bench) -> None:
    """Whichever is ready first: a FLAC does not say how long it is, and is waited for."""
    wave = music(2400)
    soundfile.write(studio.folder / "a.flac", wave.T, RATE_HZ)
    render(studio.folder / "a.wav")
    foretold = {item.source: Path(item.place) for item in bench.batch.plan().items}
    assert {str(source): str(place) for source, place in foretold.items()} == {
        "a.flac": "a",
        "a.wav": "a (wav)",
    }
    assert bench.run() == Tally(done=2)
    assert studio.heard.of("done") == ["a.wav", "a.flac"]
    assert {job.source_path: job.output_path for job in studio.jobs()} == foretold


def test_a_defect_in_one_hand_ends_all(
    studio: Studio, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that nobody foresaw must not leave a batch that hangs."""
    fill(studio.folder, 6)
    claim, calls = Ledger.claim_next, []

    def broken(self: Ledger, *arguments: object) -> Job | None:
        calls.append(threading.current_thread().name)
        if calls[-1].startswith("work"):
            raise ZeroDivisionError
        return claim(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Ledger, "claim_next", broken)
    with pytest.raises(ZeroDivisionError):
        bench.run(jobs=2)
    assert studio.services() == []
    assert {job.state for job in studio.jobs()} <= {State.PENDING, State.DONE}
    assert len(studio.heard.of("done")) < 6


def test_two_that_choose_at_once_do_not_take_one_place(studio: Studio) -> None:
    """Names are chosen and noted in one step, whoever else is choosing."""
    ledger = Ledger(studio.settings.ledger_path)
    recipe = Recipe("stems", "h", "m", "v", studio.stems)
    for number in range(8):
        path = studio.folder / f"a.{number}"
        ledger.offer(studio.folder, path, 1, 1, settled_s=0.0, recipe=recipe)
    jobs = [ledger.claim_next(studio.folder, "a service") for _ in range(8)]

    def choose(source: PurePath, taken: Mapping[str, str]) -> PurePath:
        time.sleep(0.01)  # long enough for all the others to have looked, too
        return output_names.output_name(source, taken)

    with ThreadPoolExecutor(8) as threads:
        placed = list(threads.map(lambda job: ledger.choose_output(job, choose), jobs))
    ledger.close()
    assert len({job.output_path for job in placed}) == 8
    assert {job.output_path for job in studio.jobs()} == {job.output_path for job in placed}


def test_who_has_lost_a_job_gets_no_place(studio: Studio) -> None:
    ledger = Ledger(studio.settings.ledger_path)
    recipe = Recipe("stems", "h", "m", "v", studio.stems)
    ledger.offer(studio.folder, studio.folder / "a.wav", 1, 1, settled_s=0.0, recipe=recipe)
    job = ledger.claim_next(studio.folder, "a service")
    assert job is not None
    ledger.requeue(job)
    assert ledger.claim_next(studio.folder, "another") is not None
    with pytest.raises(LeaseLost):
        ledger.choose_output(job, output_names.output_name)
    ledger.close()


def test_only_what_has_ended_is_begun_again(studio: Studio) -> None:
    ledger = Ledger(studio.settings.ledger_path)
    recipe = Recipe("stems", "h", "m", "v", studio.stems)
    job = ledger.offer(studio.folder, studio.folder / "a.wav", 1, 1, settled_s=0.0, recipe=recipe)
    assert job is not None
    assert ledger.restart(job) == job
    running = ledger.claim_next(studio.folder, "a service")
    assert running is not None
    assert ledger.restart(job) == running
    ledger.done(running, studio.stems / "a" / MANIFEST)
    again = ledger.restart(running)
    assert (again.state, again.attempts) == (State.PENDING, 0)
    assert ledger.newest(studio.folder, studio.stems) == {again.source_path: again}
    assert ledger.newest(studio.folder, studio.root) == {}
    assert ledger.newest(studio.root, studio.stems) == {}
    ledger.close()


def test_a_full_disk_pauses_the_batch_until_there_is_room(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry_wait, "FIRST_WAIT_S", 0.2)
    monkeypatch.setattr(retry_wait, "LONGEST_WAIT_S", 0.5)
    render(studio.folder / "mix.wav", frames=20 * RATE_HZ)
    with require.tmpfs(tmp_path / "small", 32_000_000) as out:
        bench = Bench(studio)
        bench.batch.out_dir = out
        ballast = out / "ballast"
        ballast.write_bytes(bytes(29_000_000))
        with bench.running() as tallies:
            wait_until(lambda: bool(studio.heard.of("paused")), "the pause")
            assert bench.progress.paused is not None
            (job,) = studio.jobs()
            assert (job.state, job.attempts, job.code) == (State.PENDING, 0, "disk-full")
            ballast.unlink()
            wait_until(lambda: bool(tallies), "the end")
        assert tallies == [Tally(done=1)]
        assert bench.progress.paused is None
        assert {path.name for path in out.iterdir()} == {"mix"}


def test_what_is_rendered_meanwhile_is_done_too(studio: Studio, bench: Bench) -> None:
    fill(studio.folder, 2)
    late = studio.folder / "late.wav"
    started = studio.heard.started

    def started_and_rendered(job: Job) -> None:
        started(job)
        if not late.exists():
            render(late, seed=99)

    studio.heard.started = started_and_rendered  # type: ignore[method-assign]
    assert bench.run() == Tally(done=3)
    assert bench.ends()["late.wav"] == "done"


def test_a_bounce_that_goes_before_its_turn_is_told(studio: Studio, bench: Bench) -> None:
    fill(studio.folder, 2)
    gone = studio.folder / "Song 0" / "Track 00.wav"
    plan = bench.batch.plan()
    gone.unlink()
    bench.progress = bench._progress(plan)
    bench.batch.run(plan, CompositeListener(bench.progress, studio.heard), bench.stop)
    found = bench.batch.outcomes(plan, bench.progress.by_source())
    ends = {one.source.name: one.state.value for one in found}
    assert ends == {"Track 00.W64": "done", "Track 00.wav": "left"}


def test_the_manifest_of_a_set_is_in_the_summary(studio: Studio, bench: Bench) -> None:
    fill(studio.folder, 1)
    bench.run()
    (one,) = bench.batch.outcomes(bench.batch.plan(), bench.progress.by_source())
    assert one.manifest is not None
    assert one.folder is not None
    written = json.loads((one.folder / MANIFEST).read_text(encoding="utf-8"))
    assert one.manifest == Manifest.from_json(written)
