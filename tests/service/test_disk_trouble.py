"""A disk that is full, read-only or limited: nothing is lost, and the work goes on by itself."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from bridge import convert
from bridge.ledger.states import State
from bridge.publish.transaction import STAGING
from bridge.service import retry_wait
from bridge.service.watch import Tally
from bridge.system.disk import disk_errors
from tests.bounces import RATE_HZ, render
from tests.support import ROOT, place_left, require
from tests.waiting import wait_until
from tests.watch_service import Studio

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.watch_service import Child, Serving

resource = pytest.importorskip("resource", reason="needs limits of processes, and mounts")

SMALL_BYTES = 32_000_000
LONG_FRAMES = 20 * RATE_HZ  # two stems: 14 MB as float32, 11 MB published


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services of this process wait less."""
    monkeypatch.setattr(retry_wait, "FIRST_WAIT_S", 0.2)
    monkeypatch.setattr(retry_wait, "LONGEST_WAIT_S", 0.5)


def fill(place: Path, but_bytes: int = 0) -> Path:
    """Leaves that much free."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while (left := place_left(place) - but_bytes) > 0:  # others may be taking and giving too
            file.write(bytes(left))
    return ballast


def status(studio: Studio) -> dict[str, Any]:
    told = studio.cli("status", "--json")
    assert told.returncode == 0, told.stderr
    data = json.loads(told.stdout)
    assert isinstance(data, dict)
    return data


def test_a_full_disk_pauses_the_service_until_there_is_room(
    studio: Studio, serve: Callable[..., Serving], tmp_path: Path
) -> None:
    with require.tmpfs(tmp_path / "small", SMALL_BYTES) as out:
        ballast = fill(out, but_bytes=3_000_000)
        serving = serve(out=out)
        bounce = render(studio.folder / "mix.wav", frames=LONG_FRAMES)
        before = bounce.read_bytes()
        wait_until(lambda: bool(studio.heard.of("paused")), "the pause")
        (reason,) = studio.heard.of("paused")
        assert "free and this bounce needs" in reason
        (job,) = studio.jobs()
        assert (job.state, job.attempts, job.code) == (State.PENDING, 0, "disk-full")
        assert job.reason
        assert "needs" in job.reason
        assert {path.name for path in out.iterdir()} <= {"ballast", STAGING}
        ballast.unlink()
        wait_until(lambda: studio.heard.of("done") == ["mix.wav"], "the bounce")
        assert len(studio.heard.of("resumed")) == 1
        assert studio.heard.of("failed") == studio.heard.of("retry") == []
        serving.end()
        assert {path.name for path in out.iterdir()} == {"mix"}
        assert bounce.read_bytes() == before
    (job,) = studio.jobs()
    assert (job.state, job.attempts) == (State.DONE, 1)


def test_a_disk_that_fills_up_in_mid_job_leaves_the_old_set_whole(
    studio: Studio, serve: Callable[..., Serving], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check before the job passes, a write fails: the real ENOSPC of a real file system."""
    with require.tmpfs(tmp_path / "small", SMALL_BYTES) as out:
        bounce = render(studio.folder / "mix.wav", seed=1)
        studio.once(out=out)
        old = {path.name: path.read_bytes() for path in (out / "mix").iterdir()}
        pending = [True]

        def someone_else_fills_it(job: object, stage: str, share: float) -> None:
            if stage == "separate" and pending:
                pending.clear()
                fill(out)

        monkeypatch.setattr(studio.heard, "progress", someone_else_fills_it)
        serve(out=out)
        render(bounce, frames=LONG_FRAMES, seed=2)
        wait_until(lambda: bool(studio.heard.of("paused")), "the pause")
        assert {path.name: path.read_bytes() for path in (out / "mix").iterdir()} == old
        assert not any((out / STAGING).glob("*/*"))
        job = studio.jobs()[-1]
        assert (job.state, job.attempts, job.code) == (State.PENDING, 0, "disk-full")
        (out / "ballast").unlink()
        wait_until(lambda: len(studio.heard.of("done")) == 2, "the newer render")
        assert {path.name for path in (out / "mix").iterdir()} == old.keys()


