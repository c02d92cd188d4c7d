"""Pruning of old jobs, and its invisibility to queries."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge.ledger import states
from bridge.ledger.states import Recipe, State
from bridge.ledger.store import Ledger
from tests.support import thorough

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path("/Bounces")
RECIPES = [Recipe("a", "1", "m", "v", Path(out)) for out in ("/out", "/elsewhere")]
RECIPES.append(Recipe("b", "2", "m", "v", Path("/out")))
BOUNCES = [Path("/Bounces/mix.wav"), Path("/Bounces/song.wav")]


def answers(ledger: Ledger) -> list[object]:
    """Everything that a service asks of finished jobs."""
    told: list[object] = []
    for recipe in RECIPES:
        told += [ledger.output_names(recipe.out_dir, FOLDER)]
        told += [ledger.known(FOLDER, path, n, n, recipe) for path in BOUNCES for n in range(5)]
    return told


def live(ledger: Ledger, seed: int, look: Callable[[], None]) -> None:
    """Renders, successes, failures, retries, removals, in an order that the seed decides."""
    chance = random.Random(seed)
    for _ in range(60):
        bounce, state = chance.choice(BOUNCES), chance.randrange(5)
        recipe = chance.choice(RECIPES)
        ledger.offer(FOLDER, bounce, state, state, settled_s=0, recipe=recipe)
        job = ledger.claim_next(FOLDER, "me", chance.choice(RECIPES))
        end = chance.choice(["done", "done", "failed", "withdrawn", "none"])
        if chance.random() < 0.1:
            ledger.retry(FOLDER)
        if job is None:
            continue
        sha256 = f"{bounce}{chance.randrange(2)}"
        earlier = ledger.identified(job, sha256)
        if earlier is not None:
            ledger.skip(job, earlier)
        elif end == "withdrawn":
            ledger.withdraw(job, "gone")
        elif end == "failed":
            ledger.failed(job, "code", "reason", retryable=False)
        elif end == "none":
            ledger.requeue(job)
        else:
            job = ledger.assign_output(job, Path(job.source_path.stem + chance.choice(["", " 2"])))
            ledger.done(job, Path("/manifest"))
        look()


@pytest.mark.parametrize("seed", [0, 1, *thorough(range(2, 8))])
def test_a_ledger_that_forgets_gives_the_same_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    def run(remembered: int) -> tuple[list[object], int]:
        monkeypatch.setattr(states, "REMEMBERED", remembered)
        times = itertools.count(step=100.0)
        ledger = Ledger(tmp_path / f"{remembered}.sqlite3", clock=lambda: next(times))
        told: list[object] = []
        live(ledger, seed, lambda: told.append(answers(ledger)))
        count = len(ledger.jobs())
        ledger.close()
        return told, count

    (forgetful, few), (elephant, all_jobs) = run(1), run(10_000)
    assert forgetful == elephant
    assert few < all_jobs / 2


def test_the_ledger_of_one_bounce_does_not_grow_for_ever(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    for render in range(60):
        ledger.offer(FOLDER, BOUNCES[0], render, render, settled_s=0, recipe=RECIPES[0])
        job = ledger.claim_next(FOLDER, "me", RECIPES[0])
        assert job is not None
        ledger.done(ledger.assign_output(job, Path("mix")), Path("/manifest"))
    jobs = ledger.jobs()
    assert len(jobs) == states.REMEMBERED + 1
    assert [job.size for job in jobs] == list(range(59, 59 - len(jobs), -1))
    assert {job.state for job in jobs} == {State.DONE}
    ledger.close()
