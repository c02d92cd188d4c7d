"""The system refuses a write, a sync, a rename: every one in turn, and a disk that is really full.

Injected errors hit each step once, or from that step on until the trouble is over. The default run
takes a few steps of each kind, the slow one all.
"""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from bridge.ledger.states import State
from tests.bounces import RATE_HZ, render
from tests.crash import scene as scenes
from tests.crash.scene import SERVICE, WORKER, Expected, Scene, Zygote, gather
from tests.crash.steps import FULL
from tests.hypothesis_profiles import chosen_profile
from tests.support import require
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.crash.scene import Ran
    from tests.crash.steps import Step

ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES)
SEED = 5
EVERY = 30 if chosen_profile() == "default" else 12  # of the calls
# Of the small disk: a service's ledger and log are a few hundred kilobytes, two sets of stems of a
# second and what is staged for them less than two megabytes, the estimate adds one.
DISK_BYTES = 8_000_000
PAGE_BYTES = 4096
REMOVALS = {"unlink", "rmdir"}
#: What a service may leave when it cannot even remove: the next one sweeps it.
NEVER_REMOVED = frozenset(ERRORS) - FULL


@pytest.fixture
def apart(tmp_path: Path, zygote: Zygote) -> Scene:
    """Stems beside the bounces; a set lies there and its bounce was rendered again."""
    root = tmp_path / "scene"
    scene = Scene(root, zygote, out=root / "out")
    render(scene.folder / "mix.wav", frames=RATE_HZ, seed=1)
    assert scene.run().code == 0
    render(scene.folder / "mix.wav", frames=RATE_HZ + 7, seed=2)
    return scene


@pytest.fixture
def with_sessions(apart: Scene) -> Scene:
    """The same, and session files are new."""
    apart.preset = apart.root / "preset.yaml"
    apart.preset.write_text("schema: 2\nsummary: s\nsession: [reaper, ardour]\n")
    return apart


class Refusal:
    """A scene from which a service begins again and again, each time into other trouble."""

    def __init__(self, scene: Scene, variable: str = SERVICE) -> None:
        self.scene, self.variable = scene, variable
        self.older = {manifest["source"]["sha256"] for _, manifest in scene.published()}
        self._saved = scene.save()
        self.steps = scene.steps(variable)
        self.expected = Expected.of(scene)

    def each(self, chosen: list[tuple[Step, int]], deed: Callable[[Step, int], None]) -> None:
        """Does it for each step and error, from the beginning each time."""

        def one(step: Step, error: int) -> Callable[[], None]:
            def run() -> None:
                self._saved.restore()
                deed(step, error)

            return run

        deeds = (
            (f"{errno.errorcode[error]} at {step}", one(step, error)) for step, error in chosen
        )
        failures = gather(iter(deeds))
        print(f"{len(chosen)} refusals, {len(failures)} failed")
        assert not failures, "\n".join(failures)

    def once(self, step: Step, error: int) -> None:
        """One call fails. The service tries again by itself, or says what is left pending."""
        ran = self.scene.strike(step.number, "refuse", self.variable, error=error)
        self.check_between()
        if ran.code != 0:
            self.check_told(ran)
        if ran.code != 0 or step.call in REMOVALS:
            ran = self.scene.run()  # what could not be removed is swept by the next one
        assert ran.code == 0, ran.output
        self.expected.check_end(self.scene)

    def until_it_is_over(self, step: Step, error: int) -> None:
        """From that call on everything fails there, then the trouble is over."""
        in_state = step.path.startswith("state")
        where = self.scene.state if in_state else self.scene.stems
        more = {"error": error, "where": str(where), "lasting": True}
        ran = self.scene.strike(step.number, "refuse", self.variable, **more)
        self.check_between()
        if ran.code != 0:
            self.check_told(ran)
        self.check_paused(ran, error, in_state=in_state)
        self.scene.plan(self.variable).trouble.unlink(missing_ok=True)
        ran = self.scene.run()
        assert ran.code == 0, ran.output
        self.expected.check_end(self.scene)

    def check_between(self) -> None:
        self.expected.check_between(self.scene, self.older)

    def check_told(self, ran: Ran) -> None:
        """One line that says what and what to do."""
        assert ran.code == 1, ran.output
        last = ran.output.splitlines()[-1]
        assert re.search(r"\d left pending: |^stembridge: ", last), ran.output

    def check_paused(self, ran: Ran, error: int, *, in_state: bool) -> None:
        """The job waits without losing an attempt, and its temporaries are gone."""
        if error not in NEVER_REMOVED and ran.code != 0:
            assert not list(self.scene.stems.glob(".stembridge/*-*")), ran.output
        if ran.code == 0 or in_state:
            return
        job = self.scene.jobs()[-1]
        assert (job.state, job.attempts) == (State.PENDING, 0), ran.output
        assert job.reason


