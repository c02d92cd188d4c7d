"""Start of the worker: early start and imports before the first request."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import time
import uuid

import psutil
import pytest

from bridge.worker import prestart, torch_startup

PATIENCE_S = 60.0


@pytest.mark.process
@pytest.mark.parametrize("arguments", [["split", "mix.wav"], ["preview", "mix.wav", "--at", "60"]])
def test_a_command_that_separates_begins_with_its_worker(arguments: list[str]) -> None:
    prestart.start(arguments)
    child = prestart.take()
    assert child is not None
    try:
        assert child.is_alive
        assert prestart.take() is None
    finally:
        child.end()


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["split", "--help"], ["presets", "check", "split"], ["doctor"]]
)
def test_no_other_does(arguments: list[str]) -> None:
    prestart.start(arguments)
    assert prestart.take() is None


def test_a_command_that_is_not_understood_leaves_no_worker_behind() -> None:
    mark = uuid.uuid4().hex
    done = subprocess.run(
        [sys.executable, "-m", "bridge", "split", "--nonsense"],
        env={**os.environ, "STEMBRIDGE_TEST_MARK": mark},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 2
    deadline = time.monotonic() + PATIENCE_S
    while _marked(mark):
        assert time.monotonic() < deadline, "a worker without a parent"
        time.sleep(0.05)


@pytest.mark.thorough
def test_a_deferred_module_is_imported_on_access() -> None:
    code = """
import sys
from bridge.worker import torch_startup
torch_startup.defer_import(torch_startup.UNUSED)
import torch
assert "torch._decomp" not in sys.modules, "the table of decompositions was imported"
assert callable(torch._meta_registrations.register_meta)
assert "torch._decomp" in sys.modules
assert type(sys.modules[torch_startup.UNUSED]).__name__ == "module"
from torch._subclasses import FakeTensorMode  # a part that cannot do without
with FakeTensorMode():
    image, kernel = torch.empty(1, 2, 8, 8), torch.empty(3, 2, 3, 3)
    assert torch.nn.functional.conv2d(image, kernel).shape == (1, 3, 6, 6)
"""
    subprocess.run([sys.executable, "-c", code], timeout=PATIENCE_S * 2, check=True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_the_libraries_of_torch_are_loaded_before_it_is_imported() -> None:
    code = """
import sys
from pathlib import Path
from bridge.worker import torch_startup
maps = Path("/proc/self/maps")
assert "libtorch_cpu" not in maps.read_text()
torch_startup.preload()
assert "libtorch_cpu" in maps.read_text()
assert "torch" not in sys.modules
before = maps.read_text().count("libtorch_cpu")
import torch
assert maps.read_text().count("libtorch_cpu") == before, "they were loaded twice"
assert torch.ones(3).sum() == 3
"""
    subprocess.run([sys.executable, "-c", code], timeout=PATIENCE_S, check=True)


def test_modules_of_the_first_request_do_not_import_torch() -> None:
    code = """
import sys
from bridge.worker import serve, torch_startup
torch_startup.import_all(torch_startup.FIRST)
assert all(name in sys.modules for name in torch_startup.FIRST)
assert "torch" not in sys.modules
assert "bridge.presets.loader" not in sys.modules, "it takes longer than all the others"
"""
    subprocess.run([sys.executable, "-c", code], timeout=PATIENCE_S, check=True)


def test_frames_have_their_lines_again_after_the_imports() -> None:
    frame = sys._getframe()
    with torch_startup.without_source_lines():
        found = inspect.getframeinfo(frame)
        assert found.filename == __file__
        assert found.code_context is None
        assert inspect.stack()[0].lineno > found.lineno
    assert inspect.getframeinfo(frame).code_context is not None


def test_missing_modules_do_not_stop_the_warm_up() -> None:
    torch_startup.import_all(["no.such.module", "json"])


def _marked(mark: str) -> list[int]:
    """Processes that were started with that mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("STEMBRIDGE_TEST_MARK") == mark:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
