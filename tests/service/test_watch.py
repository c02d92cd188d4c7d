"""A bounce into a watched folder, aligned stems out: real folders, real events, real processes."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from bridge.intake import watcher
from bridge.ledger.states import State
from tests.bounces import BAD, SHORT_FRAMES, music, render, time_reference_of, wav_bytes
from tests.support import require, sha256
from tests.waiting import wait_until
from tests.watch_service import check_each_done_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.ledger.states import Job
    from tests.watch_service import Child, Serving, Studio

MANIFEST_KEYS = {
    *("source", "stems", "gain_db", "null_residual_dbfs"),
    *("model", "preset", "versions", "seconds"),
}
SOURCE_KEYS = {"path", "sha256", "frames", "rate_hz", "channels", "subtype", "time_reference"}
STEM_KEYS = {"name", "path", "frames", "rate_hz", "subtype", "peak_dbfs", "sha256"}

# rate_hz, subtype, channels, frames, time_reference (past 32 bits: long days at high rates)
FORMATS = {
    "stereo 16": (44_100, "PCM_16", 2, 50_001, 44_100 * 3600),
    "mono 24": (48_000, "PCM_24", 1, 47_999, 1),
    "float 96": (96_000, "FLOAT", 2, 70_000, 2**32 + 5),
    "no time": (48_000, "PCM_24", 2, 30_000, None),
}


def test_bounces_come_back_as_aligned_stems(studio: Studio, start: Callable[..., Child]) -> None:
    """The whole way as a user goes it, with the real weights."""
    require.weights()
    child = start(model="spleeter:2stems").ready()
    before = {}
    for seed, (name, form) in enumerate(FORMATS.items()):
        rate_hz, subtype, channels, frames, time_reference = form
        bounce = render(
            studio.folder / f"{name}.wav",
            frames=frames,
            rate_hz=rate_hz,
            channels=channels,
            subtype=subtype,
            time_reference=time_reference,
            seed=seed,
        )
        before[name] = bounce.read_bytes()
    child.wait_for(lambda: len(studio.published()) == len(FORMATS), "stems of each bounce")
    wait_until(lambda: set(studio.states().values()) == {State.DONE}, "the ledger")
    assert child.end() == 130
    assert studio.published() == sorted(FORMATS)
    for name in FORMATS:
        assert (studio.folder / f"{name}.wav").read_bytes() == before[name]
        check_stems(studio, name)
    assert studio.leftovers() == []


def check_stems(studio: Studio, name: str) -> None:
    """Frames, rate, channels, depth, place and sum of one set, by readers that are not ours."""
    rate_hz, subtype, channels, frames, time_reference = FORMATS[name]
    manifest, bounce = studio.manifest(name), studio.folder / f"{name}.wav"
    assert manifest.keys() >= MANIFEST_KEYS
    assert manifest["source"].keys() >= SOURCE_KEYS
    assert manifest["source"]["sha256"] == sha256(bounce)
    assert manifest["source"]["time_reference"] == time_reference
    assert [stem["name"] for stem in manifest["stems"]] == ["vocals", "accompaniment"]
    assert manifest["preset"]["name"] == "stems"
    assert manifest["model"]["name"] == "spleeter:2stems"
    assert manifest["seconds"].keys() >= {"survey", "separate", "encode", "verify"}
    total = np.zeros((frames, channels))
    for stem in manifest["stems"]:
        assert stem.keys() >= STEM_KEYS
        path = studio.stems / name / stem["path"]
        assert path.name == f"{name} - {stem['name']}.wav"
        info = soundfile.info(path)
        assert (info.frames, info.samplerate, info.channels) == (frames, rate_hz, channels)
        assert (info.subtype, stem["subtype"]) == (subtype, subtype)
        assert time_reference_of(path) == time_reference
        assert stem["sha256"] == sha256(path)
        wave = soundfile.read(path, always_2d=True)[0]
        peak_dbfs = 20 * np.log10(np.abs(wave).max())
        assert stem["peak_dbfs"] == pytest.approx(peak_dbfs, abs=1e-3)
        total += wave
    mixture = soundfile.read(bounce, always_2d=True)[0]
    null = np.abs(total - 10 ** (manifest["gain_db"] / 20) * mixture).max()
    assert null <= {"PCM_16": 2**-15, "PCM_24": 2**-23, "FLOAT": 1e-6}[subtype]


@pytest.mark.timing
def test_a_job_starts_within_half_a_second_of_the_close(
    studio: Studio, start: Callable[..., Child]
) -> None:
    """The best of five: a busy machine may delay some, a wait in our own code delays all."""
    child = start().ready()
    delays_s = []
    for number in range(6):
        name = f"take {number}.wav"
        render(studio.folder / name, seed=number)
        closed_s = time.time()
        child.wait_for(lambda name=name: studio.states().get(name) is State.DONE, name)  # type: ignore[misc]
        job = studio.jobs()[-1]
        assert job.started_s is not None
        delays_s.append(job.started_s - closed_s)
    assert min(delays_s[1:]) < 0.5, delays_s  # the first one may have met the service starting


def drop_at_once(studio: Studio, count: int) -> set[str]:
    """Files of a few contents, each under a path of its own, moved in together."""
    aside = studio.root / "aside"
    contents = [wav_bytes(music(1200, seed=seed), subtype="PCM_16") for seed in range(5)]
    names = {f"song {number % 7}/mix {number:04}.wav" for number in range(count)}
    for number, name in enumerate(sorted(names)):
        (aside / name).parent.mkdir(parents=True, exist_ok=True)
        (aside / name).write_bytes(contents[number % 5])
    for part in sorted(aside.iterdir()):
        part.rename(studio.folder / part.name)
    return names


@pytest.mark.thorough
def test_a_hundred_files_at_once_are_done_once_each(
    studio: Studio, serve: Callable[..., Serving]
) -> None:
    service = serve()
    names = drop_at_once(studio, 100)
    wait_until(lambda: len(studio.heard.of("done")) >= 100, "all bounces", timeout_s=120)
    service.end()
    assert Counter(studio.heard.of("started")) == Counter(names)
    check_each_done_once(studio, names)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_thousand_files_at_once_are_done_once_each(
    studio: Studio, start: Callable[..., Child]
) -> None:
    child = start().ready()
    names = drop_at_once(studio, 1000)
    wait_until(lambda: child.log.count(" done ") >= 1000, "all bounces", timeout_s=1000)
    child.end()
    check_each_done_once(studio, names)


def test_bad_bounces_get_a_reason_and_the_service_goes_on(
    studio: Studio, serve: Callable[..., Serving]
) -> None:
    serve()
    for name, (data, _) in BAD.items():
        (studio.folder / name).write_bytes(data)
    wait_until(lambda: len(studio.heard.of("failed")) == len(BAD), "each to fail")
    render(studio.folder / "good.wav")
    wait_until(lambda: studio.heard.of("done") == ["good.wav"], "the good one")
    assert studio.published() == ["good"]
    assert sorted(path.name for path in studio.stems.iterdir()) == ["good"]
    failed = {job.path.name: job for job in studio.jobs() if job.state is State.FAILED}
    assert {name: job.code for name, job in failed.items()} == {
        n: code for n, (_, code) in BAD.items()
    }
    for name, (data, _) in BAD.items():
        assert (studio.folder / name).read_bytes() == data
    check_status_tells(studio, list(failed.values()))


def check_status_tells(studio: Studio, failed: list[Job]) -> None:
    """`stembridge status` gives each failure with its reason on one line."""
    lines = studio.cli("status", str(studio.folder)).stdout.splitlines()
    for job in failed:
        (line,) = [line for line in lines if line.strip().startswith(f"{job.source_path} ")]
        assert job.reason
        assert "failed" in line
        assert job.reason in line
    assert lines[-1] == f"1 done, {len(failed)} failed"


@pytest.mark.parametrize("stage", ["survey", "separate", "encode", "verify"])
def test_a_bounce_rendered_over_while_its_job_runs_ends_with_the_newer_stems(
    studio: Studio,
    serve: Callable[..., Serving],
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    """At the end of each stage, by a render of the same length: nothing but the content tells."""
    bounce = studio.folder / "mix.wav"
    pending = [2]

    def overtake(job: Job, now: str, share: float) -> None:
        if now == stage and share == 1 and pending:
            render(bounce, seed=pending.pop())

    monkeypatch.setattr(studio.heard, "progress", overtake)
    serve()
    render(bounce, seed=1)
    wait_until(lambda: studio.heard.of("done") == ["mix.wav"], "the newer render")
    assert [job.state for job in studio.jobs()] == [State.WITHDRAWN, State.DONE]
    assert studio.heard.of("failed") == []
    assert studio.manifest("mix")["source"]["sha256"] == sha256(bounce)
    studio.check_complete()


def test_polling_needs_no_events(
    studio: Studio, serve: Callable[..., Serving], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: watcher.NativeNotifier) -> None:
        pytest.fail("events were asked for")

    monkeypatch.setattr(watcher.NativeNotifier, "start", refuse)
    serve(poll=True)
    render(studio.folder / "mix.wav")
    wait_until(lambda: studio.heard.of("done") == ["mix.wav"], "the bounce")
    assert studio.heard.of("note") == []


def test_a_second_service_that_makes_other_stems_is_refused(
    studio: Studio, start: Callable[..., Child], serve: Callable[..., Serving]
) -> None:
    serve()
    wait_until(lambda: len(studio.services()) == 1, "the first service")
    second = start("--once", "--preset", "karaoke")
    assert second.process.wait(60) == 1
    last = second.log.splitlines()[-1]
    assert last.startswith("stembridge: another service (process ")
    assert "with preset stems" in last
    assert str(studio.folder) in last
    assert "Traceback" not in second.log
    render(studio.folder / "mix.wav")  # the first one is none the worse
    wait_until(lambda: studio.heard.of("done") == ["mix.wav"], "the bounce")


def test_stems_can_go_into_another_folder(studio: Studio) -> None:
    render(studio.folder / "Album" / "mix.wav")
    out = studio.root / "Elsewhere"
    assert studio.once(out=out).done == 1
    assert sorted(path.name for path in (out / "Album" / "mix").iterdir()) == [
        "manifest.json",
        "mix - accompaniment.wav",
        "mix - vocals.wav",
    ]
    assert not studio.stems.exists()


def test_presets_reach_the_files(studio: Studio) -> None:
    """A mixdown preset publishes its one file, and the part that it leaves out is left out."""
    bounce = render(studio.folder / "mix.wav", frames=4 * SHORT_FRAMES)
    studio.once()
    vocals = soundfile.read(studio.stems / "mix" / "mix - vocals.wav")[0]
    studio.preset = "karaoke"
    shutil.rmtree(studio.stems)
    studio.once()
    karaoke = soundfile.read(studio.stems / "mix" / "mix - karaoke.wav")[0]
    mixture = soundfile.read(bounce)[0]
    assert np.abs(karaoke + vocals - mixture).max() <= 2 * 2**-23
    assert np.abs(vocals).max() > 0.01
