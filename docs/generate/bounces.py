"""Bounces that are refused, and the message of each, from the reader itself."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from bridge.audio.decode import Decoder, survey
from bridge.audio.probe import probe
from bridge.errors import BounceError
from docs.generate.markdown import table
from tests.audio_files import chunk, fmt, riff

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

RATE_HZ = 48_000
FRAMES = 96_000


def noise(frames: int = FRAMES, channels: int = 2) -> NDArray[np.float32]:
    """Noise at half of full scale, (frames, channels); always the same."""
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, (frames, channels))
    return wave.astype(np.float32)


def write(
    path: Path, wave: NDArray[np.float32], rate_hz: int = RATE_HZ, subtype: str = "PCM_24"
) -> None:
    """A WAV of (frames, channels)."""
    soundfile.write(path, wave, rate_hz, subtype=subtype)


def _never_closed(path: Path) -> None:
    data = chunk(b"data", bytes(FRAMES * 6), size=0)
    path.write_bytes(riff(fmt(RATE_HZ, 2, 24), data, size=36))


def _with_nan(path: Path) -> None:
    wave = noise()
    wave[48_000, 0] = np.nan
    write(path, wave, subtype="FLOAT")


def _cut_off(path: Path) -> None:
    write(path, noise())
    path.write_bytes(path.read_bytes()[:200_000])


def _too_many_channels(path: Path) -> None:
    path.write_bytes(riff(fmt(RATE_HZ, 1000), chunk(b"data", bytes(2000 * 2400))))


REFUSED: dict[str, Callable[[Path], object]] = {
    "0 bytes": lambda path: path.write_bytes(b""),
    "text renamed to .wav": lambda path: path.write_text("these are the lyrics\n"),
    "a header and nothing else": lambda path: write(path, noise(0)),
    "cut off": _cut_off,
    "never closed": _never_closed,
    "NaN in a float file": _with_nan,
    "1,000 channels": _too_many_channels,
    "384 kHz": lambda path: write(path, noise(), rate_hz=384_000),
}


def message(make: Callable[[Path], object]) -> str:
    """What the reader says about the file that `make` writes; empty if it is accepted."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bounce.wav"
        make(path)
        try:
            survey(Decoder(path, probe(path)))
        except BounceError as error:
            return str(error)
    return ""


def refusals() -> str:
    """A table of refused bounces and their messages."""
    return table(
        ("the bounce", "message"), ((what, message(make)) for what, make in REFUSED.items())
    )
