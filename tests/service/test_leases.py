"""Ownership of jobs: claims, expired leases, dead services, older ledgers."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest

from bridge import errors
from bridge.ledger import database
from bridge.ledger.leases import HEARTBEAT_S, LEASE_S, LeaseMonitor
from bridge.ledger.recover import reclaim, recover
from bridge.ledger.services import Service
from bridge.ledger.states import LONGEST_BACK_OFF_S, MAX_ATTEMPTS, State
from bridge.ledger.store import Ledger
from bridge.publish.transaction import MANIFEST, STAGING, publish, publishing, staging
from bridge.service.heartbeat import Heartbeat
from bridge.system.processes import Process
from tests.service.ledger_values import FOLDER, OTHER_RECIPE, RECIPE, Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bridge.ledger.states import Job


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.sqlite", clock=clock)
    yield ledger
    ledger.close()


def offered(ledger: Ledger, name: str = "mix.wav") -> Job:
    job = ledger.offer(FOLDER, FOLDER / name, 100, 1, settled_s=0.0, recipe=RECIPE)
    assert job is not None
    return job


def claimed(ledger: Ledger, owner: str) -> Job:
    job = ledger.claim_next(FOLDER, owner, RECIPE)
    assert job is not None
    return job


def served_elsewhere(ledger: Ledger) -> Service:
    """A service of another computer: nothing but its beat tells whether it lives."""
    mine = ledger.services.begin(FOLDER, RECIPE)
    theirs = replace(mine, process=Process("elsewhere", 1, "x"), token="theirs")
    ledger.services.beat(theirs, RECIPE, None)
    ledger.services.end(mine)
    return theirs


ENDS: dict[str, Callable[[Ledger, Job], Any]] = {
    "done": lambda ledger, job: ledger.done(job, Path("/m.json")),
    "skip": lambda ledger, job: ledger.skip(job, job),
    "failed": lambda ledger, job: ledger.failed(job, "x", "y", retryable=True),
    "withdraw": lambda ledger, job: ledger.withdraw(job, "gone"),
    "requeue": lambda ledger, job: ledger.requeue(job),
    "hold": lambda ledger, job: ledger.hold(job, "disk-full", "no room"),
    "confirm": lambda ledger, job: ledger.confirm(job),
    "identified": lambda ledger, job: ledger.identified(job, "abc"),
    "assign": lambda ledger, job: ledger.assign_output(job, PurePosixPath("mix")),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("after", ["waits again", "runs elsewhere", "was done elsewhere"])
def test_a_job_that_was_taken_over_is_not_touched(ledger: Ledger, end: str, after: str) -> None:
    offered(ledger)
    job = claimed(ledger, "a service that ended")
    (taken,) = reclaim(ledger, FOLDER)
    assert (taken.state, taken.owner, taken.attempts) == (State.PENDING, None, 0)
    if after != "waits again":
        other = claimed(ledger, "another")
        if after == "was done elsewhere":
            ledger.done(other, Path("/theirs.json"))
    before = ledger.jobs()
    with pytest.raises(errors.LeaseLost, match=r"another service has taken .*mix\.wav over"):
        ENDS[end](ledger, job)
    assert ledger.jobs() == before


def test_the_owner_of_a_running_job_is_written_down_and_renewed(
    ledger: Ledger, clock: Clock
) -> None:
    offered(ledger)
    service = ledger.services.begin(FOLDER, RECIPE)
    job = claimed(ledger, service.token)
    assert (job.owner, job.lease_until_s) == (service.token, clock.now_s + LEASE_S)
    clock.now_s += HEARTBEAT_S
    ledger.services.beat(service, RECIPE, None)
    assert ledger.jobs()[0].lease_until_s == clock.now_s + LEASE_S
    clock.now_s += HEARTBEAT_S
    ledger.confirm(job)
    assert ledger.jobs()[0].lease_until_s == clock.now_s + LEASE_S
    done = ledger.done(job, Path("/m.json"))
    assert (done.owner, done.lease_until_s) == (service.token, None)


def test_a_job_records_its_recipe(ledger: Ledger) -> None:
    """It was offered under older settings; whoever does it uses those of today."""
    offered(ledger)
    job = ledger.claim_next(FOLDER, "a service", OTHER_RECIPE)
    assert job is not None
    assert job.recipe == OTHER_RECIPE
    ledger.done(job, Path("/m.json"))
    assert ledger.known(FOLDER, FOLDER / "mix.wav", 100, 1, OTHER_RECIPE)


SERVE_AND_HANG = """
import sys, time
from pathlib import Path
from bridge.ledger.store import Ledger
from tests.service.ledger_values import FOLDER, RECIPE
ledger = Ledger(Path(sys.argv[1]))
service = ledger.services.begin(FOLDER, RECIPE)
print(ledger.claim_next(FOLDER, service.token, RECIPE).id, flush=True)
time.sleep(60)
"""


def test_a_dead_neighbours_job_is_taken_at_once_and_a_living_ones_is_not(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    job = offered(ledger)
    child = subprocess.Popen(
        [sys.executable, "-c", SERVE_AND_HANG, str(tmp_path / "ledger.sqlite")],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == f"{job.id}\n"
        assert reclaim(ledger, FOLDER, LeaseMonitor()) == []
        assert [s.process.pid for s in ledger.services.living(FOLDER)] == [child.pid]
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    (taken,) = reclaim(ledger, FOLDER)
    assert (taken.id, taken.state, taken.attempts) == (job.id, State.PENDING, 0)
    assert ledger.services.living(FOLDER) == []
    mine = ledger.services.begin(FOLDER, RECIPE)  # whoever begins clears up
    assert ledger.services.all() == [mine]
    ledger.close()


def test_a_process_of_the_same_number_is_another(ledger: Ledger) -> None:
    service = ledger.services.begin(FOLDER, RECIPE)
    earlier = replace(service, process=replace(service.process, start_mark="long ago"), token="old")
    ledger.services.beat(earlier, RECIPE, None)
    offered(ledger, "a.wav")
    offered(ledger, "b.wav")
    claimed(ledger, "old")
    running = claimed(ledger, service.token)
    assert [job.source_path.name for job in reclaim(ledger, FOLDER)] == ["a.wav"]
    assert ledger.jobs(states=[State.RUNNING]) == [running]


def test_one_of_another_computer_is_taken_over_when_it_falls_silent(
    ledger: Ledger, clock: Clock
) -> None:
    theirs = served_elsewhere(ledger)
    offered(ledger)
    claimed(ledger, theirs.token)
    looked = Clock()  # monotonic
    vigil = LeaseMonitor(looked)
    for _ in range(20):  # it beats: nothing happens, though the clocks of both jump
        clock.now_s += 1e5
        looked.now_s += HEARTBEAT_S
        ledger.services.beat(theirs, RECIPE, None)
        assert reclaim(ledger, FOLDER, vigil) == []
    clock.now_s -= 1e6  # it beats no more, and the wall clock was set back
    looks = 0
    while not (taken := reclaim(ledger, FOLDER, vigil)):
        looked.now_s += HEARTBEAT_S
        looks += 1
    assert looks == LEASE_S / HEARTBEAT_S
    assert taken[0].state is State.PENDING


def test_recovery_keeps_jobs_of_live_services(ledger: Ledger) -> None:
    theirs = served_elsewhere(ledger)
    offered(ledger)
    claimed(ledger, theirs.token)
    assert recover(ledger, FOLDER, exists=lambda _: True).requeued == 0
    ledger.services.end(theirs)
    assert recover(ledger, FOLDER, exists=lambda _: True).requeued == 1


def test_a_clock_that_was_put_back_delays_no_job(ledger: Ledger, clock: Clock) -> None:
    offered(ledger)
    clock.now_s += 365 * 86_400  # a year ahead, when it failed
    ledger.failed(claimed(ledger, "a"), "output", "no", retryable=True)
    assert ledger.claim_next(FOLDER, "a", RECIPE) is None
    clock.now_s -= 365 * 86_400
    assert ledger.due_in_s(FOLDER) == 0.0
    assert claimed(ledger, "a").attempts == 2


def test_a_waiting_failure_blocks_no_other_job_and_three_are_final(
    ledger: Ledger, clock: Clock
) -> None:
    """A poison bounce first in the queue: the others are done, it ends failed with its reason."""
    for name in ("poison.wav", "b.wav", "c.wav"):
        offered(ledger, name)
    ledger.failed(claimed(ledger, "a"), "worker", "crashed with SIGSEGV", retryable=True)
    for name in ("b.wav", "c.wav"):
        job = claimed(ledger, "a")
        assert job.source_path.name == name
        ledger.done(job, Path("/m.json"))
    for attempt in range(2, MAX_ATTEMPTS + 1):
        assert ledger.claim_next(FOLDER, "a", RECIPE) is None
        clock.now_s += LONGEST_BACK_OFF_S
        job = claimed(ledger, "a")
        assert job.attempts == attempt
        ledger.failed(job, "worker", "crashed with SIGSEGV", retryable=True)
    clock.now_s += 1e6
    assert ledger.claim_next(FOLDER, "a", RECIPE) is None
    (failed,) = ledger.jobs(states=[State.FAILED])
    assert (failed.source_path.name, failed.reason) == ("poison.wav", "crashed with SIGSEGV")


def test_a_pause_costs_no_attempt_and_is_explained(ledger: Ledger) -> None:
    offered(ledger)
    for _ in range(10):
        held = ledger.hold(claimed(ledger, "a"), "disk-full", "no room")
        assert (held.state, held.attempts, held.owner) == (State.PENDING, 0, None)
        assert (held.code, held.reason) == ("disk-full", "no room")
        assert ledger.due_in_s(FOLDER) == 0.0
    done = ledger.done(claimed(ledger, "a"), Path("/m.json"))
    assert (done.code, done.reason) == (None, None)


def test_two_services_of_one_folder_make_the_same_stems(ledger: Ledger) -> None:
    first = ledger.services.begin(FOLDER, RECIPE)
    ledger.services.begin(FOLDER, RECIPE)
    ledger.services.begin(Path("/another"), OTHER_RECIPE)
    words = f"process {os.getpid()}.* watches /watched with preset stems"
    with pytest.raises(errors.AlreadyWatched, match=words):
        ledger.services.begin(FOLDER, OTHER_RECIPE)
    assert len(ledger.services.all(FOLDER)) == 2
    ledger.services.end(first)
    assert len(ledger.services.all(FOLDER)) == 1


def test_a_heartbeat_renews_leases_reloads_and_reclaims(ledger: Ledger, clock: Clock) -> None:
    offered(ledger)
    claimed(ledger, "one that ended")
    service = ledger.services.begin(FOLDER, RECIPE)
    heard: list[object] = []
    heartbeat = Heartbeat(
        ledger,
        service,
        state=lambda: (OTHER_RECIPE, "no room"),
        reload=lambda: heard.append("reload"),
        reclaimed=lambda job: heard.append(job.id),
    )
    clock.now_s += 3
    heartbeat.beat()
    (now,) = ledger.services.all()
    assert (now.heartbeat_s, now.paused, now.recipe) == (clock.now_s, "no room", OTHER_RECIPE)
    assert heard == [1]
    ledger.services.ask_to_reload(service)
    ledger.services.ask_to_reload(service)
    heartbeat.beat()
    heartbeat.beat()
    assert heard == [1, "reload"]


def test_a_beat_skips_a_locked_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, busy_timeout_s=0.01)
    service = ledger.services.begin(FOLDER, RECIPE)
    heartbeat = Heartbeat(
        ledger, service, state=lambda: (RECIPE, None), reload=pytest.fail, reclaimed=pytest.fail
    )
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(errors.LedgerBlocked, match="cannot use the ledger"):
        ledger.services.beat(service, RECIPE, None)
    heartbeat.beat()
    other.execute("ROLLBACK")
    other.close()
    heartbeat.beat()
    ledger.close()


#: Schema 1 as it was released, with a bounce in each state.
VERSION_1 = """
CREATE TABLE jobs (id INTEGER PRIMARY KEY AUTOINCREMENT, folder BLOB NOT NULL,
source_path BLOB NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, sha256 TEXT,
preset_name TEXT NOT NULL, preset_hash TEXT NOT NULL, model TEXT NOT NULL,
model_version TEXT NOT NULL, out_dir BLOB NOT NULL, output_path BLOB, state TEXT NOT NULL,
attempts INTEGER NOT NULL DEFAULT 0, next_attempt_s REAL NOT NULL DEFAULT 0, code TEXT,
reason TEXT, manifest_path BLOB, settled_s REAL NOT NULL, started_s REAL, finished_s REAL,
created_s REAL NOT NULL);
CREATE INDEX jobs_by_source ON jobs (folder, source_path, id);
CREATE INDEX jobs_by_state ON jobs (folder, state, id);
CREATE INDEX jobs_by_output ON jobs (out_dir, id);
PRAGMA application_id = 0x53746272;
PRAGMA user_version = 1;
"""


def test_a_ledger_of_version_1_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(VERSION_1)
    for state in State:
        db.execute(
            "INSERT INTO jobs (folder, source_path, size, mtime_ns, preset_name, preset_hash, "
            "model, model_version, out_dir, state, attempts, settled_s, created_s) "
            "VALUES (?, ?, 100, 1, 'stems', 'hash-1', 'spleeter-2stems', '1', ?, ?, 1, 1, 1)",
            (os.fsencode(FOLDER), f"{state.value}.wav".encode(), b"/watched/Stems", state.value),
        )
    db.commit()
    db.close()
    ledger = Ledger(path)
    assert {job.state for job in ledger.jobs()} == set(State)
    assert {(job.owner, job.lease_until_s) for job in ledger.jobs()} == {(None, None)}
    assert {job.recipe for job in ledger.jobs()} == {RECIPE}
    assert recover(ledger, FOLDER, exists=lambda _: True).requeued == 1
    assert ledger.services.all() == []
    names = {claimed(ledger, "a").source_path.name for _ in range(2)}
    assert names == {"pending.wav", "running.wav"}
    ledger.close()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (len(database.MIGRATIONS),)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


PUBLISH_OFTEN = """
import sys
from pathlib import Path
from bridge.publish.transaction import publish, publishing, staging
out, who = Path(sys.argv[1]), sys.argv[2]
names = [f"mix - {name}.wav" for name in ("vocals", "drums", who)]
print("ready", flush=True)
sys.stdin.read()
for number in range(60):
    with staging(out) as folder:
        for name in names:
            (folder / name).write_text(f"{who} {number}")
        stems = [{"path": name, "text": f"{who} {number}"} for name in names]
        with publishing(out, out / "mix"):
            publish(folder, {"stems": stems}, out / "mix")
            for stem in stems:
                assert (out / "mix" / stem["path"]).read_text() == stem["text"], stem
            assert len(list((out / "mix").iterdir())) == 4, list((out / "mix").iterdir())