@pytest.mark.thorough  # a process of its own
def test_once_ends_with_what_is_left_and_why(
    studio: Studio, start: Callable[..., Child], tmp_path: Path
) -> None:
    with require.tmpfs(tmp_path / "small", SMALL_BYTES) as out:
        fill(out, but_bytes=100_000)
        for number in range(3):
            render(studio.folder / f"{number}.wav", frames=LONG_FRAMES, seed=number)
        child = start("--once", "--out", str(out))
        assert child.process.wait(60) == 1
        last = child.log.splitlines()[-1]
        assert "0 done, 0 unchanged, 0 failed, 3 left pending: " in last
        assert "free some space" in last
        assert "Traceback" not in child.log
        assert {path.name for path in out.iterdir()} == {"ballast"}
    assert set(studio.states().values()) == {State.PENDING}
    assert all(job.attempts == 0 for job in studio.jobs())
    assert "needs" in studio.cli("status").stdout


@pytest.mark.thorough  # a process of its own
def test_split_fails_that_file_and_goes_on(studio: Studio, tmp_path: Path) -> None:
    with require.tmpfs(tmp_path / "small", SMALL_BYTES) as out:
        fill(out, but_bytes=3_000_000)
        long = render(tmp_path / "long.wav", frames=LONG_FRAMES)
        short = render(tmp_path / "short.wav")
        told = studio.cli("split", str(long), str(short), "-o", str(out), "-m", str(studio.model))
        assert told.returncode == 1
        assert "long.wav: " in told.stderr
        assert "free some space" in told.stderr
        assert {path.name for path in out.iterdir()} == {"ballast", "short"}


