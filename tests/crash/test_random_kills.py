"""SIGKILL at random times, again and again, over a folder of bounces: all are done, each once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from bridge.ledger.states import State
from tests.bounces import RATE_HZ, render
from tests.crash.scene import Expected, manifests

if TYPE_CHECKING:
    from tests.crash.scene import Scene

SEED = 17
#: The longest life of a service: it starts in a tenth of a second and does a bounce in as much.
LIFE_S = 1.5


def events(scene: Scene, name: str) -> list[dict[str, object]]:
    """What the services have told their log."""
    text = (scene.state / "log" / "service.jsonl").read_text(encoding="ascii")
    lines = [json.loads(line) for line in text.splitlines()]
    return [line for line in lines if line["event"] == name]


MOST_MORE = 40  # kills beyond those that were wanted


class Carnage:
    """Renders all bounces, kills services until all are done or enough have died; then the next."""

    def __init__(self, scene: Scene, bounces: int, kills: int) -> None:
        self.scene, self.left = scene, kills
        self.bounces = [scene.folder / f"mix {number:02}.wav" for number in range(bounces)]
        self.random = random.Random(SEED)
        self.rounds = self.mid_job = 0
        (scene.folder / "mix.wav").unlink()

    @property
    def goes_on(self) -> bool:
        """A few kills may all miss; then there are more, until one has met a job."""
        return self.left > 0 or (not self.mid_job and self.left > -MOST_MORE)

    def run(self) -> None:
        while self.goes_on:
            self.rounds += 1
            for number, path in enumerate(self.bounces):
                render(path, frames=RATE_HZ // 2, seed=100 * self.rounds + number)
            sources = {path.name: path.read_bytes() for path in self.bounces}
            self.kill_until_done(sources)
            self.finish(sources)

    def kill_until_done(self, sources: dict[str, bytes]) -> None:
        older = {manifest["source"]["sha256"] for _, manifest in self.scene.published()}
        while self.goes_on:
            number = self.scene.start()
            time.sleep(self.random.uniform(0, LIFE_S))
            with contextlib.suppress(ProcessLookupError):  # it has done all and ended
                os.kill(number, signal.SIGKILL)
            ran = self.scene.wait()
            self.left -= ran.was_killed
            self.mid_job += any(job.state is State.RUNNING for job in self.scene.jobs())
            Expected(sources, {}, {}, set()).check_between(self.scene, older)
            if not ran.was_killed:
                return

    def finish(self, sources: dict[str, bytes]) -> None:
        """The last service of the round is left in peace."""
        before = self.made_for(sources)
        ran = self.scene.run()
        assert ran.code == 0, ran.output
        assert {path.name: path.read_bytes() for path in self.bounces} == sources
        after = self.made_for(sources)
        assert len(after) == len(self.bounces)
        assert {name: after[name] for name in before} == before, "made again what was there"
        newest = {job.path: job for job in self.scene.jobs()}
        assert {job.state for job in newest.values()} == {State.DONE}
        assert not self.scene.strange_state()
        assert not [name for name in self.scene.tree() if ".stembridge" in name or "unfin" in name]

    def made_for(self, sources: dict[str, bytes]) -> dict[str, tuple[int, int]]:
        """The manifests of sets that belong to the present renders."""
        hashes = {hashlib.sha256(data).hexdigest() for data in sources.values()}
        known = manifests(self.scene)
        return {
            name: known[self.scene.stems / name / "manifest.json"]
            for name, manifest in self.scene.published()
            if manifest["source"]["sha256"] in hashes
        }

    def check(self) -> None:
        """Nothing was done twice: each job has at most one end, and each render one job."""
        told = Counter(event["job"] for event in events(self.scene, "done"))
        assert max(told.values()) == 1
        jobs = self.scene.jobs()
        renders = Counter((job.path, job.mtime_ns) for job in jobs if job.state is State.DONE)
        assert max(renders.values()) == 1
        assert all(job.attempts == 1 for job in jobs if job.state is State.DONE)
        print(f"{self.rounds} rounds, {self.mid_job} deaths in mid-job")
        assert self.mid_job, "none met a job: nothing is shown"


@pytest.mark.thorough
def test_a_few_random_kills(scene: Scene) -> None:
    carnage = Carnage(scene, bounces=6, kills=5)
    carnage.run()
    carnage.check()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_random_kills_over_thirty_bounces(scene: Scene) -> None:
    carnage = Carnage(scene, bounces=30, kills=200)
    carnage.run()
    carnage.check()
