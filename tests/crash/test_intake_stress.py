"""Writers that dawdle, thousands of files at once, lost events: nothing is missed or early."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from bridge.intake import settle
from bridge.intake.settle import Reason
from bridge.intake.watcher import Hint, NativeNotifier, PollingNotifier
from bridge.intake.writers import OpenFiles
from bridge.ledger.states import State
from tests.bounces import BAD, render
from tests.service.intake_service import Service, unpatched_header, write_wav
from tests.support import thorough
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.crash.scene import Scene

SEED = 3
#: A hundredth of the product's times; the pause of the writer is longer than the longest of them.
SCALED = settle.SettleTimes(riff_quiet_s=0.05, quiet_s=0.15, held_quiet_s=30.0)
PAUSE_S = 0.5


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    folder = tmp_path / "Bounces"
    folder.mkdir()
    service = Service(folder)
    yield service
    service.end()


def dawdle(service: Service, pauses: int, pause_s: float, *, up_to_date: bool = False) -> Path:
    """Renders as a DAW that is held up again and again, and puts the header right at the end."""
    path = service.folder / "mix.wav"
    with path.open("wb", buffering=0) as file:
        file.write(unpatched_header())
        for _ in range(pauses):
            file.write(bytes(8192))
            if up_to_date:
                patch(file.fileno())
            time.sleep(pause_s)
        assert service.settled == [], "taken early"
        file.write(bytes(8192))
        patch(file.fileno())
    return path


def patch(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    os.pwrite(descriptor, struct.pack("<I", size - 8), 4)


def polling(_folder: Path) -> PollingNotifier:
    """No events at all."""
    return PollingNotifier()


@pytest.mark.parametrize(
    ("notifier", "up_to_date"),
    [
        (NativeNotifier, False),
        *thorough([(NativeNotifier, True), (polling, False), (polling, True)]),
    ],
    ids=["events", "events, header kept up to date", "polling", "polling, header kept up to date"],
)
def test_a_writer_that_pauses_longer_than_the_settle_time_is_waited_for(
    service: Service, notifier: Callable[[Path], object], up_to_date: bool
) -> None:
    times = {"times": SCALED, "polling_times": SCALED, "polling_s": 0.05}
    service.start(**times, notifier=notifier, polling=notifier is not NativeNotifier)
    path = dawdle(service, 4, PAUSE_S, up_to_date=up_to_date)
    service.wait_for(1)
    time.sleep(3 * SCALED.quiet_s)
    (settled,) = service.settled
    assert settled.size == path.stat().st_size
    assert settled.reason in {Reason.CLOSED, Reason.COMPLETE}  # whichever is noticed first


def test_a_program_that_forgets_to_close_is_not_waited_for_for_ever(service: Service) -> None:
    forgotten = settle.SettleTimes(riff_quiet_s=0.05, quiet_s=0.15, held_quiet_s=0.6)
    service.start(times=forgotten)
    path = service.folder / "mix.wav"
    with path.open("wb", buffering=0) as file:
        file.write(write_wav(service.folder.parent / "x.wav").read_bytes())
        written_s = time.monotonic()
        service.wait_for(1)
    assert service.arrived_s[0] - written_s >= forgotten.held_quiet_s - 0.05


@pytest.mark.slow
def test_a_writer_that_takes_twenty_seconds_under_the_real_times(service: Service) -> None:
    service.start(times=settle.LOCAL)
    path = dawdle(service, 4, 5.0)
    service.wait_for(1)
    assert service.settled[0].size == path.stat().st_size


def test_writers_of_other_processes_are_seen(tmp_path: Path) -> None:
    path, read = tmp_path / "mix.wav", tmp_path / "other.wav"
    for file in (path, read):
        file.write_bytes(b"x")
    code = (
        "import sys; a = open(sys.argv[1], 'ab'); b = open(sys.argv[2], 'rb'); "
        "print(flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(path), str(read)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    other.stdout.readline()
    assert OpenFiles().is_written(path)
    assert not OpenFiles().is_written(read)
    other.kill()
    other.wait()
    assert not OpenFiles().is_written(path)


class Forgetful(NativeNotifier):
    """Loses some of what the system says, or all of it, and does not know."""

    share = 1.0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._random = random.Random(SEED)

    def take(self, timeout_s: float) -> list[Hint]:
        return [hint for hint in super().take(timeout_s) if self._random.random() >= self.share]


class HalfForgetful(Forgetful):
    """Every second hint, about."""

    share = 0.5


@pytest.mark.parametrize("notifier", [Forgetful, HalfForgetful])
def test_a_watcher_that_drops_its_events_misses_nothing(
    service: Service, notifier: type[Forgetful]
) -> None:
    """Arrivals, renders over, renames, deletions: the walks find them all, each once."""
    service.start(notifier=notifier, rescan_s=0.2)
    chance = random.Random(SEED)
    expected: Counter[str] = Counter()
    for number in range(40):
        name = f"{number % 5}/mix {number}.wav"
        write_wav(service.folder / name, frames=100 + number)
        expected[name] += 1
        time.sleep(chance.uniform(0, 0.02))
    wait_until(lambda: len(service.settled) == 40, "the arrivals")
    for number in range(0, 40, 4):
        write_wav(service.folder / f"{number % 5}/mix {number}.wav", frames=1000 + number)
        expected[f"{number % 5}/mix {number}.wav"] += 1
    for number in range(1, 40, 4):
        path = service.folder / f"{number % 5}/mix {number}.wav"
        path.rename(path.with_name(f"renamed {number}.wav"))
        expected[f"{number % 5}/renamed {number}.wav"] += 1
    (service.folder / "2/mix 2.wav").unlink()
    wait_until(lambda: len(service.settled) >= 60, "the changes")
    time.sleep(0.6)  # and nothing more
    assert Counter(service.names()) == expected


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_five_thousand_files_at_once_have_an_end_each(scene: Scene) -> None:
    """Most are refused for a reason, some become stems; the folder they come from is renamed in."""
    kinds = sorted(BAD)
    elsewhere = scene.root / "elsewhere"
    elsewhere.mkdir()
    number = scene.start(once=False)
    wait_until(lambda: "watching " in scene.output, "the service")
    expected = {"mix.wav": None}
    for index in range(4950):
        kind = kinds[index % len(kinds)]
        (elsewhere / f"{index:04} {kind}").write_bytes(BAD[kind][0])
        expected[f"all/{index:04} {kind}"] = BAD[kind][1]
    for index in range(50):
        render(elsewhere / f"good {index}.wav", seed=index)
        expected[f"all/good {index}.wav"] = None
    elsewhere.rename(scene.folder / "all")
    ended = {State.DONE, State.FAILED}
    deadline_s = time.monotonic() + 1000
    while sum(job.state in ended for job in scene.jobs()) < len(expected):
        assert time.monotonic() < deadline_s, scene.output[-2000:]
        time.sleep(2)  # to look takes a while itself
    os.kill(number, 15)
    assert scene.wait().code == 130
    found = [(job.source_path.as_posix(), job.code) for job in scene.jobs()]
    assert len(found) == len(expected)
    assert dict(found) == expected
    done = {name for name, code in expected.items() if code is None}
    assert len(list(scene.published())) == len(done)
