"""Killed at every step that changes disk or ledger, and again while it recovers: nothing is lost.

`pytest -s` shows the steps. Killed before each step, after each, and in the middle of each write.
The default run takes every few points of these, the slow one all of them.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge.ledger.states import State
from tests.crash.scene import SAVED, SERVICE, WORKER, Expected, Scene, gather, manifests
from tests.crash.steps import read_log
from tests.crash.worker import REAL
from tests.hypothesis_profiles import chosen_profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.crash.steps import Step

Point = tuple[int, str]  # number of a step, deed

EVERY = 40 if chosen_profile() == "default" else 16  # of the points
SEED = 5
#: Of the points of a recovery from which it is killed at each of its own, in the slow run.
RECOVERIES = 5


def points(steps: list[Step]) -> list[Point]:
    """Where to kill, in order."""
    moments = []
    for step in steps:
        moments += [(step.number, "before")]
        moments += [(step.number, "torn")] if step.bytes else []
        moments += [(step.number, "after")]
    return moments


def show(title: str, steps: list[Step]) -> None:
    print(f"\n{title}")
    for step in steps:
        print(step)


class Ordeal:
    """A scene from which services start again and again, and what comes of it undisturbed."""

    def __init__(self, scene: Scene, title: str, variable: str = SERVICE) -> None:
        self.scene, self.variable = scene, variable
        self.older = {manifest["source"]["sha256"] for _, manifest in scene.published()}
        self._saved = scene.save()
        self.steps = scene.steps(variable)
        self.expected = Expected.of(scene)
        show(f"{title}: {len(self.steps)} steps", self.steps)

    def begin(self) -> None:
        self._saved.restore()

    def kill(self, number: int, deed: str) -> None:
        """Kills a service there; what it leaves is whole or absent."""
        ran = self.scene.strike(number, deed, self.variable)
        plan = self.scene.plan(self.variable)
        # Threads take turns in another order each time: there may be a step less.
        assert ran.was_killed or (ran.code == 0 and not plan.struck.exists()), ran.output
        self.expected.check_between(self.scene, self.older)

    def recover(self) -> None:
        """The next service makes it good, and makes nothing again that is there."""
        whole = self.is_whole()
        before = manifests(self.scene)
        ran = self.scene.run()
        assert ran.code == 0, ran.output
        self.expected.check_end(self.scene)
        if whole:
            assert manifests(self.scene) == before, "made again what was there"

    def is_whole(self) -> bool:
        """Whether all stems are those of the bounces as they are now."""
        found = self.expected.check_between(self.scene, self.older)
        return bool(found) and not found & self.older

    def each(self, chosen: list[Point], deed: Callable[[int, str], None]) -> None:
        """Does it for every point, from the beginning each time."""

        def one(number: int, moment: str) -> Callable[[], None]:
            def run() -> None:
                self.begin()
                deed(number, moment)

            return run

        deeds = ((f"{moment} {self.steps[n - 1]}", one(n, moment)) for n, moment in chosen)
        failures = gather(iter(deeds))
        print(f"{len(chosen)} points, {len(failures)} failed")
        assert not failures, "\n".join(failures)

    def kill_and_recover(self, number: int, deed: str) -> None:
        self.kill(number, deed)
        self.recover()

    def kill_twice(self, number: int, deed: str) -> None:
        """Killed there, and then at each step of the recovery."""
        self.kill(number, deed)
        saved = self.scene.save()
        whole = self.is_whole()
        recovery = self.scene.steps()
        show(f"recovery after {deed} step {number}: {len(recovery)} steps", recovery)
        for step in recovery:
            saved.restore()
            before = manifests(self.scene)
            self.kill(step.number, "before")
            self.recover()
            if whole:
                assert manifests(self.scene).keys() == before.keys()


def sample(moments: list[Point], every: int) -> list[Point]:
    """Every few, in the order of a fixed shuffle, so that no kind of step is always left out."""
    chosen = random.Random(SEED).sample(moments, len(moments) // every)
    return sorted(chosen)


def test_killed_anywhere_in_a_first_job(scene: Scene) -> None:
    ordeal = Ordeal(scene, "a bounce, no ledger, no stems")
    ordeal.each(sample(points(ordeal.steps), EVERY), ordeal.kill_and_recover)


@pytest.mark.thorough
def test_killed_anywhere_while_a_set_is_replaced(rendered_over: Scene) -> None:
    ordeal = Ordeal(rendered_over, "a render over a bounce whose stems are there")
    ordeal.each(sample(points(ordeal.steps), EVERY), ordeal.kill_and_recover)


def check_sessions(scene: Scene, ordeal: Ordeal) -> None:
    """What the undisturbed service made of them; all others must end as that one."""
    names = {name.rpartition("/")[2] for name in ordeal.expected.outputs}
    assert {"mix.rpp", "mix.dawproject"} <= names
    assert "mix (Ardour).ardour" not in names
    assert ordeal.expected.outputs["mix/mix.spotting.csv"] == SAVED
    (manifest,) = (manifest for _, manifest in scene.published())
    assert [each["name"] for each in manifest["sessions"]] == ["reaper", "dawproject"]


@pytest.mark.thorough
def test_killed_anywhere_while_session_files_are_replaced(sessions_over: Scene) -> None:
    ordeal = Ordeal(sessions_over, "a render over a bounce, with other session files")
    check_sessions(sessions_over, ordeal)
    ordeal.each(sample(points(ordeal.steps), 2 * EVERY), ordeal.kill_and_recover)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_everywhere_while_session_files_are_replaced(sessions_over: Scene) -> None:
    ordeal = Ordeal(sessions_over, "a render over a bounce, with other session files")
    check_sessions(sessions_over, ordeal)
    ordeal.each(points(ordeal.steps), ordeal.kill_and_recover)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_worker_killed_at_every_step_with_sessions(sessions_over: Scene) -> None:
    worker_ordeal(sessions_over, lambda all_points: all_points)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_everywhere_in_a_first_job(scene: Scene) -> None:
    ordeal = Ordeal(scene, "a bounce, no ledger, no stems")
    ordeal.each(points(ordeal.steps), ordeal.kill_and_recover)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_everywhere_while_a_set_is_replaced(rendered_over: Scene) -> None:
    ordeal = Ordeal(rendered_over, "a render over a bounce whose stems are there")
    ordeal.each(points(ordeal.steps), ordeal.kill_and_recover)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_again_while_it_recovers(rendered_over: Scene) -> None:
    """All points of the recovery, after a few points of the job: all pairs would take hours."""
    ordeal = Ordeal(rendered_over, "a render over a bounce whose stems are there")
    while_it_publishes = [step for step in ordeal.steps if "/mix/" in step.path]
    chosen = random.Random(SEED).sample(while_it_publishes, RECOVERIES)
    ordeal.each([(step.number, "after") for step in chosen], ordeal.kill_twice)


@pytest.mark.thorough
def test_killed_again_at_one_point_of_a_recovery(rendered_over: Scene) -> None:
    """The folder has no manifest then; the second death comes when it gets a new one."""
    ordeal = Ordeal(rendered_over, "a render over a bounce whose stems are there")
    gone = next(s for s in ordeal.steps if s.call == "unlink" and s.path.endswith("manifest.json"))
    ordeal.begin()
    ordeal.kill(gone.number, "after")
    assert list(ordeal.scene.published()) == []
    saved = ordeal.scene.save()
    recovery = ordeal.scene.steps()
    last = [s for s in recovery if s.call == "rename" and s.path.endswith("manifest.json")]
    saved.restore()
    ordeal.kill(last[-1].number, "before")
    ordeal.recover()


def worker_ordeal(scene: Scene, chosen: Callable[[list[Point]], list[Point]]) -> None:
    """The worker is killed at its own steps: that costs one attempt, and the service goes on."""
    ordeal = Ordeal(scene, "the worker's steps", WORKER)

    def kill(number: int, deed: str) -> None:
        ran = scene.strike(number, deed, WORKER)
        assert ran.code == 0, ran.output
        assert scene.plan(WORKER).struck.exists()
        assert "was killed (SIGKILL)" in ran.output
        ordeal.expected.check_end(scene)
        job = scene.jobs()[-1]
        assert (job.state, job.attempts) == (State.DONE, 2)

    ordeal.each(chosen(points(ordeal.steps)), kill)


@pytest.mark.thorough
def test_the_worker_killed_at_a_few_of_its_steps(scene: Scene) -> None:
    worker_ordeal(scene, lambda all_points: sample(all_points, EVERY))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_worker_killed_at_every_step(rendered_over: Scene) -> None:
    worker_ordeal(rendered_over, lambda all_points: all_points)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_here_and_there_with_a_real_model(rendered_over: Scene) -> None:
    """The others have a stand-in for the model, which needs no torch: here is the whole of it."""
    rendered_over.environment[REAL] = "yes"
    ordeal = Ordeal(rendered_over, "a render over a bounce, with a real model")
    ordeal.each(sample(points(ordeal.steps), EVERY), ordeal.kill_and_recover)


def undurable(steps: list[Step]) -> Iterator[str]:
    """Names and contents that a power cut after these steps may take away again.

    As POSIX has it: what was written lasts once the file was synced, a name once its folder was.
    """
    names: dict[str, str] = {}  # what was made and has no synced name yet: why
    contents: set[str] = set()
    for step in steps:
        folder = step.path.rpartition("/")[0]
        if step.call in {"mkdir", "open"} or step.call == "rename":
            names[step.path] = folder
        elif step.call in {"unlink", "rmdir"}:
            names.pop(step.path, None)
            contents.discard(step.path)
        elif step.call == "write":
            contents.add(step.path)
        elif step.call == "fsync":
            contents.discard(step.path)
            for name in [name for name, parent in names.items() if parent == step.path]:
                del names[name]
    yield from (f"the name {name}" for name in names)
    yield from (f"the content of {name}" for name in contents)


@pytest.mark.parametrize("session", ["[]", "[reaper, ardour]"])
def test_what_the_ledger_calls_done_survives_a_power_cut(scene: Scene, session: str) -> None:
    """No power can be cut here; the order of writes and syncs says what a disk must keep."""
    scene.preset = scene.root / "preset.yaml"
    scene.preset.write_text(f"schema: 2\nsummary: s\nsession: {session}\n")
    worker = scene.plan(WORKER)
    service = scene.plan(SERVICE)
    ran = scene.run((SERVICE, service), (WORKER, worker))
    assert ran.code == 0, ran.output
    theirs, ours = (read_log(Path(plan.log)) for plan in (worker, service))
    published = max(s.number for s in ours if s.path.startswith("Bounces/Stems/mix"))
    before = [s for s in ours if s.number <= published and not s.path.startswith("state")]
    staged = [s for s in theirs if not s.path.endswith(".separated")]
    started = next(i for i, s in enumerate(before) if s.path.endswith(".lock"))
    lost = set(undurable(before[:started] + staged + before[started:]))
    assert {name for name in lost if ".stembridge" not in name} == set()
