"""`make soak`: a watched folder at ten times its usual rate, and deaths; in the end all is counted.

Usual is, at the busiest, a DAW that works off a render queue of short pieces: one every ten
seconds. Ten times that is one event a second: arrivals, renders over a bounce, deletions, renames.
Two services share the folder. One lives through it all, and its memory, descriptors and threads are
measured; the other is killed again and again, and so are the workers of both.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bridge.intake.scan import scan
from bridge.ledger.states import Job, State
from bridge.ledger.store import Ledger
from bridge.publish.transaction import MANIFEST, STAGING
from bridge.service.event_log import FILE_BYTES, FILES
from tests.bounces import BAD, RATE_HZ, render, wav_bytes
from tests.bounces import music as make_music
from tests.support import ROOT

EVENT_S = 1.0
NAMES = 80  # bounces that there are at most: disk space is not what is tested
WARM_UP_S = 300.0  # or a fifth of a shorter soak; Python looks for garbage in cycles by then
DRAIN_S = 240.0  # the longest pauses between attempts and the lease of a dead service are 30 s
# A flat line, but for noise: allocators keep some, a log file is reopened now and then.
MORE_BYTES, MORE_DESCRIPTORS, MORE_THREADS = 16_000_000, 4, 2
# A page of four kilobytes holds five jobs and more, indices included; the write-ahead log starts
# again after 1000 pages (SQLite's own default), or some more while somebody reads.
LEDGER_BYTES_PER_JOB, LEDGER_BYTES, WAL_BYTES = 2_000, 200_000, 12_000_000

#: How likely each event is, each second.
EVENTS = {
    "arrive": 50,
    "render over": 20,
    "rename": 8,
    "move in": 6,
    "slow render": 4,
    "bad": 4,
    "delete": 8,
}
#: How likely, each second, on top.
TROUBLES = {"kill service": 1 / 30, "kill worker": 1 / 20, "hang up": 1 / 60, "touch": 1 / 15}


@dataclass
class Look:
    """The steady service at one moment."""

    time_s: float
    rss_bytes: int
    descriptors: int
    threads: int
    ledger_bytes: int
    wal_bytes: int
    log_bytes: int
    jobs: int

    def __str__(self) -> str:
        return (
            f"{self.time_s:6.0f} s  {self.rss_bytes / 1e6:6.1f} MB  {self.descriptors:3} "
            f"descriptors  {self.threads:2} threads  ledger {self.ledger_bytes / 1e3:6.0f} kB, "
            f"log of it {self.wal_bytes / 1e3:6.0f} kB, {self.jobs:5} jobs"
        )


@dataclass
class Soak:
    """A folder, two services, and what was done to them."""

    root: Path
    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    looks: list[Look] = field(default_factory=list)
    writers: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.folder.mkdir(parents=True)
        (self.root / "elsewhere").mkdir()
        self.begun_s = time.monotonic()
        self.steady = self.serve()
        self.mortal: subprocess.Popen[bytes] | None = self.serve()
        self.reborn_s = 0.0
        self.serial = 0

    @property
    def folder(self) -> Path:
        return self.root / "Bounces"

    @property
    def state(self) -> Path:
        return self.root / "state"

    def serve(self) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "STEMBRIDGE_STATE_DIR": str(self.state),
            "STEMBRIDGE_CONFIG": str(self.root / "none.yaml"),
        }
        with (self.root / "output.txt").open("ab") as output:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.crash.launch", "watch", str(self.folder)),
                    *("--model", "classical:hpss"),
                ],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def run(self, seconds: float) -> None:
        """Everything."""
        warm_s = min(WARM_UP_S, seconds / 5)
        next_look_s = warm_s
        while (now_s := time.monotonic() - self.begun_s) < seconds:
            self.event()
            self.trouble(now_s)
            if now_s >= next_look_s:
                self.looks.append(self.look())
                print(self.looks[-1], flush=True)
                next_look_s += max(10.0, seconds / 30)
            time.sleep(self.random.uniform(0.5, 1.5) * EVENT_S)
        self.drain()
        self.looks.append(self.look())
        print(self.looks[-1], flush=True)

    def event(self) -> None:
        """One thing that a person or a DAW does."""
        (name,) = self.random.choices(list(EVENTS), list(EVENTS.values()))
        there = [path for path in self.bounces() if path.name.startswith("song")]
        if name in {"render over", "rename", "delete"} and not there:
            name = "arrive"
        if name == "arrive" and len(there) >= NAMES:
            name = "render over"
        self.counts[name] += 1
        with contextlib.suppress(FileNotFoundError):  # a slow writer's file, renamed meanwhile
            self.do(name, there)

    def do(self, name: str, there: list[Path]) -> None:
        if name == "arrive":
            render(self.fresh(), frames=self.frames(), seed=self.next())
        elif name == "render over":
            render(self.random.choice(there), frames=self.frames(), seed=self.next())
        elif name == "rename":
            self.random.choice(there).rename(self.fresh())
        elif name == "delete":
            self.random.choice(there).unlink()
        elif name == "move in":
            made = render(self.root / "elsewhere" / "x.wav", frames=self.frames(), seed=self.next())
            made.rename(self.fresh())
        elif name == "bad":
            bad = self.random.choice(sorted(BAD))
            (self.folder / f"bad {bad}").write_bytes(BAD[bad][0])
        else:
            path, data = self.fresh(), wav_bytes(make_music(self.frames(), seed=self.next()))
            writer = threading.Thread(target=write_slowly, args=(path, data))
            writer.start()
            self.writers.append(writer)

    def trouble(self, now_s: float) -> None:
        """What nobody wants."""
        for name, share in TROUBLES.items():
            if self.random.random() >= share:
                continue
            self.counts[name] += 1
            if name == "kill service" and self.mortal is not None:
                self.mortal.kill()
                self.mortal.wait()
                self.mortal, self.reborn_s = None, now_s + self.random.uniform(0, 10)
            elif name == "kill worker":
                self.kill_a_worker()
            elif name == "hang up":
                self.steady.send_signal(signal.SIGHUP)
            elif name == "touch":
                self.touch()
        if self.mortal is None and now_s >= self.reborn_s:
            self.mortal = self.serve()

    def kill_a_worker(self) -> None:
        services = [self.steady, *([self.mortal] if self.mortal else [])]
        with contextlib.suppress(psutil.NoSuchProcess):
            workers = psutil.Process(self.random.choice(services).pid).children()
            if workers:
                workers[0].kill()

    def touch(self) -> None:
        self.random.choice(self.bounces() or [self.root / "nothing yet"]).touch()

    def bounces(self) -> list[Path]:
        """What lies there, good and bad."""
        found = scan(self.folder, output_dirs=[self.folder / "Stems"])
        return [file.path for file in found.files]

    def fresh(self) -> Path:
        """A name that is not there."""
        while True:
            name = f"song {self.random.randrange(NAMES + 20):03}.wav"
            place = self.random.choice(["", "Album", "Album/Disc 2"])
            path = self.folder / place / name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                return path

    def frames(self) -> int:
        return int(RATE_HZ * self.random.uniform(0.1, 3))

    def next(self) -> int:
        self.serial += 1
        return self.serial

    def look(self) -> Look:
        process = psutil.Process(self.steady.pid)
        ledger = self.state / "ledger.sqlite3"
        with sqlite3.connect(ledger) as db:
            (jobs,) = db.execute("SELECT count(*) FROM jobs").fetchone()
        wal = ledger.with_name(ledger.name + "-wal")
        return Look(
            time.monotonic() - self.begun_s,
            process.memory_info().rss,
            process.num_fds(),
            process.num_threads(),
            ledger.stat().st_size,
            wal.stat().st_size if wal.exists() else 0,
            sum(path.stat().st_size for path in (self.state / "log").iterdir()),
            jobs,
        )

    def jobs(self) -> list[Job]:
        ledger = Ledger(self.state / "ledger.sqlite3")
        try:
            return ledger.jobs(self.folder)
        finally:
            ledger.close()

    def drain(self) -> None:
        """Nothing more comes: until every bounce has its end."""
        for writer in self.writers:
            writer.join()
        deadline_s = time.monotonic() + DRAIN_S
        while self.waiting():
            assert time.monotonic() < deadline_s, f"never ended: {self.waiting()[:5]}"
            assert self.steady.poll() is None, "the steady service has ended"
            time.sleep(1)

    def waiting(self) -> list[str]:
        """Bounces without an end of their own, by what lies in the folder."""
        newest: dict[Path, Job] = {}
        for job in self.jobs():  # newest first
            if job.state is not State.WITHDRAWN:
                newest.setdefault(job.path, job)
        waiting = []
        for found in scan(self.folder, output_dirs=[self.folder / "Stems"]).files:
            job = newest.get(found.path)
            known = job is not None and (job.size, job.mtime_ns) == (found.size, found.mtime_ns)
            if not known or job is None or job.state not in {State.DONE, State.FAILED}:
                waiting.append(f"{found.path.name}: {job and job.state.value}")
        return waiting

    def end(self) -> None:
        """Both services end in good order."""
        for service in (self.steady, self.mortal):
            if service is not None and service.poll() is None:
                service.send_signal(signal.SIGTERM)
                assert service.wait(30) == 130

    def kill(self) -> None:
        """Whatever still runs."""
        for service in (self.steady, self.mortal):
            if service is not None:
                service.kill()
                service.wait()

    def check(self) -> None:
        """Each bounce has ended, its stems are whole and its own; nothing lies about; all flat."""
        newest: dict[Path, Job] = {}
        for job in self.jobs():
            if job.state is not State.WITHDRAWN:
                newest.setdefault(job.path, job)
        for found in scan(self.folder, output_dirs=[self.folder / "Stems"]).files:
            job = newest[found.path]
            if found.path.name.startswith("bad "):
                code = BAD[found.path.name[4:]][1]
                assert (job.state, job.code) == (State.FAILED, code), job
                continue
            if job.state is State.FAILED:
                # Only what was killed three times in a row may have failed.
                assert (job.code, job.attempts) == ("worker", 3), job
                self.counts["killed three times"] += 1
                continue
            assert job.manifest_path is not None
            manifest = json.loads(job.manifest_path.read_text(encoding="utf-8"))
            assert manifest["source"]["sha256"] == sha256(found.path), found.path
        stems = self.folder / "Stems"
        for path in stems.rglob(MANIFEST):
            for stem in json.loads(path.read_text(encoding="utf-8"))["stems"]:
                assert sha256(path.parent / stem["path"]) == stem["sha256"], path
        assert not (stems / STAGING).exists()
        assert not list(self.folder.rglob("*.tmp"))
        assert not list(self.folder.rglob(".unfinished.json"))
        output = (self.root / "output.txt").read_text(errors="replace")
        assert "Traceback" not in output, output[output.index("Traceback") :][:3000]
        assert "internal error" not in output
        self.check_flat(self.looks[0], self.looks[-1])

    def check_flat(self, first: Look, last: Look) -> None:
        assert last.rss_bytes - first.rss_bytes < MORE_BYTES, (str(first), str(last))
        assert last.descriptors - first.descriptors <= MORE_DESCRIPTORS, (str(first), str(last))
        assert last.threads - first.threads <= MORE_THREADS, (str(first), str(last))
        most = LEDGER_BYTES + LEDGER_BYTES_PER_JOB * max(look.jobs for look in self.looks)
        assert last.ledger_bytes < most, str(last)
        assert max(look.wal_bytes for look in self.looks) < WAL_BYTES
        assert last.log_bytes < (FILES + 1) * FILE_BYTES


def write_slowly(path: Path, data: bytes) -> None:
    """A render that grows for a few seconds and gets its sizes in the end."""
    with path.open("wb", buffering=0) as file:
        file.write(data[:4] + bytes(4) + data[8:100])
        for start in range(100, len(data), len(data) // 8 + 1):
            file.write(data[start : start + len(data) // 8 + 1])
            time.sleep(0.4)
        file.seek(4)
        file.write(data[4:8])


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> int:
    """Soaks; 1 when something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.soak")
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    given = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="soak "))
    print(f"{given.seconds:g} s, seed {given.seed}, in {root}", flush=True)
    soak = Soak(root, given.seed)
    try:
        soak.run(given.seconds)
        soak.end()
        soak.check()
    except AssertionError as error:
        print(f"FAILED, all is left in {root}: {error}")
        return 1
    finally:
        soak.kill()
        print(dict(soak.counts))
    ends = Counter(job.state.value for job in soak.jobs())
    print(f"all well: {dict(ends)} of {soak.serial} renders")
    shutil.rmtree(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
