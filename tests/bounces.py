"""Bounces for tests: written as a DAW writes them, and read back by libraries that are not ours.

The files are built from the format's own description (EBU Tech 3285 for bext), not with the
bridge's writer, so that a mistake there cannot hide itself.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from wavinfo import WavInfoReader  # type: ignore[import-untyped]

from tests.audio_files import chunk, fmt, riff

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RATE_HZ = 44_100  # the models' own rate: nothing is resampled, so jobs are short
SHORT_FRAMES = 2400


def music(
    frames: int, rate_hz: int = RATE_HZ, channels: int = 2, *, seed: int = 0, gain: float = 0.3
) -> NDArray[np.float32]:
    """(channels, frames) float32: a few partials and a little noise, different for each seed."""
    random = np.random.default_rng(seed)
    time_s = np.arange(frames) / rate_hz
    wave = random.normal(0, 0.05, (channels, frames))
    for frequency_hz in random.uniform(80, 6000, 3):
        wave += 0.3 * np.sin(
            2 * np.pi * frequency_hz * time_s + random.uniform(0, 6, (channels, 1))
        )
    return (gain * wave).astype(np.float32)


def bext(time_reference: int, *, description: bytes = b"Test bounce") -> bytes:
    """A version 1 `bext` chunk (EBU Tech 3285, section 2.3), time_reference in frames."""
    texts = (description, b"Stage", b"REF01", b"2020-01-01", b"12:00:00")
    fixed = struct.pack("<256s32s32s10s8sQH", *texts, time_reference, 1)
    return chunk(b"bext", fixed + bytes(64 + 190) + b"A=PCM,T=test\r\n")


def wav_bytes(
    wave: NDArray[np.float32],
    *,
    rate_hz: int = RATE_HZ,
    subtype: str = "PCM_24",
    time_reference: int | None = None,
) -> bytes:
    """A whole WAV file of (channels, frames) float32; its `bext`, if any, stands first."""
    out = io.BytesIO()
    soundfile.write(out, wave.T, rate_hz, subtype=subtype, format="WAV")
    plain = out.getvalue()
    first = b"" if time_reference is None else bext(time_reference)
    body = b"WAVE" + first + plain[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def render(
    path: Path,
    *,
    frames: int = SHORT_FRAMES,
    rate_hz: int = RATE_HZ,
    channels: int = 2,
    subtype: str = "PCM_24",
    time_reference: int | None = None,
    seed: int = 0,
) -> Path:
    """Renders a bounce to `path` as a DAW does: grows in place, its sizes put right at the end."""
    data = wav_bytes(
        music(frames, rate_hz, channels, seed=seed),
        rate_hz=rate_hz,
        subtype=subtype,
        time_reference=time_reference,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb", buffering=0) as file:
        file.write(data[:4] + struct.pack("<I", 36) + data[8:12])
        for start in range(12, len(data), 65_536):
            file.write(data[start : start + 65_536])
        file.seek(4)
        file.write(data[4:8])
    return path


def time_reference_of(path: Path) -> int | None:
    """Frames since midnight, as an independent reader finds them."""
    found = WavInfoReader(str(path)).bext
    return None if found is None else int(found.time_reference)


def silence(frames: int = SHORT_FRAMES, channels: int = 2) -> NDArray[np.float32]:
    """Digital silence, (channels, frames) float32."""
    return np.zeros((channels, frames), np.float32)


def _with_nan() -> bytes:
    wave = music(SHORT_FRAMES)
    wave[0, 1000] = np.nan
    return wav_bytes(wave, subtype="FLOAT")


#: What a watched folder gets to see on a bad day: the file's bytes and the code of its error.
BAD: dict[str, tuple[bytes, str]] = {
    "0 bytes.wav": (b"", "empty"),
    "text.wav": (b"Dear band,\nthe mix follows tomorrow.\n" * 40, "not-audio"),
    "header only.wav": (riff(fmt(), chunk(b"data", b"")), "no-frames"),
    "truncated.wav": (wav_bytes(music(SHORT_FRAMES))[:5000], "truncated"),
    "nan.wav": (_with_nan(), "non-finite"),
}
