"""Fixtures of the unit tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.conversion import Convert

if TYPE_CHECKING:
    from bridge.worker.client import Worker


@pytest.fixture
def convert(worker: Worker) -> Convert:
    """`convert(source, folder, preset, **changes)`; stems go to `folder/out`."""
    return Convert(worker)
