"""A watched folder, services on it that come to grief, and what must hold all the while."""

from __future__ import annotations

import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.ledger.states import State
from bridge.ledger.store import Ledger
from bridge.publish.transaction import MANIFEST, STAGING
from tests.crash.steps import SERVICE, WORKER, Plan, Step, read_log
from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bridge.ledger.states import Job

MODEL = "classical:hpss"  # without weights
SAVED = b"an hour of the user's work"  # in a session file that was ours
PATIENCE_S = 60.0  # for what takes a second on a machine that does nothing else
# Of a state folder. What SQLite keeps beside its file depends on how the last one ended.
_STATE_FILES = {
    *("ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm"),
    *("log", "log/service.jsonl", "log/service.lock"),
}


class Zygote:
    """See zygote.py. One service at a time."""

    def __init__(self) -> None:
        # Threads do not live through a fork, and a library of numpy would start some.
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.zygote"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._heard = b""
        self._service = 0

    def order(self, order: dict[str, Any]) -> int:
        """Starts a service; returns its process number."""
        self.clear()
        pipe = self._process.stdin
        assert pipe is not None
        pipe.write(json.dumps(order).encode() + b"\n")
        pipe.flush()
        self._service = self._answer(PATIENCE_S)["pid"]
        return self._service

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """How the service ended; everything that it had started is gone as well then."""
        answer = self._answer(timeout_s)
        self._service = 0
        assert answer["stayed"] == 0, "processes of a dead service lived on"
        assert not answer.get("hung"), "it did not end"
        return answer["code"]

    def clear(self) -> None:
        """Ends the service of a test that failed before it waited for its end."""
        if self._service:
            os.kill(self._service, signal.SIGKILL)
            self._service = 0
            self._answer(PATIENCE_S)

    def end(self) -> None:
        """Ends it."""
        self.clear()
        self._process.kill()
        self._process.wait()

    def _answer(self, timeout_s: float) -> dict[str, int]:
        hung = False
        pipe = self._process.stdout
        assert pipe is not None
        while b"\n" not in self._heard:
            if not select.select([pipe], [], [], timeout_s)[0]:
                assert not hung, "the zygote hangs"
                hung = True
                os.kill(self._service, signal.SIGKILL)
                continue
            data = os.read(pipe.fileno(), 4096)
            assert data, "the zygote has died"
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        answer: dict[str, int] = json.loads(line)
        return answer | {"hung": hung}


@dataclass
class Ran:
    """A service that has ended. code: negative for a signal."""

    code: int
    output: str

    @property
    def was_killed(self) -> bool:
        return self.code == -signal.SIGKILL


