"""The soak itself works: half a minute of it. `make soak` is the real one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import ROOT


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_short_soak_ends_well() -> None:
    command = [sys.executable, "-m", "tests.crash.soak", "--seconds", "30", "--seed", "1"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "all well" in told.stdout
