"""The Python examples that go through the bridge, run as their first lines say."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.bounces import render, time_reference_of
from tests.daw.sets import read_24
from tests.support import ROOT
from tests.tiny_model import write_tiny_model
from tests.waiting import PATIENCE_S
from tests.watch_service import Child, Studio

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bridge.worker.client import Worker

EXAMPLES = ROOT / "examples"


@pytest.fixture
def studio(tmp_path: Path, worker: Worker) -> Studio:
    return Studio(tmp_path, write_tiny_model(tmp_path), worker)


def run(studio: Studio, example: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / example), *map(str, arguments)],
        cwd=studio.root,
        env={**studio.environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def test_a_bounce_is_converted_from_python(studio: Studio) -> None:
    bounce = render(studio.root / "Mix 3.wav", frames=20_000, time_reference=96_123)
    done = run(studio, "convert_bounce.py", "Mix 3.wav", "--model", studio.model)
    assert done.returncode == 0, done.stderr
    place = studio.root / "Stems" / "Mix 3"
    *stems, manifest = done.stdout.splitlines()
    assert manifest == str(place / "manifest.json")
    assert stems == [
        f"{name}: 20000 frames at 44100 Hz, PCM_24" for name in ("vocals", "accompaniment")
    ]
    files = sorted(place.glob("*.wav"))
    assert {time_reference_of(file) for file in files} == {96_123}
    total = sum(read_24(file) for file in files)
    assert np.abs(total - read_24(bounce)).max() <= 1
    assert "separate done" in done.stderr.splitlines()


@pytest.mark.parametrize(
    ("name", "options", "code", "message"),
    [
        ("empty.wav", (), 1, "empty: "),
        ("none.wav", (), 1, "changed: "),
        ("empty.wav", ("--preset", "karaok"), 2, "preset: no preset is named 'karaok'"),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_code(
    studio: Studio, name: str, options: tuple[str, ...], code: int, message: str
) -> None:
    (studio.root / "empty.wav").write_bytes(b"")
    done = run(studio, "convert_bounce.py", name, "--model", studio.model, *options)
    assert done.returncode == code
    (line,) = [line for line in done.stderr.splitlines() if not line.endswith(" done")]
    assert line.startswith(message)


@pytest.fixture
def service(studio: Studio) -> Iterator[tuple[Child, str]]:
    child = studio.child("--osc", "0").ready()
    child.wait_for(lambda: "listening for OSC on 127.0.0.1:" in child.log, "its OSC port")
    yield child, child.log.split("listening for OSC on 127.0.0.1:")[1].split()[0]
    child.process.kill()
    child.process.wait()


def test_a_client_asks_by_osc_and_hears_the_end(studio: Studio, service: tuple[Child, str]) -> None:
    _, port = service
    bounce = render(studio.root / "Desktop" / "Mix 3.wav")
    done = run(studio, "osc_client.py", port, bounce, "--preset", "karaoke")
    assert done.returncode == 0, done.stderr
    first, *progress, manifest = done.stdout.splitlines()
    assert first.strip() == "queued"
    assert "separate 100%" in progress
    assert json.loads(open(manifest).read())["preset"]["name"] == "karaoke"  # noqa: PTH123, SIM115

    failed = run(studio, "osc_client.py", port, studio.root / "none.wav")
    assert failed.returncode == 1
    assert "none.wav: No such file" in failed.stderr
