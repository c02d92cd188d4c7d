"""The worker process: what kills it costs one job; what ends us ends it. All children are real."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from bridge.effects.registry import EFFECTS
from bridge.errors import (
    InternalError,
    ModelUnavailable,
    NonFiniteBounce,
    PresetError,
    UsageError,
    WorkerLost,
)
from bridge.presets import loader as presets
from bridge.publish.transaction import MANIFEST, STAGING
from bridge.render.model_request import ModelRequest
from bridge.render.request import RenderRequest
from bridge.worker.client import Worker
from tests.bounces import BAD, RATE_HZ, render
from tests.service.studio_converter import convert, converter
from tests.support import ROOT, thorough
from tests.waiting import wait_until
from tests.watch_service import Studio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bridge.presets.loader import Preset

LONG_FRAMES = 20 * RATE_HZ  # takes the tiny model half a second or more
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


@pytest.fixture(scope="module")
def own() -> Iterator[Worker]:
    """A worker that may be lost; the tests of this file share what comes after it."""
    worker = Worker()
    yield worker
    worker.stop()


def silent(stage: str, share: float) -> None:
    """Hears everything, does nothing."""


def process(worker: Worker) -> psutil.Process:
    """The running process, as psutil sees it."""
    assert worker.pid is not None
    return psutil.Process(worker.pid)


def gone(child: psutil.Process) -> bool:
    """Whether it has ended; a zombie that waits to be collected has."""
    try:
        return not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class AtStage:
    """A listener that does something to the worker, once, in the midst of a stage.

    The survey is reported before the worker hears of the job: there, not before it has begun.
    """

    def __init__(self, worker: Worker, stage: str, deed: Callable[[psutil.Process], None]) -> None:
        self.worker, self.stage, self.deed = worker, stage, deed
        self.child: psutil.Process | None = None

    def __call__(self, stage: str, share: float) -> None:
        begun = share > 0 or stage != "survey"
        if stage == self.stage and begun and self.child is None:
            self.child = process(self.worker)
            self.deed(self.child)


def with_effects() -> Preset:
    """So that there is a chain to be in."""
    chain = tuple(EFFECTS[name]() for name in ("highpass", "compressor"))
    return presets.load("stems").model_copy(update={"chain": chain})


@pytest.mark.parametrize(
    ("stage", "number", "words"),
    [
        ("survey", "SIGKILL", "was killed (SIGKILL): most likely the system ran out of memory"),
        ("chain", "SIGABRT", "crashed with SIGABRT"),  # as a plugin that calls abort()
        *thorough(
            [
                ("chain", "SIGSEGV", "crashed with SIGSEGV"),
                ("separate", "SIGSEGV", "crashed with SIGSEGV"),
                ("encode", "SIGABRT", "crashed with SIGABRT"),
                ("verify", "SIGBUS", "crashed with SIGBUS"),
            ]
        ),
    ],
)
def test_a_crash_costs_its_job_and_nothing_else(
    studio: Studio, own: Worker, stage: str, number: str, words: str
) -> None:
    bounce = render(studio.root / "mix.wav", frames=LONG_FRAMES)
    made = converter(studio, own, with_effects())
    made.load()
    crash = AtStage(own, stage, lambda child: child.send_signal(signal.Signals[number]))
    with pytest.raises(WorkerLost) as caught:
        convert(made, bounce, crash)
    assert words in str(caught.value)
    assert str(caught.value).endswith(f"(at: {stage})")
    if number != "SIGKILL":  # faulthandler tells where it was
        assert "Fatal Python error" in caught.value.diagnosis
        assert "Current thread" in caught.value.diagnosis
    assert list((studio.root / "out").iterdir()) == []
    assert crash.child is not None
    assert gone(crash.child)
    assert convert(made, render(studio.root / "next.wav"), silent).exists()
    assert process(own) != crash.child


def test_a_worker_that_dies_between_two_jobs_costs_none(studio: Studio, own: Worker) -> None:
    made = converter(studio, own)
    made.load()
    process(own).kill()  # whether we notice before or after we ask for the next job
    assert convert(made, render(studio.root / "mix.wav"), silent).exists()


def test_a_hang_is_found_and_ended(studio: Studio, own: Worker) -> None:
    bounce = render(studio.root / "mix.wav", frames=LONG_FRAMES)
    made = converter(studio, own)
    made.load()
    hang = AtStage(own, "separate", psutil.Process.suspend)
    with pytest.raises(WorkerLost, match=r"no progress for 3 s \(at: separate\).*stall_s"):
        convert(converter(studio, own, stall_s=3.0), bounce, hang)
    assert hang.child is not None
    assert gone(hang.child)
    assert list((studio.root / "out").iterdir()) == []
    assert convert(made, bounce, silent).exists()


class Enough(Exception):
    """What a listener raises."""


@pytest.mark.timing
@pytest.mark.parametrize("is_stopped", [False, True], ids=["working", "hanging"])
def test_who_listens_can_end_the_job_at_any_time(
    studio: Studio, own: Worker, *, is_stopped: bool
) -> None:
    bounce = render(studio.root / "mix.wav", frames=4 * LONG_FRAMES)
    begun_s = 0.0

    def deed(child: psutil.Process) -> None:
        nonlocal begun_s
        begun_s = time.monotonic()
        if is_stopped:
            child.suspend()

    at_separate = AtStage(own, "separate", deed)

    def listen(stage: str, share: float) -> None:
        at_separate(stage, share)
        if begun_s and time.monotonic() - begun_s > 0.3:
            raise Enough

    with pytest.raises(Enough):
        convert(converter(studio, own), bounce, listen)
    assert time.monotonic() - begun_s < 5
    assert at_separate.child is not None
    assert gone(at_separate.child)
    assert list((studio.root / "out").iterdir()) == []
    assert own.pid is None


@linux
def test_nonsense_on_the_line_is_a_lost_worker(studio: Studio, own: Worker) -> None:
    bounce = render(studio.root / "mix.wav", frames=LONG_FRAMES)

    def talk(child: psutil.Process) -> None:
        for place in Path(f"/proc/{child.pid}/fd").iterdir():
            if place.readlink() in pipes and int(place.name) > 2:
                with place.open("wb", buffering=0) as pipe:
                    pipe.write(b"progress: 12 %\n")

    made = converter(studio, own)
    made.load()
    pipes = line_of(own)
    with pytest.raises(WorkerLost, match=r"invalid message .*progress: 12 %"):
        convert(made, bounce, AtStage(own, "separate", talk))
    assert convert(made, render(studio.root / "next.wav"), silent).exists()


def line_of(worker: Worker) -> set[Path]:
    """The pipes that we read from the child; its standard error is not among them."""
    assert worker.pid is not None
    errors = Path(f"/proc/{worker.pid}/fd/2").readlink()
    both = opened("self") & opened(str(worker.pid))
    return {path for path in both if str(path).startswith("pipe:")} - {errors}


def opened(process: str) -> set[Path]:
    """What the descriptors of a process lead to; some may be closed while we look."""
    found = set()
    for path in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(path.readlink())
    return found


NOISY = """
import os, sys
os.write(1, b"{not json}\\n" * 10_000)
print("a library that prints", "x" * 100_000)
assert sys.stdin.read() == ""  # and one that reads
sys.path.remove(os.path.dirname(__file__))
del sys.modules["soxr"]
import soxr
"""


def test_a_library_that_prints_does_not_break_the_line(
    studio: Studio, own: Worker, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Put before a real one in the path; hundreds of kilobytes, more than a pipe holds."""
    own.stop()
    (studio.root / "shim").mkdir()
    (studio.root / "shim" / "soxr.py").write_text(NOISY)
    monkeypatch.setattr(sys, "path", [str(studio.root / "shim"), *sys.path])
    assert convert(converter(studio, own), render(studio.root / "mix.wav"), silent).exists()
    assert capfd.readouterr() == ("", "")


