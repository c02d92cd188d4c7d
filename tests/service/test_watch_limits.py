"""inotify's limits, for real: in a user namespace of its own, where they can be lowered."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# Makes sub-folders before and after the intake starts, then a bounce in each of the later ones.
INTAKE = """
import json, sys, threading, time
from pathlib import Path
import numpy as np, soundfile
from bridge.intake import settle
from bridge.intake.intake import Intake
folder, before = Path(sys.argv[1]), int(sys.argv[2])
for number in range(before):
    (folder / f"old {number}").mkdir()
settled, warnings, stop = [], [], threading.Event()
fast = settle.SettleTimes(0.1, 0.3)
intake = Intake(
    folder, output_dirs=[], on_settled=lambda found: settled.append(found.path.name),
    known=lambda *_: False, warn=warnings.append, times=fast, polling_times=fast,
    rescan_s=600, polling_s=0.05,
)
thread = threading.Thread(target=intake.run, args=(stop,))
thread.start()
assert intake.wait_idle(30)
names = [f"{number}.wav" for number in range(10)]
for number, name in enumerate(names):
    place = folder / f"new {number}"
    place.mkdir()
    time.sleep(0.05)
    soundfile.write(place / name, np.full(480, 0.2, np.float32), 48000)
deadline_s = time.monotonic() + 60
while len(settled) < len(names) and time.monotonic() < deadline_s:
    time.sleep(0.01)
stop.set()
thread.join()
print(json.dumps({"settled": sorted(settled), "warnings": warnings}))
"""


def limited(folder: Path, limit: str, value: int, before: int) -> dict[str, list[str]]:
    """Runs INTAKE with a limit of user_namespaces(7); skips where none can be made."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs unshare (util-linux)")
    setting = f"echo {value} > /proc/sys/user/{limit}"
    made = [unshare, "--user", "--map-root-user", "sh", "-c"]
    if subprocess.run([*made, setting], capture_output=True, check=False).returncode:
        pytest.skip("no user namespace can be made here")
    run = subprocess.run(
        [*made, f'{setting} && exec "$@"', "sh", sys.executable, "-c", INTAKE, folder, str(before)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert isinstance(told, dict)
    return told


@pytest.mark.parametrize(
    ("limit", "value", "before", "reason"),
    [
        ("max_inotify_instances", 0, 0, "inotify instance limit reached"),
        ("max_inotify_watches", 0, 0, "inotify watch limit reached"),
        ("max_inotify_watches", 3, 6, "inotify watch limit reached"),
        ("max_inotify_watches", 9, 4, "the system stopped sending them"),
    ],
    ids=["no instance", "no watch", "too few at the start", "too few later on"],
)
def test_nothing_is_missed_and_one_warning_says_why(
    tmp_path: Path, limit: str, value: int, before: int, reason: str
) -> None:
    told = limited(tmp_path, limit, value, before)
    assert told["settled"] == [f"{number}.wav" for number in range(10)]
    (warning,) = told["warnings"]
    assert reason in warning
    assert str(tmp_path) in warning


def test_enough_watches_are_no_reason_to_poll(tmp_path: Path) -> None:
    told = limited(tmp_path, "max_inotify_watches", 100, 4)
    assert told == {"settled": [f"{number}.wav" for number in range(10)], "warnings": []}
