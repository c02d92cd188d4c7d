"""Files of unknown length, as programs write them into pipes, are read to their end."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from bridge.audio.decode import Decoder, survey
from bridge.audio.probe import probe
from bridge.errors import BounceError, TruncatedBounce
from tests.audio_files import decoded, noise, write
from tests.support import require

if TYPE_CHECKING:
    from pathlib import Path

FRAMES = 22_049  # odd: 24 bits of mono need a pad byte


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.wav"
    soundfile.write(path, noise(2, FRAMES).T, 44_100, subtype="PCM_24")
    return path


def piped(command: list[str], given: bytes | None = None) -> bytes:
    """Standard output, which is no file that can be rewound."""
    run = subprocess.run(command, input=given, capture_output=True, timeout=60, check=True)
    return run.stdout


def check(path: Path, data: bytes, channels: int, bits: int) -> None:
    """All frames, at the depth of the command, and nothing to warn of."""
    found = probe(write(path.parent, data, path.name))
    assert survey(Decoder(path, found)).warnings == ()
    sound = decoded(path)
    expected = noise(2, FRAMES)
    assert sound.shape == (channels, FRAMES)
    if channels == 2:
        assert np.abs(sound - expected).max() <= 1.1 * 2.0 ** -(bits - 1)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("bits", [16, 24, 32])
@pytest.mark.parametrize("kind", ["wav", "aiff", "aifc", "au"])
def test_sox_without_a_length(
    tmp_path: Path, source: Path, kind: str, bits: int, channels: int
) -> None:
    """Its input comes from a pipe, too, so that it cannot work the length out."""
    sox = require.program("sox", "sox")
    raw = piped([sox, str(source), "-t", "raw", "-"])
    command = [sox, "-D", "-t", "raw", "-r", "44100", "-c", "2", "-e", "signed", "-b", "24", "-"]
    command += [
        "-b",
        str(bits),
        "-t",
        kind,
        "-",
        "remix",
        *(["1"] if channels == 1 else ["1", "2"]),
    ]
    check(tmp_path / "piped", piped(command, raw), channels, min(bits, 24))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("codec", ["s16", "s24", "s32", "f32", "f64"])
@pytest.mark.parametrize("kind", ["wav", "caf", "w64", "au"])
def test_ffmpeg_into_a_pipe(
    tmp_path: Path, source: Path, kind: str, codec: str, channels: int
) -> None:
    ffmpeg = require.program("ffmpeg", "ffmpeg")
    order = "be" if kind == "au" else "le"
    command = [
        ffmpeg,
        "-v",
        "error",
        "-i",
        str(source),
        "-af",
        "pan=mono|c0=c0" if channels == 1 else "anull",
    ]
    command += ["-c:a", f"pcm_{codec}{order}", "-f", kind, "pipe:1"]
    bits = int(codec[1:]) if codec[0] == "s" else 24
    check(tmp_path / "piped", piped(command), channels, min(bits, 24))


@pytest.mark.parametrize(("kind", "more"), [("aiff", []), ("wav", ["-rf64", "always"])])
def test_ffmpeg_that_leaves_zeros(tmp_path: Path, source: Path, kind: str, more: list[str]) -> None:
    """A size of 0 is also what a render has that goes on: refused, and the reason says so."""
    ffmpeg = require.program("ffmpeg", "ffmpeg")
    data = piped([ffmpeg, "-v", "error", "-i", str(source), *more, "-f", kind, "pipe:1"])
    with pytest.raises(TruncatedBounce, match="no audio yet"):
        probe(write(tmp_path, data))


@pytest.mark.parametrize("kind", ["w64", "caf"])
def test_sox_that_writes_its_header_twice(tmp_path: Path, source: Path, kind: str) -> None:
    """Both by libsndfile, which appends to a pipe what it wants to put right: never silent."""
    sox = require.program("sox", "sox")
    try:
        info = probe(write(tmp_path, piped([sox, str(source), "-t", kind, "-"])))
    except BounceError:
        return
    assert info.warnings


def test_flac_through_a_pipe(tmp_path: Path, source: Path) -> None:
    flac = require.program("flac", "flac")
    raw = piped([require.program("sox", "sox"), str(source), "-t", "raw", "-"])
    form = ["--force-raw-format", "--endian=little", "--channels=2", "--bps=24"]
    data = piped([flac, "-s", *form, "--sample-rate=44100", "--sign=signed", "-c", "-"], raw)
    check(tmp_path / "piped", data, 2, 24)


@pytest.mark.parametrize("program", ["lame", "opusdec"])
def test_decoders_into_a_pipe(tmp_path: Path, source: Path, program: str) -> None:
    coded = tmp_path / "coded"
    if program == "lame":
        tool = require.program("lame", "lame")
        piped([tool, "--quiet", str(source), str(coded)])
        data = piped([tool, "--quiet", "--decode", str(coded), "-"])
        at_least = FRAMES
    else:
        tool = require.program("opusdec", "opus-tools")
        piped([require.program("opusenc", "opus-tools"), "--quiet", str(source), str(coded)])
        data = piped([tool, "--quiet", "--force-wav", str(coded), "-"])
        at_least = FRAMES * 44_100 // 48_000
    info = probe(write(tmp_path, data))
    sound = decoded(tmp_path / "bounce.wav")
    assert info.warnings == ()
    assert at_least <= sound.shape[1] <= FRAMES * 1.2
    assert len(data) - 4 * sound.shape[1] < 100  # all but a header