@dataclass
class Scene:
    """root: everything is below it. out: where the stems go, beside the bounces if not named."""

    root: Path
    zygote: Zygote
    out: Path | None = None
    state: Path = field(init=False)
    environment: dict[str, str] = field(default_factory=dict)
    model: str = MODEL
    preset: Path | None = None  # a file below root, which is saved and restored with the rest

    def __post_init__(self) -> None:
        self.state = self.root / "state"
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def folder(self) -> Path:
        return self.root / "Bounces"

    @property
    def stems(self) -> Path:
        return self.out or self.folder / "Stems"

    @property
    def _beside(self) -> Path:
        """What is about the scene and not of it."""
        return self.root.with_name(self.root.name + " notes")

    def plan(self, variable: str, number: int = 0, deed: str = "before", **more: Any) -> Plan:
        self._beside.mkdir(exist_ok=True)
        log = str(self._beside / f"{variable}.jsonl")
        return Plan(str(self.root), log, number, deed, **more)

    def start(
        self,
        *plans: tuple[str, Plan],
        once: bool = True,
        arguments: tuple[str, ...] = (),
        file_bytes: int = 0,
    ) -> int:
        """Starts `watch`; returns its process number."""
        self._beside.mkdir(exist_ok=True)
        self._output.unlink(missing_ok=True)
        for _, plan in plans:
            for path in (Path(plan.log), plan.struck, plan.trouble):
                path.unlink(missing_ok=True)
        named = (
            *(("--out", str(self.out)) if self.out else ()),
            *(("--preset", str(self.preset)) if self.preset else ()),
        )
        return self.zygote.order(
            {
                "arguments": [
                    *("watch", str(self.folder), "--model", self.model, *named, *arguments),
                    *(("--once",) if once else ()),
                ],
                "environment": {
                    "STEMBRIDGE_STATE_DIR": str(self.state),
                    "STEMBRIDGE_CONFIG": str(self.root / "no such file.yaml"),
                    **self.environment,
                    **{variable: plan.to_json() for variable, plan in plans},
                },
                "output": str(self._output),
                "file_bytes": file_bytes,
            }
        )

    def wait(self) -> Ran:
        """Waits for the end of the service."""
        return Ran(self.zygote.wait(), self.output)

    def run(self, *plans: tuple[str, Plan], **options: Any) -> Ran:
        """`watch --once` from beginning to end, or to where it is struck down."""
        self.start(*plans, **options)
        ran = self.wait()
        assert "Traceback" not in ran.output, ran.output
        assert "internal error" not in ran.output, ran.output
        return ran

    @property
    def output(self) -> str:
        """What the service has said so far."""
        return self._output.read_text(encoding="utf-8") if self._output.exists() else ""

    @property
    def _output(self) -> Path:
        return self._beside / "output.txt"

    def steps(self, variable: str = SERVICE) -> list[Step]:
        """Those of an undisturbed service (or its worker), which is run for that."""
        plan = self.plan(variable)
        ran = self.run((variable, plan))
        assert ran.code == 0, ran.output
        return read_log(Path(plan.log))

    def strike(self, number: int, deed: str, variable: str = SERVICE, **more: Any) -> Ran:
        """Runs a service that comes to grief at a step of its own or of its worker."""
        other = WORKER if variable == SERVICE else SERVICE
        return self.run(
            (variable, self.plan(variable, number, deed, **more)),
            (other, self.plan(other, 0, deed, **more)),  # what lasts is there for both
        )

    def jobs(self) -> list[Job]:
        """Every job, oldest first; none while there is no ledger."""
        path = self.state / "ledger.sqlite3"
        if not path.exists():
            return []
        ledger = Ledger(path)
        try:
            return ledger.jobs()[::-1]
        finally:
            ledger.close()

    def save(self) -> Saved:
        """The scene as it is now."""
        return Saved(self)

    def published(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and manifest of each set that lies there; checks that it is whole."""
        for path in self.manifests():
            manifest = json.loads(path.read_text(encoding="utf-8"))
            for stem in manifest["stems"]:
                data = (path.parent / stem["path"]).read_bytes()
                assert hashlib.sha256(data).hexdigest() == stem["sha256"], stem["path"]
            for session in manifest["sessions"]:
                data = (path.parent / session["path"]).read_bytes()
                as_written = hashlib.sha256(data).hexdigest() == session["sha256"]
                assert as_written or data == SAVED, session["path"]
            yield path.parent.relative_to(self.stems).as_posix(), manifest

    def manifests(self) -> list[Path]:
        """Of published sets, not of those that are being made."""
        found = self.stems.rglob(MANIFEST) if self.stems.exists() else ()
        return sorted(path for path in found if STAGING not in path.parts)

    def outputs(self) -> dict[str, bytes]:
        """Every file of the sets but the manifests, which tell how long it took."""
        found = (path for path in self.stems.rglob("*") if path.is_file())
        return _contents((path for path in found if path.name != MANIFEST), self.stems)

    def tree(self) -> set[str]:
        """Everything there is but the state, relative to the root."""
        places = [self.folder, *([self.out] if self.out else [])]
        return {
            path.relative_to(place).as_posix()
            for place in places
            for path in place.rglob("*")
            if path.is_file() or not any(path.iterdir())
        }

    def strange_state(self) -> set[str]:
        """What should not lie in the state folder."""
        found = {path.relative_to(self.state).as_posix() for path in self.state.rglob("*")}
        return found - _STATE_FILES


class Saved:
    """A scene to come back to; paths are in the ledger, so it can only be in the same place."""

    def __init__(self, scene: Scene) -> None:
        self._root = scene.root
        self._copy = scene.root.with_name(scene.root.name + " saved")
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self._root, self._copy)  # with the times of the files

    def restore(self) -> None:
        """Everything is as it was."""
        shutil.rmtree(self._root)
        shutil.copytree(self._copy, self._root)


@dataclass(frozen=True)
class Expected:
    """What an undisturbed service makes of the scene: every file but ledger, log and manifest.

    sources: the bounces. outputs: the stems and session files. ended: how many jobs there are in
    each state. tree: all names.
    """

    sources: dict[str, bytes]
    outputs: dict[str, bytes]
    ended: dict[State, int]
    tree: set[str]

    @classmethod
    def of(cls, scene: Scene) -> Expected:
        """As it is now."""
        return cls(
            sources=_contents(scene.folder.glob("*.wav"), scene.folder),
            outputs=scene.outputs(),
            ended=_count(scene.jobs()),
            tree=scene.tree(),
        )

    def check_between(self, scene: Scene, older: set[str] = frozenset()) -> set[str]:
        """After a blow: the sources are intact, each set is whole or absent.

        older: content hashes of renders that stems may still be of. Returns the hashes of the
        sources whose stems are there.
        """
        assert _contents(scene.folder.glob("*.wav"), scene.folder) == self.sources
        hashes = {hashlib.sha256(data).hexdigest() for data in self.sources.values()}
        found = {manifest["source"]["sha256"] for _, manifest in scene.published()}
        assert found <= hashes | set(older)
        return found

    def check_end(self, scene: Scene) -> None:
        """After a service that was left in peace: as if nothing had ever happened."""
        assert scene.tree() == self.tree
        assert scene.strange_state() == set()
        self.check_between(scene)
        assert scene.outputs() == self.outputs
        assert _count(scene.jobs()) == self.ended


def _contents(paths: Any, place: Path) -> dict[str, bytes]:
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in paths}


def _count(jobs: list[Job]) -> dict[State, int]:
    return {state: sum(job.state is state for job in jobs) for state in State}


def manifests(scene: Scene) -> dict[Path, tuple[int, int]]:
    """Which files the manifests are: one that was written again is another."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in scene.manifests()}


def gather(deeds: Iterator[tuple[str, Callable[[], None]]]) -> list[str]:
    """Does them all; a line for each that failed."""
    failures = []
    for name, deed in deeds:
        try:
            deed()
        except AssertionError as error:
            failures.append(f"{name}: {str(error)[:600]}")
    return failures


__all__ = ["SERVICE", "WORKER", "Expected", "Ran", "Saved", "Scene", "Zygote", "gather"]
