"""A watch service for tests: in this process, or as a child that a user would have started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile

from bridge.config import resolve
from bridge.convert import Converter
from bridge.ledger.states import State
from bridge.ledger.store import Ledger
from bridge.presets import loader as presets
from bridge.publish.transaction import MANIFEST, STAGING
from bridge.service.watch import Tally, Watch
from tests.support import ROOT
from tests.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.config import Settings
    from bridge.ledger.services import Service
    from bridge.ledger.states import Job
    from bridge.publish.manifest import Manifest
    from bridge.worker.client import Worker


@dataclass
class Heard:
    """What a service told its events."""

    events: list[tuple[str, str]] = field(default_factory=list)
    facts: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    manifests: list[Manifest] = field(default_factory=list)

    def of(self, kind: str) -> list[str]:
        return [text for event, text in self.events if event == kind]

    def note(self, text: str) -> None:
        self.events.append(("note", text))

    def event(self, name: str, text: str, **facts: object) -> None:
        self.events.append((name, text))
        self.facts.append((name, facts))

    def started(self, job: Job) -> None:
        self.events.append(("started", str(job.source_path)))

    def progress(self, job: Job, stage: str, share: float) -> None:
        assert 0 <= share <= 1, stage

    def done(self, job: Job, manifest: Manifest) -> None:
        self.events.append(("done", str(job.source_path)))
        self.manifests.append(manifest)

    def skipped(self, job: Job) -> None:
        self.events.append(("skipped", str(job.source_path)))

    def released(self, job: Job, reason: str) -> None:
        self.events.append(("released", reason))

    def failed(self, job: Job, reason: str, *, retry: bool) -> None:
        self.events.append(("retry" if retry else "failed", reason))


@dataclass
class Studio:
    """A watched folder, the state of its services, and everything to look at both."""

    root: Path
    model: Path
    worker: Worker
    preset: str = "stems"
    clock: Callable[[], float] = time.time
    heard: Heard = field(default_factory=Heard)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def folder(self) -> Path:
        return self.root / "Bounces"

    @property
    def stems(self) -> Path:
        return self.folder / "Stems"

    @property
    def settings(self) -> Settings:
        nothing = {"STEMBRIDGE_CONFIG": str(self.root / "no such file.yaml")}
        return resolve({"state_dir": self.root / "state"}, nothing).settings

    def watch(self, **options: Any) -> Watch:
        """A service in this process."""
        converter = Converter(
            self.settings, presets.load(self.preset), str(self.model), self.worker
        )
        ledger = Ledger(self.settings.ledger_path, clock=self.clock)
        return Watch(
            self.folder, options.pop("out", None), converter, ledger, self.heard, **options
        )

    def once(self, **options: Any) -> Tally:
        """Works off what is there."""
        return self.watch(**options).run(threading.Event(), once=True)

    def child(self, *options: str, model: str | None = None) -> Child:
        """`python -m bridge watch` on the folder, not waited for."""
        return Child(self, ("--model", model or str(self.model), *options))

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command on the same state."""
        return subprocess.run(
            [sys.executable, "-m", "bridge", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "STEMBRIDGE_STATE_DIR": str(self.settings.state_dir),
            "STEMBRIDGE_CONFIG": str(self.root / "no such file.yaml"),
        }

    def jobs(self) -> list[Job]:
        """Every job, oldest first."""
        ledger = Ledger(self.settings.ledger_path)
        try:
            return ledger.jobs()[::-1]
        finally:
            ledger.close()

    def services(self) -> list[Service]:
        """Every service that lives."""
        ledger = Ledger(self.settings.ledger_path)
        try:
            return ledger.services.living()
        finally:
            ledger.close()

    def states(self) -> dict[str, State]:
        """The state of each bounce's newest job."""
        return {job.source_path.as_posix(): job.state for job in self.jobs()}

    def manifest(self, bounce: str) -> dict[str, Any]:
        """The manifest in `Stems/<bounce>/`."""
        data = json.loads((self.stems / bounce / MANIFEST).read_text(encoding="utf-8"))
        assert isinstance(data, dict)
        return data

    def published(self) -> list[str]:
        """The folders with a manifest. Staging folders may go while we look."""
        walked = [Path(folder) for folder, _, files in os.walk(self.stems) if MANIFEST in files]
        return sorted(folder.relative_to(self.stems).as_posix() for folder in walked)

    def leftovers(self) -> list[Path]:
        """What no finished service leaves behind."""
        return [*self.folder.rglob(STAGING), *self.folder.rglob("*.tmp")]

    def check_complete(self) -> None:
        """Every published set is whole: each file is there, readable, and as its manifest says."""
        for name in self.published():
            manifest = self.manifest(name)
            for stem in manifest["stems"]:
                info = soundfile.info(self.stems / name / stem["path"])
                assert info.frames == manifest["source"]["frames"] == stem["frames"]
        assert self.leftovers() == []


class Child:
    """A service in a process of its own, its output in a file."""

    def __init__(self, studio: Studio, options: tuple[str, ...]) -> None:
        self.log_path = studio.root / f"watch {time.monotonic_ns()}.log"
        with self.log_path.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bridge", "watch", str(studio.folder), *options],
                cwd=ROOT,
                env=studio.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8")

    def ready(self) -> Child:
        """Waits until it watches."""
        self.wait_for(lambda: "watching " in self.log, "the service")
        return self

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Waits for what this service is to do; fails at once when it has ended."""

        def come() -> bool:
            ended = self.process.poll() is not None  # asked first: it may do it and end
            done = condition()
            assert done or not ended, f"it ended without {what}: {self.log}"
            return done

        wait_until(come, what)

    def end(self, with_signal: int = signal.SIGINT, timeout_s: float = PATIENCE_S) -> int:
        """Sends a signal; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        return self.process.wait(timeout_s)


@dataclass
class Serving:
    """A service in a thread of this process."""

    watch: Watch
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self.watch.run, args=(self.stop,))
        self.thread.start()

    def end(self) -> None:
        self.stop.set()
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()


def check_each_done_once(studio: Studio, names: set[str]) -> None:
    """The ledger has one job for each, and each set says which bounce it is of."""
    jobs = studio.jobs()
    assert Counter(job.source_path.as_posix() for job in jobs) == Counter(names)
    assert {job.state for job in jobs} == {State.DONE}
    assert {job.attempts for job in jobs} == {1}
    places = studio.published()
    sources = Counter(studio.manifest(place)["source"]["path"] for place in places)
    assert sources == Counter(str(studio.folder / name) for name in names)
    for place in places:
        source = studio.manifest(place)["source"]
        assert place == source["path"][len(str(studio.folder)) + 1 : -len(".wav")]
    studio.check_complete()
