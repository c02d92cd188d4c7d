"""The command as a user runs it, in a process of its own or, for speed, in this one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import Desk, Inside
from tests.shared_worker import LentWorker
from tests.tiny_model import write_tiny_model


@pytest.fixture
def desk(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """An empty folder; the tiny model lies outside it."""
    return Desk(tmp_path, str(write_tiny_model(tmp_path_factory.mktemp("model"))))


@pytest.fixture
def inside(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    worker: LentWorker,
) -> Inside:
    """Runs commands of `desk` in this process."""
    return Inside(desk, monkeypatch, capsys, worker)
