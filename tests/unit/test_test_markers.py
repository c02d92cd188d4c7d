"""The markers that tests get by themselves, and the examples that property tests try."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import hypothesis_profiles, side_by_side
from tests.hypothesis_profiles import examples
from tests.needs import needs
from tests.service.ledger_values import Clock
from tests.support import ROOT, require, skipping_is_failing
from tests.unit import loudness_reference
from tests.waiting import PATIENCE_S, wait_until
from tests.watch_service import Child, Studio


class Starter:
    def begin(self) -> None:
        subprocess.run([sys.executable, "-c", ""], check=True)


def helper() -> Starter:
    return Starter()


def plain() -> None:
    Clock()()


def by_a_helper() -> None:
    helper().begin()


def by_a_late_import() -> None:
    import multiprocessing  # noqa: F401


def by_killing() -> None:
    os.kill(0, 0)


def by_a_program() -> None:
    require.program("sox", "sox")


def by_a_mount(folder: Path) -> None:
    with require.read_only(folder):
        pass


def by_a_module() -> None:
    loudness_reference.ffmpeg_levels(Path())


@given(st.integers())
def by_a_property(_number: int) -> None:
    helper()


def with_data_only() -> None:
    require.corpus()


class Collected:
    """What `needs` asks of a collected test."""

    def __init__(self, function: Any, place: str, *fixtures: Any) -> None:
        self.function, self.path = function, Path(place)

        definitions = [SimpleNamespace(func=fixture) for fixture in fixtures]
        self._fixtureinfo = SimpleNamespace(name2fixturedefs={"any": definitions})


def studio(tmp_path: Path, tiny_model: Path, worker: Any) -> Studio:
    return Studio(tmp_path, tiny_model, worker)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (plain, set()),
        (by_a_helper, {"process"}),
        (by_a_late_import, {"process"}),
        (by_killing, {"process", "crash"}),
        (by_a_program, {"process", "tool"}),
        (by_a_mount, {"process"}),
        (by_a_module, {"process", "tool"}),
        (by_a_property, {"process"}),
        (with_data_only, set()),
    ],
)
def test_a_test_is_marked_by_what_it_reaches(function: Any, expected: set[str]) -> None:
    item: Any = Collected(function, "/tests/unit/test_x.py")
    assert needs(item) == expected


def test_a_test_is_marked_by_its_fixtures_and_its_folder() -> None:
    by_fixture: Any = Collected(plain, "/tests/unit/test_x.py", studio)
    assert needs(by_fixture) == {"process"}
    by_folder: Any = Collected(plain, str(ROOT / "tests" / "crash" / "test_x.py"))
    assert needs(by_folder) == {"process", "crash"}


def test_this_test_has_its_marker(request: pytest.FixtureRequest, worker: object) -> None:
    assert worker is not None
    assert request.node.get_closest_marker("process")
    assert not request.node.get_closest_marker("tool")
    assert Child.end  # kills, but only where a test says so


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "default"),
        ({"CI": "false"}, "default"),
        ({"CI": "true"}, "ci"),
        ({"CI": "1", "HYPOTHESIS_PROFILE": "search"}, "search"),
    ],
)
def test_the_profile_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name in ("CI", "HYPOTHESIS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert hypothesis_profiles.chosen_profile() == expected


@pytest.mark.parametrize(
    ("profile", "counts"), [("default", (20, 5, 3)), ("ci", (100, 10, 3)), ("search", (1000,))]
)
def test_examples_scale_with_the_profile(
    monkeypatch: pytest.MonkeyPatch, profile: str, counts: tuple[int, ...]
) -> None:
    monkeypatch.setenv("HYPOTHESIS_PROFILE", profile)
    assert tuple(examples(count) for count in (100, 10, 3)[: len(counts)]) == counts


def test_an_unknown_profile_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPOTHESIS_PROFILE", "many")
    with pytest.raises(ValueError, match="known are default, ci, search"):
        hypothesis_profiles.load()


def test_every_number_of_examples_scales() -> None:
    paths = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    fixed = [
        f"{path.name}: {line.strip()}"
        for path in paths
        for line in path.read_text(encoding="utf-8").splitlines()
        if "max_examples=" in line and "max_examples=examples(" not in line
    ]
    assert not fixed


def report(outcome: str, reason: str) -> pytest.TestReport:
    return pytest.TestReport("a", ("a", 1, "a"), {}, outcome, reason, "call")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("strict", "outcome", "reason", "expected"),
    [
        ("", "skipped", "needs sox", "skipped"),
        ("all", "skipped", "needs sox", "failed"),
        ("all", "skipped", "needs two cores: with one there is nothing to share out", "skipped"),
        ("all", "passed", "", "passed"),
    ],
)
def test_where_nothing_may_be_skipped_a_skip_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, strict: str, outcome: str, reason: str, expected: str
) -> None:
    monkeypatch.setenv("STEMBRIDGE_REQUIRE", strict)
    found = skipping_is_failing(report(outcome, reason))
    assert found.outcome == expected
    assert reason in str(found.longrepr)


@pytest.mark.parametrize(
    ("cores", "free_gib", "expected"),
    [(1, 16, 2), (2, 16, 3), (16, 64, 4), (8, 5, 2), (2, 1, 1), (None, 16, 2)],
)
def test_processes_follow_cores_and_memory(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, free_gib: int, expected: int
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    memory = SimpleNamespace(available=free_gib << 30)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    assert side_by_side.worker_count() == expected


@pytest.mark.skipif(sys.platform == "win32", reason="needs fcntl")
def test_a_test_that_measures_time_waits_for_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(side_by_side.PLACE, str(tmp_path))
    order: list[str] = []

    def measure() -> None:
        with side_by_side.turn(alone=True):
            order.append("alone")

    thread = threading.Thread(target=measure)
    with side_by_side.turn(alone=False):
        with side_by_side.turn(alone=False):  # two at once
            thread.start()
            order.append("shared")
        thread.join(0.1)
        order.append("shared")
    thread.join(PATIENCE_S)
    assert order == ["shared", "shared", "alone"]
    wait_until(lambda: not thread.is_alive(), "the thread")
