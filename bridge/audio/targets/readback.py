"""What a decoder gets out of a lossy file: libsndfile's, and for an M4A the user's ffmpeg."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from bridge.errors import OutputError, PromiseBroken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_BLOCK_FRAMES = 65_536


@dataclass(frozen=True)
class Decoded:
    """The audio of a file: how long, and its highest value, linear, which may be above 1."""

    frames: int
    peak: float


def decoded(path: Path, *, channels: int) -> Decoded:
    """Reads all of a file. Raises soundfile.LibsndfileError, and OutputError without ffmpeg."""
    m4a = path.suffix == ".m4a"
    frames, peak = 0, 0.0
    for block in _blocks_of_m4a(path, channels) if m4a else _blocks(path):
        frames += len(block)
        peak = max(peak, float(np.abs(block).max(initial=0.0)))
    return Decoded(frames, peak)


def shape_of_m4a(path: Path) -> tuple[int, int, int, str]:
    """Frames, rate, channels and codec as the file states them. Raises PromiseBroken, OutputError.

    Its time base is the rate, so that the length counts frames.
    """
    command = [_program("ffprobe"), "-v", "error", "-of", "json", "-show_entries"]
    command += ["stream=codec_name,sample_rate,channels,duration_ts,time_base", f"file:{path}"]
    found = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    try:
        stream: dict[str, Any] = json.loads(found.stdout)["streams"][0]
        rate_hz, channels = int(stream["sample_rate"]), int(stream["channels"])
        frames, codec = int(stream["duration_ts"]), str(stream["codec_name"])
    except (ValueError, LookupError, TypeError):
        raise PromiseBroken(f"{path.name} does not read back; please report it") from None
    if stream["time_base"] != f"1/{rate_hz}":
        raise PromiseBroken(f"{path.name} counts in {stream['time_base']} s, not in frames")
    return frames, rate_hz, channels, codec.upper()


def _blocks(path: Path) -> Iterator[NDArray[np.float32]]:
    with path.open("rb") as file, soundfile.SoundFile(file.fileno(), closefd=False) as opened:
        yield from opened.blocks(_BLOCK_FRAMES, dtype="float32")


def _blocks_of_m4a(path: Path, channels: int) -> Iterator[NDArray[np.float32]]:
    command = [_program("ffmpeg"), "-nostdin", "-v", "error", "-i", f"file:{path}"]
    with subprocess.Popen(
        [*command, "-map", "0:a:0", "-f", "f32le", "pipe:1"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        while data := process.stdout.read(_BLOCK_FRAMES * channels * 4):
            yield np.frombuffer(data[: len(data) // 4 * 4], "<f4").reshape(-1, channels)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise OutputError(f"M4A needs {name}: install ffmpeg, or choose another format")
    return found