"""


def test_two_that_know_nothing_of_each_other_never_mix_their_sets(tmp_path: Path) -> None:
    """Each finds its own set whole as long as it is its turn."""
    publishers = [
        subprocess.Popen(
            [sys.executable, "-c", PUBLISH_OFTEN, str(tmp_path / "out"), who],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for who in ("one", "two")
    ]
    for publisher in publishers:
        assert publisher.stdout is not None
        assert publisher.stdout.readline() == "ready\n"
    for publisher in publishers:
        assert publisher.stdin is not None
        publisher.stdin.close()
        publisher.stdin = None
    for publisher in publishers:
        told = publisher.communicate(timeout=120)[1]
        assert publisher.returncode == 0, told
    assert not (tmp_path / "out" / STAGING).exists()
    assert (tmp_path / "out" / "mix" / MANIFEST).exists()


def test_a_publisher_waits_for_the_other_and_for_its_own_bounce_only(tmp_path: Path) -> None:
    order: list[str] = []

    def other() -> None:
        with publishing(tmp_path, tmp_path / "mix"):
            order.append("other")

    thread = threading.Thread(target=other)
    with publishing(tmp_path, tmp_path / "mix"):
        thread.start()
        with publishing(tmp_path, tmp_path / "another mix"):
            order.append("another bounce")
        thread.join(0.3)
        order.append("first")
    thread.join(60)
    assert order == ["another bounce", "first", "other"]
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_published_once_the_job_is_lost(ledger: Ledger, tmp_path: Path) -> None:
    offered(ledger)
    job = claimed(ledger, "a service that ended")
    reclaim(ledger, FOLDER)

    def work() -> None:
        with staging(tmp_path) as folder, publishing(tmp_path, tmp_path / "mix"):
            (folder / "mix.wav").write_bytes(b"x")
            ledger.confirm(job)
            publish(folder, {"stems": [{"path": "mix.wav"}]}, tmp_path / "mix")

    with pytest.raises(errors.LeaseLost):
        work()
    assert not (tmp_path / "mix").exists()