def test_a_read_only_disk_pauses_the_service(
    studio: Studio, serve: Callable[..., Serving], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    with require.read_only(tmp_path / "out") as out:
        serve(out=out)
        render(studio.folder / "mix.wav")
        wait_until(lambda: bool(studio.heard.of("paused")), "the pause")
        assert "the disk is read-only" in studio.heard.of("paused")[0]
        subprocess.run(["mount", "-o", "remount,rw,bind", str(out)], check=True)
        wait_until(lambda: studio.heard.of("done") == ["mix.wav"], "the bounce")
        assert [path.name for path in out.iterdir()] == ["mix"]


def test_a_place_that_one_bounce_alone_may_not_write_holds_up_nobody(
    studio: Studio, serve: Callable[..., Serving], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others' places are fine, so it is its own trouble: it costs attempts, and they go on."""
    original = convert.publish

    def publish(staged: Path, manifest: dict[str, Any], target: Path) -> Path:
        with disk_errors(target):
            if target.name == "a":  # as when its folder was given to another user
                raise PermissionError(errno.EACCES, "Permission denied", str(target))
        return original(staged, manifest, target)

    monkeypatch.setattr(convert, "publish", publish)
    serve()
    render(studio.folder / "a.wav")
    wait_until(lambda: bool(studio.heard.of("retry")), "an attempt")
    render(studio.folder / "b.wav")
    wait_until(lambda: studio.heard.of("done") == ["b.wav"], "the other")
    assert studio.heard.of("paused") == []
    waiting = studio.jobs()[0]
    assert waiting.state is not State.DONE
    assert (waiting.code, waiting.attempts > 0) == ("output-blocked", True)
    assert "Permission denied" in (waiting.reason or "")


def limited_watch(studio: Studio, limit_bytes: int) -> subprocess.CompletedProcess[str]:
    """`watch --once` where no file may be longer than that."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does by itself
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    command = ["watch", str(studio.folder), "--once", "--model", str(studio.model)]
    return subprocess.run(
        [sys.executable, "-m", "bridge", *command],
        cwd=ROOT,
        env=studio.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=limit,
    )


def test_a_limit_on_the_length_of_files_fails_what_is_longer(studio: Studio) -> None:
    studio.once()  # the ledger is there: what grows is the audio
    short, long = render(studio.folder / "short.wav"), studio.folder / "long.wav"
    render(long, frames=LONG_FRAMES)
    told = limited_watch(studio, 2_000_000)
    assert told.returncode == 1, told.stderr
    assert "Traceback" not in told.stderr
    assert studio.published() == ["short"]
    failed = {job.source_path.name: job for job in studio.jobs() if job.state is State.FAILED}
    assert {name: job.code for name, job in failed.items()} == {"long.wav": "file-too-large"}
    assert "raise `ulimit -f`" in (failed["long.wav"].reason or "")
    assert short.exists()
    studio.check_complete()


@pytest.mark.thorough
def test_a_locked_ledger_pauses_the_service(studio: Studio, start: Callable[..., Child]) -> None:
    """Locked by another program for a while; nothing that happens meanwhile is missed."""
    child = start().ready()
    wait_until(lambda: len(studio.services()) == 1, "the service")
    other = sqlite3.connect(studio.settings.ledger_path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    render(studio.folder / "mix.wav")
    child.wait_for(lambda: "paused: cannot use the ledger" in child.log, "the pause")
    other.execute("ROLLBACK")
    other.close()
    child.wait_for(lambda: studio.states().get("mix.wav") is State.DONE, "the bounce")
    child.wait_for(lambda: "resumed: the problem is gone" in child.log, "the end of the pause")
    assert child.log.count("paused: ") == 1
    assert child.end() == 130


@pytest.mark.thorough  # a process of its own
def test_a_service_whose_ledger_is_locked_ends_when_it_is_asked(
    studio: Studio, start: Callable[..., Child]
) -> None:
    child = start().ready()
    wait_until(lambda: len(studio.services()) == 1, "the service")
    other = sqlite3.connect(studio.settings.ledger_path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    child.wait_for(lambda: "paused: cannot use the ledger" in child.log, "the pause")
    assert child.end(signal.SIGTERM, timeout_s=20) == 130
    assert "Traceback" not in child.log
    other.close()


def test_a_full_disk_under_the_ledger_pauses_the_service(
    studio: Studio, serve: Callable[..., Serving]
) -> None:
    with require.tmpfs(studio.root / "state", 3_000_000) as state:
        serving = serve()
        wait_until(lambda: len(studio.services()) == 1, "the service")
        ballast = fill(state)
        render(studio.folder / "mix.wav")
        wait_until(lambda: bool(studio.heard.of("paused")), "the pause")
        assert "cannot use the ledger" in studio.heard.of("paused")[0]
        ballast.unlink()
        wait_until(lambda: studio.heard.of("done") == ["mix.wav"], "the bounce")
        serving.end()
        assert studio.states() == {"mix.wav": State.DONE}


@pytest.mark.thorough
def test_status_says_what_a_service_waits_for(
    studio: Studio, start: Callable[..., Child], tmp_path: Path
) -> None:
    with require.tmpfs(tmp_path / "small", SMALL_BYTES) as out:
        ballast = fill(out)
        child = start("--out", str(out)).ready()
        render(studio.folder / "mix.wav")
        child.wait_for(lambda: "paused: " in child.log, "the pause")
        child.wait_for(lambda: bool(status(studio)["services"][0]["paused"]), "its beat")
        told = status(studio)
        assert told["counts"]["pending"] == 1
        (job,), (alive,) = told["jobs"], told["services"]
        assert (job["state"], job["code"], job["attempts"]) == ("pending", "disk-full", 0)
        assert alive["pid"] == child.process.pid
        assert alive["folder"] == str(studio.folder)
        assert f"PAUSED: {alive['paused']}" in studio.cli("status").stdout
        assert studio.once(out=out) == Tally(blocked=alive["paused"])
        ballast.unlink()
        child.wait_for(lambda: studio.states()["mix.wav"] is State.DONE, "the bounce")
        assert child.end() == 130
    assert os.listdir(out) == []  # noqa: PTH208 the mount is gone
