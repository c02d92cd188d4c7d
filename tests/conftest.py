"""Fixtures of several folders, and how tests are marked, repeated and kept apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bridge.worker.client import Worker
from tests import hypothesis_profiles, side_by_side
from tests.needs import needs
from tests.shared_worker import LentWorker
from tests.support import skipping_is_failing
from tests.tiny_model import write_tiny_model
from tests.watch_service import Child, Serving, Studio

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

hypothesis_profiles.load()


def pytest_configure(config: pytest.Config) -> None:
    side_by_side.prepare(config)


def pytest_unconfigure() -> None:
    side_by_side.clear()


def pytest_xdist_auto_num_workers() -> int:
    return side_by_side.worker_count()


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function):
            for name in sorted(needs(item)):
                item.add_marker(name)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test that measures time has the machine to itself."""
    with side_by_side.turn(alone=item.get_closest_marker("timing") is not None):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return skipping_is_failing((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return skipping_is_failing((yield))


@pytest.fixture(scope="session")
def worker() -> Iterator[LentWorker]:
    """A worker that all tests of the session share."""
    lent = LentWorker()
    yield lent
    Worker.stop(lent)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration file of the tiny model."""
    return write_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def studio(tmp_path: Path, tiny_model: Path, worker: Worker) -> Studio:
    """An empty watched folder with the tiny model."""
    return Studio(tmp_path, tiny_model, worker)


@pytest.fixture
def start(studio: Studio) -> Iterator[Callable[..., Child]]:
    """Starts children of `studio`; those that still run are killed in the end."""
    children: list[Child] = []

    def started(*options: str, model: str | None = None) -> Child:
        children.append(studio.child(*options, model=model))
        return children[-1]

    yield started
    for child in children:
        child.process.kill()
        child.process.wait()


@pytest.fixture
def serve(studio: Studio) -> Iterator[Callable[..., Serving]]:
    """Starts services in threads of this process; all end with the test."""
    services: list[Serving] = []

    def started(**options: Any) -> Serving:
        services.append(Serving(studio.watch(**options)))
        return services[-1]

    yield started
    for service in services:
        service.end()
