"""The death of a thread ends the service with code 1 and a message."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from bridge.errors import LedgerError
from bridge.intake.intake import Intake
from bridge.ledger.states import State
from bridge.osc.control import Control
from bridge.osc.port import Port
from bridge.service import job_runner
from bridge.service.event_log import FILE
from bridge.service.job_runner import JobRunner
from bridge.service.threads import ServiceThreads
from bridge.service.watch import Watch
from bridge.system.endpoint import parse
from tests.bounces import render
from tests.support import ROOT, thorough
from tests.waiting import PATIENCE_S
from tests.watch_service import Heard

if TYPE_CHECKING:
    from tests.watch_service import Studio

# What is done to the real program before it starts.
INJECTIONS = {
    "intake": "from bridge.intake.intake import Intake; Intake.turn = die",
    "heartbeat": "from bridge.service import heartbeat as beats; beats.HEARTBEAT_S = 0.05; "
    "beats.Heartbeat.beat = die",
    "osc": "from bridge.osc.port import Port; Port.receive = die",
}


def program(studio: Studio, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """`stembridge watch` in which one thread dies."""
    code = (
        "def die(*_, **__): raise RuntimeError('boom → injected')\n"
        f"{INJECTIONS[name]}\n"
        "from bridge.__main__ import main\n"
        "main()\n"
    )
    typed = ["watch", str(studio.folder), "--model", str(studio.model), *options]
    return subprocess.run(
        [sys.executable, "-c", code, *typed],
        cwd=ROOT,
        env=studio.environment,
        capture_output=True,
        check=False,
        timeout=PATIENCE_S,
        encoding="utf-8",
    )


@pytest.mark.parametrize("name", ["intake", *thorough(["heartbeat", "osc"])])
def test_the_service_exits_with_1_and_names_thread_and_error(studio: Studio, name: str) -> None:
    ended = program(studio, name, "--osc", "0")
    assert ended.returncode == 1, ended
    reason = f"the thread '{name}' died: RuntimeError: boom → injected"
    lines = ended.stdout.splitlines()
    assert [line[16:] for line in lines if "died" in line] == [
        f"{reason}; the service ends, start it again",
        f"0 done, 0 unchanged, 0 failed; {reason}",
    ]
    assert "Traceback" not in ended.stdout + ended.stderr  # it is in the log
    log = (studio.settings.log_dir / FILE).read_text(encoding="ascii")
    (entry,) = [
        line for line in map(json.loads, log.splitlines()) if line["event"] == "thread-died"
    ]
    assert (entry["thread"], entry["level"]) == (name, "warning")
    assert "in die" in entry["traceback"]
    assert studio.services() == []


def die(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("boom")


@pytest.mark.parametrize("once", [True, False])
def test_a_job_that_runs_goes_back_into_the_queue(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, *, once: bool
) -> None:
    """The intake dies while the bounce is worked on."""
    render(studio.folder / "mix.wav", frames=200_000)
    dead = threading.Event()
    turn = Intake.turn

    def fatal_turn(intake: Intake) -> None:
        turn(intake)
        if any(event == "started" for event, _ in studio.heard.events):
            dead.set()
            die()

    def slow_identify(*given: Any) -> Any:
        assert dead.wait(PATIENCE_S)
        return identify(*given)

    identify = job_runner.identify
    monkeypatch.setattr(job_runner, "identify", slow_identify)
    monkeypatch.setattr(Intake, "turn", fatal_turn)
    tally = studio.watch().run(threading.Event(), once=once)
    assert tally.died == "the thread 'intake' died: RuntimeError: boom"
    assert (tally.done, tally.failed) == (0, 0)
    assert [job.state for job in studio.jobs()] == [State.PENDING]
    monkeypatch.undo()
    after = studio.once()
    assert (after.done, after.died) == (1, None)


def test_an_error_of_the_bridge_keeps_its_message(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise LedgerError("the ledger is damaged; move it away")

    monkeypatch.setattr(Watch, "_known", refuse)
    render(studio.folder / "mix.wav")
    tally = studio.once()
    assert tally.died == "the thread 'intake' died: the ledger is damaged; move it away"


def test_a_further_loop_of_the_work(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """`batch --jobs 2`: what it raised is raised again where it is waited for."""
    main_thread = threading.current_thread()
    run = JobRunner.run

    def die_elsewhere(runner: JobRunner, *given: Any) -> Any:
        if threading.current_thread() is not main_thread:
            die()
        return run(runner, *given)

    for number in range(4):
        render(studio.folder / f"{number}.wav", seed=number)
    monkeypatch.setattr(JobRunner, "run", die_elsewhere)
    converter = studio.watch()._converter
    with pytest.raises(RuntimeError, match="boom"):
        studio.watch(more=[converter]).run(threading.Event(), once=True)
    (text,) = studio.heard.of("thread-died")
    assert text.startswith("the thread 'work' died: RuntimeError: boom")


def test_a_death_before_the_work_begins_counts(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Port, "receive", die)
    control, service = Control(parse("0")), studio.watch()
    with control.serving(service):
        tally = service.run(threading.Event())
    control.close()
    assert tally.died == "the thread 'osc' died: RuntimeError: boom"


def test_an_audience_that_fails_does_not_keep_the_service_alive() -> None:
    class Broken(Heard):
        def event(self, name: str, text: str, **facts: object) -> None:
            raise OSError("nobody listens")

    ended = threading.Event()
    threads = ServiceThreads(Broken(), ended.set)

    def body() -> None:
        with pytest.raises(OSError, match="nobody"), threads.supervised("x"):
            die()

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert ended.is_set()
    assert threads.death == "the thread 'x' died: RuntimeError: boom"


def test_the_first_death_is_reported() -> None:
    heard = Heard()
    threads = ServiceThreads(heard, lambda: None)
    for name in ("one", "two"):
        with threads.supervised(name):
            die()
    assert threads.death == "the thread 'one' died: RuntimeError: boom"
    assert [facts["thread"] for event, facts in heard.facts] == ["one", "two"]
