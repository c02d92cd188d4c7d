"""Demonstration: a real watch service and bounce, and an independent check of every promise.

The service runs as a separate process, like a user's. Its stems are read back with soundfile and
checked against the bounce itself, not against the manifest.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
import soxr

from bridge.audio.chunks import Chunk
from bridge.audio.encode import StemWriter
from bridge.audio.metadata.bext import Bext
from bridge.audio.probe import probe
from bridge.audio.sound_path import sound_path
from bridge.errors import ServiceError, from_separation
from bridge.publish.transaction import MANIFEST
from separator.errors import SeparatorError
from separator.weights.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from bridge.config import Settings

RATE_HZ = 48_000
TIME_REFERENCE = 3600 * RATE_HZ  # 01:00:00, a common start of sessions
LSB = 2.0**-23  # least significant bit of 24 bits
BOUNCE = "Demo Bounce.wav"
LOG = "watch.log"  # output of the service
TIMEOUT_S = 600  # to start the service, and to separate ten seconds on the slowest machine


@dataclass(frozen=True)
class StemRow:
    """A published stem as read by soundfile."""

    name: str
    path: Path
    frames: int
    time_reference: int | None
    peak_dbfs: str


@dataclass(frozen=True)
class Promise:
    """A promise, whether it is kept, and the measurement."""

    text: str
    kept: bool
    measured: str


@dataclass(frozen=True)
class Outcome:
    """Stems and checked promises of the demonstration."""

    stems: tuple[StemRow, ...]
    promises: tuple[Promise, ...]


def run(
    scratch: Path,
    settings: Settings,
    fetching: Callable[[int, int | None, str], None],
    say: Callable[[str], None],
) -> Outcome:
    """Run the demonstration.

    Args:
        scratch: folder for the bounce and its stems; created if missing.
        settings: for the cache of weights.
        fetching: called during downloads with (bytes done, total bytes or None, label).
        say: called with a line of text before each step.

    Returns:
        The stems and the checked promises.

    Raises:
        ModelUnavailable: weights or music could not be downloaded.
        ServiceError: the service did not start, or published no stems within ten minutes.
    """
    store = Store(settings.cache_dir)
    try:
        music = store.asset("example-music", progress=fetching, announce=say)
        store.ensure("spleeter-2stems", progress=fetching, announce=say)
    except SeparatorError as error:
        raise from_separation(error) from error
    folder = scratch / "Bounces"
    folder.mkdir(parents=True, exist_ok=True)
    with _service(folder, scratch / "state", settings.cache_dir, say) as service:
        say(f"bouncing {music.name} as {RATE_HZ} Hz, 24 bit to {folder / BOUNCE}")
        bounce = folder / BOUNCE
        _render(music, bounce)
        begun = time.monotonic()
        before = bounce.read_bytes()
        manifest = folder / "Stems" / bounce.stem / MANIFEST
        _wait(lambda: _published(manifest, folder.parent / LOG), service, "stems")
        waited_s = time.monotonic() - begun
    say(f"the stems appeared {waited_s:.1f} s after the bounce was closed")
    return _check(bounce, before, manifest)


@contextmanager
def _service(
    folder: Path, state: Path, cache: Path, say: Callable[[str], None]
) -> Iterator[subprocess.Popen[bytes]]:
    """`stembridge watch` as a separate process, ready for bounces."""
    log = folder.parent / LOG
    environment = {
        **os.environ,
        "STEMBRIDGE_STATE_DIR": str(state),
        "STEMBRIDGE_CACHE_DIR": str(cache),
        "PYTHONIOENCODING": "utf-8",  # of its log, which is read here
    }
    say(f"starting the watch service on {folder} (its output: {log})")
    with log.open("wb") as output:
        service = subprocess.Popen(
            [sys.executable, "-m", "bridge", "watch", str(folder)],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait(lambda: "watching " in _printed(log), service, "watch service")
            yield service
        finally:
            service.send_signal(signal.SIGINT)
            try:
                service.wait(timeout=30)
            except subprocess.TimeoutExpired:
                service.kill()


def _wait(arrived: Callable[[], bool], service: subprocess.Popen[bytes], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not arrived():
        if service.poll() is not None:
            raise ServiceError(f"the watch service ended (code {service.returncode}): see its log")
        if time.monotonic() > deadline:
            raise ServiceError(f"no {what} within {TIMEOUT_S} s: see the service's log")
        time.sleep(0.05)


def _printed(log: Path) -> str:
    """Output of the service so far; its last character may be incomplete."""
    return log.read_text(encoding="utf-8", errors="replace")


def _published(manifest: Path, log: Path) -> bool:
    """Whether the stems are published. Raises ServiceError if the service reports a failure."""
    if manifest.exists():
        return True
    for line in _printed(log).splitlines():
        _, failed, reason = line.partition(" FAILED ")
        if failed:
            raise ServiceError(f"the service could not convert the bounce: {reason}")
    return False


def _render(music: Path, bounce: Path) -> None:
    """Write the music as a DAW does: a BWF with a time reference."""
    wave, rate_hz = soundfile.read(sound_path(music), dtype="float32", always_2d=True)
    audio: NDArray[np.float32] = soxr.resample(wave, rate_hz, RATE_HZ, quality="VHQ")
    audio = np.clip(audio, -1.0, 1.0 - LSB)  # the music peaks above full scale here and there
    bext = Bext(
        description=b"Stembridge demo",
        originator=b"Stembridge",
        originator_reference=b"",
        origination_date=b"2020-01-01",
        origination_time=b"12:00:00",
        time_reference=TIME_REFERENCE,
        version=1,
        umid=b"",
        loudness=(0, 0, 0, 0, 0),  # reserved bytes in version 1
        reserved=b"",
        coding_history=f"A=PCM,F={RATE_HZ},W=24,M=stereo,T=demo\r\n".encode(),
    )
    bounce.unlink(missing_ok=True)
    with StemWriter(
        bounce,
        rate_hz=RATE_HZ,
        channels=audio.shape[1],
        frames=audio.shape[0],
        subtype="PCM_24",
        chunks=(Chunk(b"bext", bext.to_bytes()),),
    ) as writer:
        writer.write_float(audio.T)


def _check(bounce: Path, before: bytes, manifest_path: Path) -> Outcome:
    manifest: dict[str, Any] = json.loads(manifest_path.read_text(encoding="utf-8"))
    mixture, rate_hz = soundfile.read(sound_path(bounce), dtype="float64", always_2d=True)
    paths = [manifest_path.parent / stem["path"] for stem in manifest["stems"]]
    headers = [soundfile.info(sound_path(path)) for path in paths]
    waves = [soundfile.read(sound_path(path), dtype="float64", always_2d=True)[0] for path in paths]
    positions = [probe(path).time_reference for path in paths]
    gain = 10 ** (manifest["gain_db"] / 20)
    null = float(np.abs(sum(waves) - gain * mixture).max())
    lags = [_lag(wave, mixture) for wave in waves]
    peaks = [20 * np.log10(max(np.abs(wave).max(), 1e-12)) for wave in waves]
    frames = {header.frames for header in headers}
    depths = {(header.samplerate, header.channels, header.subtype) for header in headers}
    wanted = (rate_hz, mixture.shape[1], "PCM_24")
    duration_s = len(mixture) / rate_hz
    spent_s = sum(manifest["seconds"].values())
    promises = (
        Promise("the bounce is untouched", bounce.read_bytes() == before, "same bytes"),
        Promise("same frames as the bounce", frames == {len(mixture)}, _join(frames)),
        Promise("same rate, channels, depth", depths == {wanted}, _join(depths)),
        Promise("same time reference", set(positions) == {TIME_REFERENCE}, _join(set(positions))),
        Promise("no delay (correlation peak)", set(lags) == {0}, f"lags {_join(lags)} frames"),
        Promise("stems add up to the bounce", null <= LSB, f"null {null / LSB:.2f} LSB of 24 bit"),
        Promise("both stems hold music", min(peaks) > -40, f"peaks {_join(peaks, '.1f')} dBFS"),
        Promise("faster than real time", spent_s < duration_s, f"{duration_s / spent_s:.1f} ×"),
    )
    rows = zip(manifest["stems"], paths, headers, positions, peaks, strict=True)
    return Outcome(
        tuple(StemRow(s["name"], p, h.frames, t, f"{peak:.2f}") for s, p, h, t, peak in rows),
        promises,
    )


def _lag(stem: NDArray[np.float64], mixture: NDArray[np.float64]) -> int:
    """Lag of the cross-correlation peak of stem and mixture, in frames; 0 if aligned."""
    size = 2 * len(mixture)
    ours, theirs = (np.fft.rfft(wave.mean(axis=1), size) for wave in (stem, mixture))
    peak = int(np.argmax(np.fft.irfft(ours * np.conj(theirs), size)))
    return peak if peak < len(mixture) else peak - size


def _join(values: Any, form: str = "") -> str:
    return ", ".join(format(value, form) if form else str(value) for value in values)