def test_modules_in_the_working_folder_are_not_run(
    studio: Studio, own: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("queue", "json", "torch", "soundfile"):
        (studio.root / f"{name}.py").write_text("raise SystemExit('ran a file of the user')")
    own.stop()
    monkeypatch.chdir(studio.root)
    assert converter(studio, own).load() == ("vocals", "accompaniment")


def test_errors_come_home_as_what_they_are(studio: Studio, own: Worker) -> None:
    bounce = studio.root / "nan.wav"
    bounce.write_bytes(BAD["nan.wav"][0])
    made = converter(studio, own)
    with pytest.raises(NonFiniteBounce, match=r"^NaN or Inf at frame "):
        convert(made, bounce, silent)
    stays = process(own)
    with pytest.raises(PresetError, match="no stem 'drums'"):
        converter(studio, own, presets.load("stems").adjusted(("drums",), {})).load()
    with pytest.raises(UsageError, match="no model named 'nothing'"):
        own.load(ModelRequest("nothing", "cpu", "auto", {}, studio.root), stall_s=60)
    order = ModelRequest(str(studio.model), "cpu", "auto", {"colour": 1}, studio.root)
    with pytest.raises(UsageError, match="no option 'colour'"):
        own.load(order, stall_s=60)
    assert process(own) == stays


def test_an_exception_that_nobody_foresaw_is_told_with_its_traceback(
    studio: Studio, own: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here: an order without names for the files."""
    bounce = render(studio.root / "mix.wav")
    made = converter(studio, own)
    made.load()
    first = process(own)
    order = RenderRequest(bounce, "", made.preset, "v", file_names={}, target=studio.stems)
    (studio.root / "staging").mkdir()
    with pytest.raises(InternalError, match=r"^internal error: KeyError: 'vocals'; please report"):
        own.process(made._model_order, order, studio.root / "staging", silent, stall_s=60)
    told = capsys.readouterr().err
    assert told.startswith("Traceback")
    assert "pipeline.py" in told
    assert gone(first)  # what is in its memory is not to be trusted any more
    assert convert(made, bounce, silent).exists()


@linux
def test_the_kernel_would_rather_take_the_worker(studio: Studio, own: Worker) -> None:
    converter(studio, own).load()
    scores = [int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in (own.pid, os.getpid())]
    assert scores[0] >= max(500, scores[1])


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_are_the_business_of_the_service(studio: Studio, own: Worker, name: str) -> None:
    """A terminal and a service manager send them to every process there is."""
    bounce = render(studio.root / "mix.wav", frames=LONG_FRAMES)
    send = AtStage(own, "separate", lambda child: child.send_signal(signal.Signals[name]))
    made = converter(studio, own)
    for listener in (send, silent):  # and does not end after the job either
        assert convert(made, bounce, listener).exists()
        assert send.child == process(own)


# --- the parent ---


PARENT = """
import sys
from pathlib import Path
from bridge.worker.client import Worker
from tests.service.studio_converter import convert, converter
from tests.watch_service import Studio

studio = Studio(Path(sys.argv[1]), Path(sys.argv[2]), Worker())
made = converter(studio, studio.worker)
made.load()
print(studio.worker.pid, flush=True)
if sys.argv[3] == "idle":
    time.sleep(600)
convert(made, studio.root / "mix.wav", lambda stage, share: print(stage, flush=True))
"""


@pytest.mark.parametrize("state", ["separate", *thorough(["idle"])])
def test_a_worker_whose_parent_is_killed_goes_away(studio: Studio, state: str) -> None:
    render(studio.root / "mix.wav", frames=3 * LONG_FRAMES)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(studio.root), str(studio.model), state],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        while state != "idle" and parent.stdout.readline().strip() != state:
            assert parent.poll() is None
        assert not gone(child)
        parent.kill()
    wait_until(lambda: gone(child), "the end of the worker", timeout_s=10)


IMPORTED = """
import atexit, sys
atexit.register(lambda: print(*({"torch", "pedalboard", "soxr"} & {*sys.modules}), file=sys.stderr))
from bridge.cli import main
main()
"""


@pytest.mark.parametrize("command", ["watch", *thorough(["split"])])
def test_the_service_itself_imports_neither_torch_nor_pedalboard(
    studio: Studio, command: str
) -> None:
    render(studio.folder / "mix.wav")
    what = {"split": ("split", "Bounces/mix.wav"), "watch": ("watch", "Bounces", "--once")}
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            IMPORTED,
            *what[command],
            "-m",
            str(studio.model),
            "-p",
            "mix-ready",
        ],
        cwd=studio.root,
        env={**studio.environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "\n"), done.stdout
    assert studio.published() == ["mix"]


# --- the commands ---


def worker_of(service: subprocess.Popen[Any]) -> psutil.Process:
    (child,) = psutil.Process(service.pid).children()
    return child


def test_split_goes_on_with_the_next_file_after_a_crash(studio: Studio) -> None:
    for name in ("long.wav", "next.wav"):
        render(studio.root / name, frames=3 * LONG_FRAMES if name == "long.wav" else 2400)
    arguments = ("split", "long.wav", "next.wav", "-m", str(studio.model))
    command = subprocess.Popen(
        [sys.executable, "-m", "bridge", *arguments],
        cwd=studio.root,
        env={**studio.environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    staging = studio.root / "Stems" / STAGING
    wait_until(lambda: any(staging.glob("*/*")), "files in the staging folder")
    worker_of(command).kill()
    out, err = command.communicate(timeout=60)
    assert command.returncode == 1
    assert out.startswith("next.wav: vocals, accompaniment")
    assert err.startswith("long.wav: the worker was killed (SIGKILL)")
    assert err.count("\n") == 1
    assert [path.name for path in (studio.root / "Stems").iterdir()] == ["next"]


@pytest.mark.timing
@pytest.mark.parametrize("number", [signal.SIGTERM, *thorough([signal.SIGINT])])
def test_a_service_that_is_ended_in_mid_job_takes_its_worker_along(
    studio: Studio, start: Callable[..., Any], number: signal.Signals
) -> None:
    """The signal goes to both, as from a terminal or a service manager."""
    child = start().ready()
    render(studio.folder / "long.wav", frames=3 * LONG_FRAMES)
    child.wait_for(lambda: any((studio.stems / STAGING).glob("*/*")), "files to be staged")
    worker = worker_of(child.process)
    worker.send_signal(number)
    begun_s = time.monotonic()
    assert child.end(number) == 130
    assert time.monotonic() - begun_s < 5
    assert gone(worker)
    (job,) = studio.jobs()
    assert (job.state.value, job.attempts) == ("pending", 0)
    assert studio.leftovers() == []
    assert "Traceback" not in child.log


def test_a_bounce_that_crashes_the_worker_is_set_aside_and_the_queue_goes_on(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun_s = time.time()
    studio.clock = lambda: begun_s + 50 * (time.time() - begun_s)  # the pauses are 5 s and 30 s
    crashes: list[int] = []

    def crash(job: Any, stage: str, share: float) -> None:
        if job.path.name == "poison.wav" and stage == "separate":
            crashes.append(studio.worker.pid or 0)
            process(studio.worker).send_signal(signal.SIGSEGV)

    monkeypatch.setattr(studio.heard, "progress", crash)
    render(studio.folder / "poison.wav", frames=LONG_FRAMES)
    for seed in range(2):
        render(studio.folder / f"{seed}.wav", seed=seed)
    tally = studio.once()
    assert (tally.done, tally.failed) == (2, 1)
    assert len(set(crashes)) == 3  # each attempt in a process of its own
    (job,) = [job for job in studio.jobs() if job.path.name == "poison.wav"]
    assert (job.state.value, job.code, job.attempts) == ("failed", "worker", 3)
    assert job.reason is not None
    assert "crashed with SIGSEGV" in job.reason
    lost = [facts for name, facts in studio.heard.facts if name == "worker-lost"]
    assert [facts["bounce"] for facts in lost] == ["poison.wav"] * 3
    assert all("Segmentation fault" in facts["diagnosis"] for facts in lost)  # of faulthandler
    assert studio.published() == ["0", "1"]
    studio.check_complete()


# --- before the first job ---


class Deaf:
    """A server that takes connections and never answers."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.asked = threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def serve(self) -> None:
        self.kept = []
        while True:
            try:
                self.kept.append(self.socket.accept())
            except OSError:
                return
            self.asked.set()


@pytest.mark.timing
@pytest.mark.parametrize(
    ("number", "by_pip"),
    [(signal.SIGTERM, True), *thorough([(signal.SIGINT, False)])],
)
def test_a_download_can_be_ended_and_leaves_no_temporary_file(
    studio: Studio, number: signal.Signals, *, by_pip: bool
) -> None:
    """By pip, in a process of its own, or by us: neither they nor their files stay."""
    server, cache = Deaf(), studio.root / "cache"
    ours = "http://127.0.0.1:9" if by_pip else server.address  # a port where nobody listens
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), ours)
    render(studio.root / "mix.wav")
    command = subprocess.Popen(
        [sys.executable, "-m", "bridge", "split", "mix.wav", "-m", "spleeter:2stems"],
        cwd=studio.root,
        env={
            **{k: v for k, v in studio.environment.items() if k.lower() != "no_proxy"},
            **proxies,
            "PIP_PROXY": server.address,
            "PYTHONPATH": str(ROOT),
            "STEMBRIDGE_CACHE_DIR": str(cache),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(server.asked.is_set, "a request")
    family = psutil.Process(command.pid).children(recursive=True)
    assert any("pip" in process.cmdline() for process in family) == by_pip
    begun_s = time.monotonic()
    command.send_signal(number)
    out, err = command.communicate(timeout=60)
    assert time.monotonic() - begun_s < 5
    server.socket.close()
    assert (command.returncode, out) == (130, "")
    assert "Traceback" not in err
    wait_until(lambda: all(map(gone, family)), "the end of all that it started", timeout_s=10)
    left = {path.name for path in cache.rglob("*") if path.is_file()}
    assert {name for name in left if not name.endswith((".part", ".validator"))} <= {"lock"}
    assert [path.name for path in cache.iterdir() if path.is_dir()] in ([], ["downloads"])
    assert not [path for path in (cache / "downloads").iterdir() if path.is_dir()]


def test_weights_that_cannot_be_had_are_told_at_the_start(studio: Studio, own: Worker) -> None:
    lines: list[str] = []
    worker = Worker(fetching=lambda done, total, label: lines.append(label))
    (studio.root / "cache").write_text("a file where the folder should be")
    try:
        order = ModelRequest("spleeter:2stems", "cpu", "auto", {}, studio.root / "cache")
        with pytest.raises(ModelUnavailable, match=r"cache folder .* cannot be used"):
            worker.load(order, stall_s=60)
    finally:
        worker.stop()


def test_the_manifest_says_the_same_in_parent_and_file(studio: Studio, own: Worker) -> None:
    bounce = render(studio.root / "mix.wav")
    out = studio.root / "out"
    manifest, path = converter(studio, own).convert(bounce, out / "mix", out, silent)
    assert path == out / "mix" / MANIFEST
    told = manifest.to_json()
    assert set(told.pop("seconds")) == {"survey", "separate", "encode", "verify", "publish"}
    read = json.loads(path.read_text())
    del read["seconds"]
    assert read == json.loads(json.dumps(told))
