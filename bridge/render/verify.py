"""Verification of written files: shape and null test, read back with another library."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from bridge.audio.dither import REACH_STEPS
from bridge.audio.encode import PCM_BITS
from bridge.audio.sound_path import sound_path
from bridge.audio.targets.readback import m4a_properties
from bridge.errors import OutputError, PromiseBroken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from bridge.audio.targets.registry import Target
    from bridge.publish.manifest import StemFacts

# Null bound of float files relative to full scale or the bounce's peak: -120 dB, ten roundings.
FLOAT_NULL = 1e-6


def check_shapes(folder: Path, stems: Sequence[StemFacts], target: Target) -> None:
    """Compare the headers of written files with the manifest.

    Args:
        folder: folder of the files.
        stems: facts of the files.
        target: format of the files.

    Raises:
        PromiseBroken: a header differs.
    """
    for stem in stems:
        path = folder / stem.path
        shape = m4a_properties(path) if target.name == "m4a" else _shape(path)
        if shape != (stem.frames, stem.rate_hz, stem.channels, stem.subtype):
            raise PromiseBroken(f"{stem.path} reads back as {shape}")


def _shape(path: Path) -> tuple[int, int, int, str]:
    header = soundfile.info(sound_path(path))
    return header.frames, header.samplerate, header.channels, header.subtype


def null_residual_peak(
    files: Sequence[Path], bounce: Iterable[NDArray[np.float32]], gain: float
) -> float:
    """Linear peak of (sum of the files) - gain x bounce, over the length of the bounce.

    Args:
        files: the stems.
        bounce: float32 blocks (channels, frames).
        gain: linear gain of the stems.
    """
    highest = 0.0
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(len(files), "reader"))
        opened = [stack.enter_context(soundfile.SoundFile(sound_path(file))) for file in files]
        for block in bounce:
            reads = [pool.submit(_read, file, block.shape[1]) for file in opened]
            expected = gain * block.astype(np.float64)
            total = reads[0].result()
            for read in reads[1:]:
                total += read.result()
            highest = max(highest, float(np.abs(total.T - expected).max()))
    return highest


def _read(file: soundfile.SoundFile, frames: int) -> NDArray[np.float64]:
    """The next frames, (frames, channels) float64; interleaved, as in the file."""
    read: NDArray[np.float64] = file.read(frames, dtype="float64", always_2d=True)
    return read


def max_null_residual(subtype: str, dither: str, peak: float) -> float:
    """Largest permitted null residual of a linear preset: one step, or the reach of the dither.

    Args:
        subtype: sample format of the files, as soundfile names it.
        dither: kind of dither.
        peak: linear peak of the bounce.
    """
    bits = PCM_BITS.get(subtype, 32)
    steps = max(1.0, REACH_STEPS[dither])
    return steps * 2.0 ** -(bits - 1) if bits <= 24 else FLOAT_NULL * max(1.0, peak)


@contextmanager
def readback_errors() -> Iterator[None]:
    """Turn errors of libsndfile on reading a written file into OutputError."""
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise OutputError(
            f"a written file does not read back ({error}): check the disk, then `stembridge retry`"
        ) from error
