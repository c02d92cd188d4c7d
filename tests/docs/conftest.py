"""The command line in a folder of its own, as in tests/cli."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import Desk, Inside
from tests.shared_worker import LentWorker
from tests.tiny_model import write_tiny_model


@pytest.fixture(autouse=True)
def _no_presets_of_the_tester(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The configuration file of the tiny model."""
    return str(write_tiny_model(tmp_path_factory.mktemp("model")))


@pytest.fixture
def inside(
    tmp_path: Path,
    tiny_model: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    worker: LentWorker,
) -> Inside:
    """Runs commands in this process, in an empty folder."""
    return Inside(Desk(tmp_path, tiny_model), monkeypatch, capsys, worker)
