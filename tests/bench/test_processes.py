"""Whole processes: wall time and peak memory, as a user has them. `make bench`.

Times depend on the machine; what is asserted is memory, and how it grows.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support import GOLDEN, require

pytestmark = pytest.mark.bench

RATE_HZ = 44_100
MAX_PEAK_MB = 900
MAX_GROWTH = 1.1  # of peak memory, from 5 to 60 minutes


def peak_mb(command: list[str]) -> float:
    """Runs a command to its end; its peak resident memory in MB."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return usage.ru_maxrss * unit / 1e6


def bounce(folder: Path, minutes: float) -> Path:
    """Real music over and over, 16-bit stereo."""
    music, _ = soundfile.read(GOLDEN / "real" / "audio_example.flac", dtype="int16")
    path = folder / f"{minutes:g} minutes.wav"
    frames = int(minutes * 60 * RATE_HZ)
    with soundfile.SoundFile(path, "w", RATE_HZ, 2, "PCM_16") as file:
        while file.frames < frames:
            file.write(music[: frames - file.frames])
    return path


def split(path: Path) -> list[str]:
    out = str(path.parent / "out")
    return [sys.executable, "-m", "bridge", "split", str(path), "--out", out]


def test_split_of_a_minute(benchmark, tmp_path: Path) -> None:
    require.weights()
    command = split(bounce(tmp_path, 1))
    peaks: list[float] = []
    benchmark.pedantic(lambda: peaks.append(peak_mb(command)), rounds=5, warmup_rounds=1)
    benchmark.extra_info["peak_mb"] = round(max(peaks))
    best_s, median_s = benchmark.stats.stats.min, benchmark.stats.stats.median
    print(f"\n60 s stereo: best {best_s:.2f} s, median {median_s:.2f} s, peak {max(peaks):.0f} MB")
    assert max(peaks) < MAX_PEAK_MB


def test_against_the_official_command(tmp_path: Path) -> None:
    """Set SPLEETER to the official program, with the same weights where MODEL_PATH says."""
    official = os.environ.get("SPLEETER")
    if official is None:
        pytest.skip("needs the official program: set SPLEETER to it and MODEL_PATH to its weights")
    require.weights()
    path = bounce(tmp_path, 1)
    theirs = [official, "separate", "-p", "spleeter:2stems", "-o", str(tmp_path / "o"), str(path)]
    seconds: dict[str, list[float]] = {"official": [], "ours": []}
    for _ in range(7):  # alternating, so that both have the machine's good and bad moments
        for name, command in (("official", theirs), ("ours", split(path))):
            begun = time.perf_counter()
            peak_mb(command)
            seconds[name].append(time.perf_counter() - begun)
    best, median = ({k: f(v) for k, v in seconds.items()} for f in (min, statistics.median))
    for name, found in (("best", best), ("median", median)):
        ratio = found["official"] / found["ours"]
        print(
            f"\n60 s stereo, {name}: {found['ours']:.2f} s, official {found['official']:.2f} s, "
            f"{ratio:.2f} times as fast"
        )


def test_memory_does_not_grow_with_the_bounce(tmp_path: Path) -> None:
    require.weights()
    five, sixty = (peak_mb(split(bounce(tmp_path, minutes))) for minutes in (5, 60))
    print(f"\npeak at 5 min {five:.0f} MB, at 60 min {sixty:.0f} MB: {sixty / five:.3f} times")
    assert sixty <= MAX_GROWTH * five


def test_help(benchmark) -> None:
    command = [sys.executable, "-m", "bridge", "--help"]
    benchmark.pedantic(lambda: peak_mb(command), rounds=10, warmup_rounds=1)
    print(f"\n--help: median {benchmark.stats.stats.median:.2f} s")


def test_reading_and_writing_cost_little_beside_separating(tmp_path: Path) -> None:
    """Where the time of a minute goes, by the manifest's own stages."""
    import json

    require.weights()
    path = bounce(tmp_path, 1)
    subprocess.run(split(path), check=True, stdout=subprocess.DEVNULL)
    manifest = json.loads((tmp_path / "out" / path.stem / "manifest.json").read_text())
    seconds = manifest["seconds"]
    print("\n" + ", ".join(f"{stage} {s:.2f} s" for stage, s in seconds.items()))
    assert np.isfinite(list(seconds.values())).all()
