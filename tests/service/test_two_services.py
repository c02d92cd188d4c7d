"""Two services on one folder: each bounce is converted once, also if one dies."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from bridge.ledger.states import State
from bridge.publish.transaction import STAGING
from tests.bounces import RATE_HZ, render
from tests.waiting import wait_until
from tests.watch_service import check_each_done_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.watch_service import Child, Studio


def begun(child: Child) -> list[str]:
    """The bounces that a service has begun."""
    lines = [line.split(maxsplit=2) for line in child.log.splitlines()]
    return [line[2] for line in lines if line[1:2] == ["start"]]


def log_events(studio: Studio, event: str) -> list[dict[str, object]]:
    text = (studio.settings.log_dir / "service.jsonl").read_text(encoding="ascii")
    lines = [json.loads(line) for line in text.splitlines()]
    return [line for line in lines if line["event"] == event]


@pytest.mark.thorough
def test_two_services_share_a_folder(studio: Studio, start: Callable[..., Child]) -> None:
    children = [start().ready() for _ in range(2)]
    wait_until(lambda: len(studio.services()) == 2, "both services")
    names = {f"song {number}.wav" for number in range(12)}
    for number, name in enumerate(sorted(names)):
        render(studio.folder / name, frames=RATE_HZ, seed=number)
    wait_until(lambda: set(studio.states().values()) == {State.DONE}, "all bounces", 120)
    wait_until(lambda: len(studio.states()) == 12, "each bounce")
    check_each_done_once(studio, names)
    shares = [begun(child) for child in children]
    assert Counter(shares[0] + shares[1]) == Counter(names)
    assert all(shares), "one did it all: nothing is shown"
    owners = Counter(job.owner for job in studio.jobs())
    assert sorted(owners.values()) == sorted(map(len, shares))
    for child in children:
        assert child.end() == 130
    assert studio.services() == []
    assert len(log_events(studio, "done")) == 12
    assert {line["pid"] for line in log_events(studio, "began")} == {
        child.process.pid for child in children
    }


def begin_a_long_job(studio: Studio, start: Callable[..., Child]) -> tuple[Child, Child]:
    """Two services, one of which works: (that one, the other one)."""
    children = [start().ready() for _ in range(2)]
    wait_until(lambda: len(studio.services()) == 2, "both services")
    render(studio.folder / "long.wav", frames=60 * RATE_HZ)
    wait_until(lambda: any((studio.stems / STAGING).glob("*/*.separated")), "staged files")
    (job,) = studio.jobs()
    assert job.state is State.RUNNING
    pids = {service.token: service.process.pid for service in studio.services()}
    children.sort(key=lambda child: child.process.pid != pids[job.owner or ""])
    return children[0], children[1]


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_the_job_of_one_that_is_killed_is_done_by_the_other(
    studio: Studio, start: Callable[..., Child]
) -> None:
    working, other = begin_a_long_job(studio, start)
    theirs = studio.jobs()[0].owner
    working.end(signal.SIGKILL)
    other.wait_for(lambda: studio.states()["long.wav"] is State.DONE, "the job")
    (job,) = studio.jobs()
    assert job.owner != theirs
    assert job.attempts == 1  # a service that dies costs none
    assert "long.wav: its service died; another one takes it over" in other.log
    (taken,) = log_events(studio, "taken-over")
    assert (taken["bounce"], taken["level"]) == ("long.wav", "warning")
    other.end()
    assert studio.once().done == 0
    assert len(studio.heard.of("swept")) == 1  # what the dead one left goes with the next to start
    studio.check_complete()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
@pytest.mark.slow  # a lease and more
def test_one_that_hangs_loses_its_job_and_throws_its_result_away(
    studio: Studio, start: Callable[..., Child]
) -> None:
    hanging, other = begin_a_long_job(studio, start)
    os.kill(hanging.process.pid, signal.SIGSTOP)
    other.wait_for(lambda: studio.states()["long.wav"] is State.DONE, "the job")
    manifest = studio.stems / "long" / "manifest.json"
    inode = manifest.stat().st_ino
    os.kill(hanging.process.pid, signal.SIGCONT)
    hanging.wait_for(lambda: "another service has taken" in hanging.log, "the loss")
    for child in (hanging, other):
        assert child.end() == 130
    (job,) = studio.jobs()
    assert (job.state, job.attempts) == (State.DONE, 1)
    assert manifest.stat().st_ino == inode
    studio.check_complete()
