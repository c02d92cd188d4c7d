"""Fixtures of several folders: one worker process for a whole session, and watch services."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bridge.worker.client import Worker
from tests.shared_worker import LentWorker
from tests.tiny_model import write_tiny_model
from tests.watch_service import Child, Serving, Studio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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
