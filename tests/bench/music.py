"""The bounce that every program separates: real music, the same on every machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import soundfile

from tests.support import GOLDEN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Audio = NDArray[np.float32]

SOURCE = GOLDEN / "real" / "audio_example.flac"  # 10.9 s of a band with a singer
RATE_HZ = 44_100  # of both models, so nobody resamples
SUBTYPE = "PCM_24"  # what a DAW renders
FADE_FRAMES = RATE_HZ // 4
# Each repetition differs from the one before. 6 dB of room below full scale: no stem comes near
# it, so no program has to clip or to rescale.
GAINS_DB = (-6.0, -9.0, -7.5, -12.0, -6.5)


def write_bounce(path: Path, seconds: float) -> None:
    """Writes a stereo WAV of the given length."""
    frames = round(seconds * RATE_HZ)
    with soundfile.SoundFile(path, "w", RATE_HZ, 2, SUBTYPE) as file:
        for piece in pieces():
            if file.frames >= frames:
                return
            file.write(piece[: frames - file.frames])


def pieces() -> Iterator[Audio]:
    """The excerpt over and over, each time at another gain, every other time with its channels
    swapped, cross-faded: (frames, 2) float32, without end."""
    music, _ = soundfile.read(SOURCE, dtype="float32")
    rising = np.linspace(0, 1, FADE_FRAMES, dtype=np.float32)[:, np.newaxis]
    tail = np.zeros((FADE_FRAMES, 2), np.float32)
    number = 0
    while True:
        gain = np.float32(10 ** (GAINS_DB[number % len(GAINS_DB)] / 20))
        piece = gain * (music[:, ::-1] if number % 2 else music)
        head = rising * piece[:FADE_FRAMES] + tail
        yield np.concatenate([head, piece[FADE_FRAMES:-FADE_FRAMES]])
        tail = rising[::-1] * piece[-FADE_FRAMES:]
        number += 1