def sample(everything: list[tuple[Step, int]], every: int) -> list[tuple[Step, int]]:
    chosen = random.Random(SEED).sample(everything, len(everything) // every)
    return sorted(chosen, key=lambda pair: pair[0].number)


def with_errors(steps: list[Step], *errors: int) -> list[tuple[Step, int]]:
    """Each with each, but for removals: those work on a full disk."""
    return [
        (step, error)
        for step in steps
        for error in errors
        if error not in FULL or step.call not in REMOVALS
    ]


def in_turn(steps: list[Step]) -> list[tuple[Step, int]]:
    """Each step with one error, all errors equally often."""
    return [(step, ERRORS[step.number % len(ERRORS)]) for step in steps]


@pytest.mark.thorough
def test_a_few_calls_that_fail_once(apart: Scene) -> None:
    refusal = Refusal(apart)
    refusal.each(sample(in_turn(refusal.steps), EVERY), refusal.once)


def test_a_few_calls_from_which_on_all_fail(apart: Scene) -> None:
    refusal = Refusal(apart)
    refusal.each(sample(in_turn(refusal.steps), EVERY), refusal.until_it_is_over)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
def test_every_call_from_which_on_all_fail(apart: Scene, error: int) -> None:
    refusal = Refusal(apart)
    refusal.each(with_errors(refusal.steps, error), refusal.until_it_is_over)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_call_that_fails_once(apart: Scene) -> None:
    refusal = Refusal(apart)
    refusal.each(in_turn(refusal.steps), refusal.once)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_call_of_the_worker_that_fails_once(apart: Scene) -> None:
    refusal = Refusal(apart, WORKER)
    refusal.each(in_turn(refusal.steps), refusal.once)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("variable", [SERVICE, WORKER])
def test_every_call_from_which_on_all_fail_with_sessions(
    with_sessions: Scene, variable: str
) -> None:
    refusal = Refusal(with_sessions, variable)
    ours = [step for step in refusal.steps if not step.path.startswith("state")]
    refusal.each(in_turn(ours), refusal.until_it_is_over)


@pytest.mark.thorough
def test_a_few_calls_of_the_worker_from_which_on_all_fail(apart: Scene) -> None:
    refusal = Refusal(apart, WORKER)
    refusal.each(sample(in_turn(refusal.steps), EVERY // 2), refusal.until_it_is_over)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_call_of_the_worker_from_which_on_all_fail(apart: Scene) -> None:
    refusal = Refusal(apart, WORKER)
    refusal.each(with_errors(refusal.steps, *ERRORS), refusal.until_it_is_over)


def test_a_service_that_goes_on_waits_and_does_it_then(apart: Scene) -> None:
    """Without --once: it is not started again, the trouble only ends."""
    refusal = Refusal(apart)
    step = next(s for s in refusal.steps if s.call == "rename" and s.path.endswith("vocals.wav"))
    refusal._saved.restore()
    plan = apart.plan(
        SERVICE, step.number, "refuse", error=errno.EIO, where=str(apart.stems), lasting=True
    )
    number = apart.start((SERVICE, plan), once=False)
    wait_until(lambda: "paused: " in apart.output, "the pause")
    refusal.check_between()
    plan.trouble.unlink()
    wait_until(lambda: "done   mix.wav" in apart.output, "the end of it")
    os.kill(number, 15)
    assert apart.wait().code == 130
    assert "resumed: the problem is gone" in apart.output
    refusal.expected.check_end(apart)


class SmallDisk:
    """A scene on a small file system of its own, filled up by somebody else in mid-job."""

    def __init__(self, root: Path, zygote: Zygote) -> None:
        self.scene = Scene(root, zygote, out=root / "out")
        self.root = root
        render(self.scene.folder / "mix.wav", frames=RATE_HZ, seed=1)
        assert self.scene.run().code == 0
        render(self.scene.folder / "mix.wav", frames=RATE_HZ + 7, seed=2)
        self.refusal = Refusal(self.scene)
        self.refusal._saved.restore()
        self.worker_steps = self.scene.steps(WORKER)

    def fill_at(self, variable: str, number: int, left_bytes: int) -> None:
        """Somebody fills the disk at that step, and makes room again later."""
        scene, refusal = self.scene, self.refusal
        (self.root / "ballast").unlink(missing_ok=True)
        empty(self.root)
        refusal._saved.restore()
        ran = scene.strike(number, "fill", variable, where=str(self.root), left_bytes=left_bytes)
        assert scene.plan(variable).struck.exists()
        refusal.check_between()
        if ran.code != 0:
            refusal.check_told(ran)
        assert not list(scene.stems.glob(".stembridge/*-*")), ran.output
        (self.root / "ballast").unlink()
        ran = scene.run()
        assert ran.code == 0, ran.output
        refusal.expected.check_end(scene)


def empty(place: Path) -> None:
    """A mount cannot be removed with what is in it, so its contents go."""
    for path in place.iterdir():
        shutil.rmtree(path)


@pytest.fixture
def small(tmp_path: Path, zygote: Zygote, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallDisk]:
    with require.tmpfs(tmp_path / "small", DISK_BYTES) as root:

        def restore(saved: scenes.Saved) -> None:
            (saved._root / "ballast").unlink(missing_ok=True)
            empty(saved._root)
            shutil.copytree(saved._copy, saved._root, dirs_exist_ok=True)

        monkeypatch.setattr(scenes.Saved, "restore", restore)
        yield SmallDisk(root, zygote)


def fill_levels(disk: SmallDisk, every: int) -> list[tuple[str, int, int]]:
    """At which step of whom the disk fills up, and how many bytes are left then.

    None, and for what writes so much that a part of it, or of what follows, still fits.
    """
    chosen = []
    for variable, steps in ((SERVICE, disk.refusal.steps), (WORKER, disk.worker_steps)):
        for step in steps:
            if step.call in {"rmdir", "unlink"}:
                continue
            levels = {0, PAGE_BYTES, 3 * PAGE_BYTES, step.bytes // 2 // PAGE_BYTES * PAGE_BYTES}
            chosen += [(variable, step.number, level) for level in sorted(levels)]
    return random.Random(SEED).sample(chosen, len(chosen) // every)


def check_full_disks(disk: SmallDisk, every: int) -> None:
    def one(level: tuple[str, int, int]) -> Callable[[], None]:
        return lambda: disk.fill_at(*level)

    chosen = fill_levels(disk, every)
    failures = gather((str(level), one(level)) for level in chosen)
    print(f"{len(chosen)} fill levels, {len(failures)} failed")
    assert not failures, "\n".join(failures)


@pytest.mark.thorough
def test_a_disk_that_is_really_full_at_a_few_moments(small: SmallDisk) -> None:
    check_full_disks(small, every=30)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_disk_that_is_really_full_at_every_moment(small: SmallDisk) -> None:
    check_full_disks(small, every=1)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_limit_on_the_length_of_files_at_every_level(apart: Scene) -> None:
    """RLIMIT_FSIZE: every write that reaches over it fails, the ledger's too."""
    refusal = Refusal(apart)
    refusal._saved.restore()
    longest = max(len(data) for data in refusal.expected.outputs.values())

    def one(limit_bytes: int) -> Callable[[], None]:
        def run() -> None:
            refusal._saved.restore()
            ran = apart.run(file_bytes=limit_bytes)
            assert ran.code == 1, ran.output
            refusal.check_between()
            assert not list(apart.stems.glob(".stembridge/*-*")), ran.output
            # A bounce that is too long for the system has failed; the user raises the limit.
            apart.zygote.order(
                {
                    "arguments": ["retry"],
                    "environment": {"STEMBRIDGE_STATE_DIR": str(apart.state)},
                    "output": str(apart._output),
                }
            )
            assert apart.zygote.wait() in {0, 1}
            ran = apart.run()
            assert ran.code == 0, ran.output
            refusal.expected.check_end(apart)

        return run

    levels = [1, 100, 4096, 40_000, 60_000, 100_000, longest - 1]
    failures = gather((f"{level} bytes", one(level)) for level in levels)
    assert not failures, "\n".join(failures)
