"""A real plugin that takes its process down in the midst of a job, and a service that goes on."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from bridge.convert import Converter
from bridge.errors import WorkerLost
from bridge.plugins import host
from bridge.presets import loader as presets
from bridge.render import preset_check
from tests.bounces import render
from tests.support import ROOT, require

if TYPE_CHECKING:
    from pathlib import Path

    from tests.watch_service import Studio

SOURCE = ROOT / "tests" / "plugins" / "aborts_at_96k.c"

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the bundle is made for Linux"
)


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    """A preset with the plugin beside it, compiled."""
    compiler = require.program("cc", "gcc libc6-dev")
    folder = tmp_path / "AbortsAt96k.vst3" / "Contents" / f"{platform.machine()}-linux"
    folder.mkdir(parents=True)
    library = folder / "AbortsAt96k.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    path = tmp_path / "with plugin.yaml"
    path.write_text("schema: 1\nsummary: x\nchain: [vst3: {plugin: AbortsAt96k.vst3}]\n")
    return path


def test_a_plugin_that_aborts_costs_one_attempt_and_is_named(studio: Studio, preset: Path) -> None:
    converter = Converter(studio.settings, presets.load(preset), str(studio.model), studio.worker)
    out = studio.root / "out"

    def convert(name: str, rate_hz: int) -> Path:
        bounce = render(studio.root / name, rate_hz=rate_hz)
        return converter.convert(bounce, out / bounce.stem, out, lambda stage, share: None)[1]

    with pytest.raises(WorkerLost) as caught:
        convert("poison.wav", 96_000)
    assert "crashed with SIGABRT: a plug-in (AbortsAt96k.vst3)" in str(caught.value)
    assert caught.value.retryable
    assert "Fatal Python error: Aborted" in caught.value.diagnosis
    assert host.__file__ in caught.value.diagnosis  # where in our code it was called
    manifest = json.loads(convert("fine.wav", 48_000).read_text(encoding="utf-8"))
    library = next(preset.parent.rglob("AbortsAt96k.so"))
    told = {"version": "", "sha256": hashlib.sha256(library.read_bytes()).hexdigest()}
    assert manifest["plugins"] == {"AbortsAt96k.vst3": told}


@pytest.mark.thorough  # a worker for each attempt
def test_a_plugin_that_aborts_costs_attempts_of_its_job_only(studio: Studio, preset: Path) -> None:
    preset_check.check_preset(presets.load(preset))  # passes at 48 kHz
    begun_s = time.time()
    studio.clock = lambda: begun_s + 50 * (time.time() - begun_s)  # the pauses are 5 s and 30 s
    studio.preset = str(preset)
    render(studio.folder / "fine.wav", rate_hz=48_000)
    render(studio.folder / "poison.wav", rate_hz=96_000)
    render(studio.folder / "well.wav", rate_hz=44_100, seed=1)
    tally = studio.once()
    assert (tally.done, tally.failed) == (2, 1)
    assert studio.published() == ["fine", "well"]
    (job,) = [job for job in studio.jobs() if job.path.name == "poison.wav"]
    assert (job.state.value, job.code, job.attempts) == ("failed", "worker", 3)
    lost = [facts for name, facts in studio.heard.facts if name == "worker-lost"]
    assert [facts["bounce"] for facts in lost] == ["poison.wav"] * 3  # an attempt each
    assert "crashed with SIGABRT: a plug-in (AbortsAt96k.vst3)" in str(job.reason)
    assert all("Fatal Python error: Aborted" in str(facts["diagnosis"]) for facts in lost)
    studio.check_complete()
