"""The ledger on a real file: threads, processes, kills, damage, and what must always hold."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bridge import errors
from bridge.ledger import database
from bridge.ledger.recover import recover
from bridge.ledger.states import MAX_ATTEMPTS, Recipe, State
from bridge.ledger.store import Ledger
from bridge.publish.output_names import output_name
from tests.hypothesis_profiles import examples
from tests.service.ledger_values import FOLDER, OTHER_RECIPE, RECIPE, Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.ledger.states import Job

OWNER = "a service"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "state" / "ledger.sqlite", clock=clock)
    yield ledger
    ledger.close()


def _offer(
    ledger: Ledger, name: str = "mix.wav", mtime_ns: int = 1, recipe: Recipe = RECIPE
) -> Job | None:
    return ledger.offer(FOLDER, FOLDER / name, 100, mtime_ns, settled_s=7.0, recipe=recipe)


def _running(ledger: Ledger, name: str = "mix.wav", mtime_ns: int = 1) -> Job:
    assert _offer(ledger, name, mtime_ns) is not None
    job = ledger.claim_next(FOLDER, OWNER, RECIPE)
    assert job is not None
    return job


def _done(ledger: Ledger, mtime_ns: int, sha256: str) -> Job:
    job = _running(ledger, "mix.wav", mtime_ns)
    assert ledger.identified(job, sha256) is None
    job = ledger.assign_output(job, PurePosixPath("mix"))
    return ledger.done(job, Path("/watched/Stems/mix/manifest.json"))


def test_a_job_goes_from_offer_to_done_and_is_remembered(tmp_path: Path, clock: Clock) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite", clock=clock)
    offered = _offer(ledger, "Song 1/mïx.wav")
    assert offered is not None
    assert (offered.path, offered.state) == (FOLDER / "Song 1/mïx.wav", State.PENDING)
    assert (offered.recipe, offered.settled_s, offered.created_s) == (RECIPE, 7.0, clock.now_s)
    running = ledger.claim_next(FOLDER, OWNER, RECIPE)
    assert running is not None
    assert (running.id, running.state, running.attempts) == (offered.id, State.RUNNING, 1)
    assert ledger.claim_next(FOLDER, OWNER, RECIPE) is None
    assert ledger.identified(running, "abc") is None
    running = ledger.assign_output(running, PurePosixPath("Song 1/mïx"))
    clock.now_s += 4
    done = ledger.done(running, Path("/watched/Stems/Song 1/mïx/manifest.json"))
    assert (done.state, done.started_s, done.finished_s) == (
        State.DONE,
        clock.now_s - 4,
        clock.now_s,
    )
    ledger.close()
    reopened = Ledger(tmp_path / "ledger.sqlite")
    assert reopened.jobs() == [done]
    assert reopened.jobs()[0].sha256 == "abc"
    assert reopened.known(FOLDER, FOLDER / "Song 1/mïx.wav", 100, 1, RECIPE)
    assert reopened.counts() == {**dict.fromkeys(State, 0), State.DONE: 1}
    reopened.close()


def test_the_same_bounce_and_recipe_is_known_and_not_offered_twice(ledger: Ledger) -> None:
    assert _offer(ledger) is not None
    assert _offer(ledger) is None
    assert ledger.known(FOLDER, FOLDER / "mix.wav", 100, 1, RECIPE)
    assert ledger.known(FOLDER, Path("mix.wav"), 100, 1, RECIPE)
    assert not ledger.known(FOLDER, FOLDER / "mix.wav", 100, 2, RECIPE)
    assert not ledger.known(FOLDER, FOLDER / "mix.wav", 101, 1, RECIPE)
    assert not ledger.known(FOLDER, FOLDER / "mix.flac", 100, 1, RECIPE)
    assert not ledger.known(FOLDER, FOLDER / "mix.wav", 100, 1, OTHER_RECIPE)
    assert not ledger.known(Path("/else"), Path("mix.wav"), 100, 1, RECIPE)


def test_a_renamed_preset_is_the_same_recipe(ledger: Ledger) -> None:
    assert _offer(ledger) is not None
    renamed = Recipe("other name", "hash-1", "spleeter-2stems", "1", Path("/watched/Stems"))
    assert _offer(ledger, recipe=renamed) is None


def test_a_render_over_a_waiting_bounce_replaces_its_job(ledger: Ledger) -> None:
    first, other, second = _offer(ledger), _offer(ledger, "b.wav"), _offer(ledger, mtime_ns=2)
    assert first is not None
    assert other is not None
    assert second is not None
    by_id = {job.id: job for job in ledger.jobs()}
    assert by_id[first.id].state is State.WITHDRAWN
    assert by_id[first.id].code == "superseded"
    assert by_id[other.id].state is State.PENDING
    assert by_id[second.id].state is State.PENDING


def test_a_bounce_whose_old_render_still_runs_waits_for_it(ledger: Ledger) -> None:
    old = _running(ledger, mtime_ns=1)
    new = _offer(ledger, mtime_ns=2)
    assert new is not None
    assert ledger.claim_next(FOLDER, OWNER, RECIPE) is None
    # the old render fails because the file changed: it is not tried again, the new one is
    assert ledger.failed(old, "changed", "it changed", retryable=True).state is State.WITHDRAWN
    claimed = ledger.claim_next(FOLDER, OWNER, RECIPE)
    assert claimed is not None
    assert claimed.id == new.id


def test_a_shut_down_gives_a_superseded_job_up(ledger: Ledger) -> None:
    old = _running(ledger, mtime_ns=1)
    assert _offer(ledger, mtime_ns=2) is not None
    assert ledger.requeue(old).state is State.WITHDRAWN


def test_failures_that_may_pass_back_off_and_end(ledger: Ledger, clock: Clock) -> None:
    job = _running(ledger)
    for pause_s in (5.0, 30.0):
        job = ledger.failed(job, "output", "disk full", retryable=True)
        assert (job.state, job.code, job.reason) == (State.PENDING, "output", "disk full")
        assert ledger.due_in_s(FOLDER) == pause_s
        assert ledger.claim_next(FOLDER, OWNER, RECIPE) is None
        clock.now_s += pause_s
        assert ledger.due_in_s(FOLDER) == 0.0
        claimed = ledger.claim_next(FOLDER, OWNER, RECIPE)
        assert claimed is not None
        job = claimed
    job = ledger.failed(job, "output", "disk full", retryable=True)
    assert (job.state, job.attempts, job.finished_s) == (State.FAILED, 3, clock.now_s)
    assert ledger.due_in_s(FOLDER) is None
    assert ledger.known(FOLDER, job.path, 100, 1, RECIPE)  # left alone until somebody asks


def test_retry_starts_failed_jobs_afresh(ledger: Ledger) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        ledger.failed(_running(ledger, name), "silent", "nothing but silence", retryable=False)
    assert ledger.retry(paths=[FOLDER / "a.wav"]) == 1
    assert ledger.retry(Path("/else")) == 0
    job = ledger.claim_next(FOLDER, OWNER, RECIPE)
    assert job is not None
    assert (job.source_path, job.attempts) == (Path("a.wav"), 1)
    assert ledger.retry(FOLDER) == 2
    assert ledger.counts(FOLDER)[State.PENDING] == 2


def test_retry_leaves_a_failed_render_alone_when_a_newer_one_exists(ledger: Ledger) -> None:
    ledger.failed(_running(ledger, mtime_ns=1), "silent", "silence", retryable=False)
    _done(ledger, mtime_ns=2, sha256="two")
    assert ledger.retry() == 0


def test_a_touched_bounce_is_skipped_by_its_content(ledger: Ledger) -> None:
    first = _done(ledger, mtime_ns=1, sha256="one")
    touched = _running(ledger, mtime_ns=2)
    earlier = ledger.identified(touched, "one")
    assert earlier == first
    skipped = ledger.skip(touched, first)
    assert (skipped.state, skipped.manifest_path) == (State.DONE, first.manifest_path)
    assert skipped.output_path == first.output_path


def test_an_older_render_that_comes_back_is_done_again(ledger: Ledger) -> None:
    """Its stems were replaced by those of the render in between."""
    _done(ledger, mtime_ns=1, sha256="one")
    _done(ledger, mtime_ns=2, sha256="two")
    assert not ledger.known(FOLDER, FOLDER / "mix.wav", 100, 1, RECIPE)
    assert ledger.identified(_running(ledger, mtime_ns=1), "one") is None


def test_another_recipe_is_done_again(ledger: Ledger) -> None:
    _done(ledger, mtime_ns=1, sha256="one")
    assert _offer(ledger, recipe=OTHER_RECIPE) is not None
    job = ledger.claim_next(FOLDER, OWNER, OTHER_RECIPE)
    assert job is not None
    assert ledger.identified(job, "one") is None


def test_output_names_are_what_the_naming_needs(ledger: Ledger) -> None:
    for name in ("mix.wav", "mix.flac", "sub/mix.wav"):
        job = _running(ledger, name)
        taken = ledger.output_names(RECIPE.out_dir, FOLDER)
        ledger.assign_output(job, output_name(job.source_path, taken))
        ledger.failed(job, "silent", "silence", retryable=False)
    names = {"mix": "mix.wav", "mix (flac)": "mix.flac", "sub/mix": "sub/mix.wav"}
    assert ledger.output_names(RECIPE.out_dir, FOLDER) == names
    elsewhere = ledger.output_names(RECIPE.out_dir, Path("/second"))
    assert elsewhere["mix"] == "/watched/mix.wav"
    assert ledger.output_names(Path("/nowhere"), FOLDER) == {}


def test_an_output_folder_has_one_owner(ledger: Ledger) -> None:
    ledger.assign_output(_running(ledger, "a.wav"), PurePosixPath("a"))
    with pytest.raises(errors.LedgerError, match="belongs to another bounce"):
        ledger.assign_output(_running(ledger, "a.flac"), PurePosixPath("a"))


def test_names_and_reasons_that_are_not_text_survive(ledger: Ledger) -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    job = _running(ledger, name)
    failed = ledger.failed(job, "not-audio", f"cannot read {name}", retryable=False)
    assert failed.source_path == Path(name)
    assert failed.reason == "cannot read caf\\udce9.wav"
    assert ledger.known(FOLDER, FOLDER / name, 100, 1, RECIPE)


def test_a_job_cannot_finish_twice(ledger: Ledger) -> None:
    job = _running(ledger)
    ledger.done(job, Path("/m.json"))
    with pytest.raises(errors.LedgerError, match="from done to failed"):
        ledger.failed(job, "x", "y", retryable=False)
    with pytest.raises(errors.LedgerError, match="from done to withdrawn"):
        ledger.withdraw(job, "gone")


def test_jobs_come_newest_first_and_filtered(ledger: Ledger) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        assert _offer(ledger, name) is not None
    ledger.withdraw(ledger.jobs()[-1], "gone")
    assert [job.source_path.name for job in ledger.jobs(limit=2)] == ["c.wav", "b.wav"]
    assert [job.source_path.name for job in ledger.jobs(states=[State.WITHDRAWN])] == ["a.wav"]
    assert ledger.jobs(Path("/else")) == []
    assert ledger.jobs(states=[]) == []


def test_a_newer_schema_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger(path).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {len(database.MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(errors.LedgerError, match=r"newer Stembridge .* upgrade"):
        Ledger(path)


def test_an_older_schema_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.sqlite"
    old = Ledger(path)
    job = _offer(old)
    old.close()
    step = ("ALTER TABLE jobs ADD COLUMN colour TEXT DEFAULT 'red'",)
    monkeypatch.setattr(database, "MIGRATIONS", (*database.MIGRATIONS, step))
    new = Ledger(path)
    assert new.jobs() == [job]
    new.close()
    db = sqlite3.connect(path)
    assert db.execute("SELECT colour FROM jobs").fetchall() == [("red",)]
    assert db.execute("PRAGMA user_version").fetchone() == (len(database.MIGRATIONS),)
    db.close()


@pytest.mark.parametrize("damage", ["text", "header", "pages"])
def test_a_damaged_file_is_named_with_advice(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path)
    for number in range(200):
        _offer(ledger, f"{number}.wav")
    ledger.close()
    data = bytearray(path.read_bytes())
    if damage == "text":
        data = bytearray(b"this is no database\n" * 100)
    elif damage == "header":
        data[:16] = bytes(16)
    else:
        data[4096 * 2 :] = b"\xa5" * (len(data) - 4096 * 2)
    path.write_bytes(data)
    with pytest.raises(errors.LedgerError, match=r"ledger\.sqlite is damaged .* move it away"):
        Ledger(path)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "library.sqlite"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE songs (name TEXT)")
    db.commit()
    db.close()
    before = path.read_bytes()
    with pytest.raises(errors.LedgerError, match="the database of another program"):
        Ledger(path)
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.LedgerError, match="cannot use the ledger"):
        Ledger(tmp_path / "file" / "ledger.sqlite")
    (tmp_path / "folder").mkdir()
    with pytest.raises(errors.LedgerError, match="cannot use the ledger"):
        Ledger(tmp_path / "folder")


def test_threads_share_a_ledger(ledger: Ledger) -> None:
    claimed, lock = Counter[str](), threading.Lock()

    def work(offset: int) -> None:
        for number in range(10):
            _offer(ledger, f"{offset + number}.wav")
        while (job := ledger.claim_next(FOLDER, OWNER, RECIPE)) is not None:
            with lock:
                claimed[job.source_path.name] += 1
            ledger.done(job, Path("/m.json"))

    threads = [threading.Thread(target=work, args=(offset,)) for offset in (0, 5, 10, 15)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert claimed == Counter(f"{number}.wav" for number in range(25))
    assert ledger.counts()[State.DONE] == 25


CLAIM_ALL = """
import sys, time
from pathlib import Path
from bridge.ledger.store import Ledger
from tests.service.ledger_values import RECIPE
ledger = Ledger(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read()
while (job := ledger.claim_next(Path("/watched"), sys.argv[2], RECIPE)) is not None:
    print(job.source_path, flush=True)
    time.sleep(0.001)  # the work; without it the first to get SQLite's lock keeps it
"""

CLAIM_ONE_AND_HANG = """
import sys, time
from pathlib import Path
from bridge.ledger.store import Ledger
from tests.service.ledger_values import RECIPE
ledger = Ledger(Path(sys.argv[1]))
service = ledger.services.begin(Path(sys.argv[2]), RECIPE)
print(ledger.claim_next(Path(sys.argv[2]), service.token, RECIPE).source_path, flush=True)
time.sleep(60)
"""

OPEN = """
import sys
from pathlib import Path
from bridge.ledger.store import Ledger
sys.stdin.read()
Ledger(Path(sys.argv[1])).close()
"""


def _python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_claim_500_jobs_once_each(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path)
    names = {f"{number}.wav" for number in range(500)}
    for name in names:
        _offer(ledger, name)
    workers = [_python(CLAIM_ALL, path, name) for name in ("one", "two")]
    for worker in workers:  # both are up before either begins
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.close()
        worker.stdin = None
    outputs = [worker.communicate(timeout=60)[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sorted(outputs[0] + outputs[1]) == sorted(names)
    assert all(outputs)  # both had a share, or the test shows nothing
    ledger.close()


def test_processes_may_open_a_new_ledger_at_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    openers = [_python(OPEN, path) for _ in range(4)]
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.close()
    assert [opener.wait(timeout=60) for opener in openers] == [0, 0, 0, 0]


def test_a_killed_service_leaves_work_that_recovery_gives_back(tmp_path: Path) -> None:
    folder, path = tmp_path / "watched", tmp_path / "ledger.sqlite"
    folder.mkdir()
    ledger = Ledger(path)
    for name in ("a.wav", "b.wav", "gone.wav"):
        (folder / name).write_bytes(b"x")
        ledger.offer(folder, folder / name, 1, 1, settled_s=0.0, recipe=RECIPE)
    service = _python(CLAIM_ONE_AND_HANG, path, folder)
    assert service.stdout is not None
    assert service.stdout.readline() == "a.wav\n"
    service.send_signal(signal.SIGKILL)
    service.wait(timeout=10)
    (folder / "gone.wav").unlink()
    running = ledger.jobs(states=[State.RUNNING])
    assert [job.source_path.name for job in running] == ["a.wav"]
    assert recover(ledger, tmp_path / "another").requeued == 0

    report = recover(ledger, folder)

    assert (report.requeued, report.withdrawn, report.folder_missing) == (1, 1, False)
    by_name = {job.source_path.name: job for job in ledger.jobs()}
    assert {name: job.state for name, job in by_name.items()} == {
        "a.wav": State.PENDING,
        "b.wav": State.PENDING,
        "gone.wav": State.WITHDRAWN,
    }
    assert "no longer there" in (by_name["gone.wav"].reason or "")
    again = ledger.claim_next(folder, OWNER, RECIPE)
    assert again is not None
    assert (again.source_path.name, again.attempts) == ("a.wav", 1)  # the kill cost no attempt
    assert recover(ledger, folder).requeued == 1  # and again: it converges
    assert recover(ledger, folder) == type(report)(0, 0, folder_missing=False)
    ledger.close()


def test_a_missing_folder_withdraws_nothing(tmp_path: Path, ledger: Ledger) -> None:
    folder = tmp_path / "unplugged"
    ledger.offer(folder, folder / "a.wav", 1, 1, settled_s=0.0, recipe=RECIPE)
    report = recover(ledger, folder)
    assert (report.withdrawn, report.folder_missing) == (0, True)
    assert ledger.counts(folder)[State.PENDING] == 1


class LedgerLife(RuleBasedStateMachine):
    """Renders, workers, kills and users in any order, against what must hold at every moment."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.ledger = Ledger(Path(self.home.name) / "ledger.sqlite", clock=self.clock)
        self.running: dict[int, Job] = {}
        self.renders = Counter[str]()

    def teardown(self) -> None:
        self.ledger.close()
        self.home.cleanup()

    @rule(name=st.sampled_from(["a.wav", "b.wav"]))
    def render(self, name: str) -> None:
        self.renders[name] += 1
        assert _offer(self.ledger, name, self.renders[name]) is not None
        assert _offer(self.ledger, name, self.renders[name]) is None

    @rule()
    def claim(self) -> None:
        due_in_s = self.ledger.due_in_s(FOLDER)
        job = self.ledger.claim_next(FOLDER, OWNER, RECIPE)
        if job is not None:
            assert due_in_s == 0.0
            self.running[job.id] = job

    def _any_running(self, pick: int) -> Job | None:
        if not self.running:
            return None
        return self.running.pop(sorted(self.running)[pick % len(self.running)])

    @rule(pick=st.integers(0, 5), end=st.sampled_from(["done", "failed", "later", "back", "gone"]))
    def finish(self, pick: int, end: str) -> None:
        job = self._any_running(pick)
        if job is None:
            return
        if end == "done":
            assert self.ledger.done(job, Path("/m.json")).state is State.DONE
        elif end == "back":
            assert self.ledger.requeue(job).attempts in {job.attempts - 1, job.attempts}
        elif end == "gone":
            assert self.ledger.withdraw(job, "gone").state is State.WITHDRAWN
        else:
            after = self.ledger.failed(job, "x", "y", retryable=end == "later")
            assert end == "later" or after.state is State.FAILED

    @rule()
    def kill_and_recover(self) -> None:
        recover(self.ledger, FOLDER, exists=lambda _: True)
        self.running.clear()

    @rule()
    def retry(self) -> None:
        self.ledger.retry(FOLDER)

    @rule(seconds=st.sampled_from([1.0, 5.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @invariant()
    def the_ledger_agrees_with_the_workers(self) -> None:
        jobs = self.ledger.jobs()
        by_state = {state: [job for job in jobs if job.state is state] for state in State}
        assert {job.id for job in by_state[State.RUNNING]} == set(self.running)
        for state in (State.RUNNING, State.PENDING):  # never two of one bounce
            sources = [job.source_path for job in by_state[state]]
            assert len(sources) == len(set(sources))
        assert all(0 <= job.attempts <= MAX_ATTEMPTS for job in jobs)
        assert {state: len(found) for state, found in by_state.items()} == self.ledger.counts()

    @invariant()
    def the_newest_render_is_never_superseded(self) -> None:
        for name, count in self.renders.items():
            newest = next(job for job in self.ledger.jobs() if job.source_path.name == name)
            assert newest.mtime_ns == count
            assert newest.code != "superseded"


TestLedgerLife = LedgerLife.TestCase
TestLedgerLife.settings = settings(
    max_examples=examples(25),
    stateful_step_count=25,
    suppress_health_check=[HealthCheck.too_slow],
)
