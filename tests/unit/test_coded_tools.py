"""Sound of a known length, as lame, oggenc, opusenc, sox, wavpack and ffmpeg encode it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from tests.coded_files import assert_whole, outcome, sweep
from tests.support import require

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = {"oggenc": "vorbis-tools", "opusenc": "opus-tools"}


@dataclass(frozen=True)
class Tool:
    """A command line; IN and OUT stand for the files.

    delay_frames, padding_frames, fed_frames, least: see `tests.unit.test_coded_sound.Coding`.
    """

    line: str
    suffix: str
    delay_frames: int = 0
    padding_frames: int = 0
    rates_hz: tuple[int, ...] = (44_100, 48_000)
    channels: tuple[int, ...] = (1, 2)
    least: float = 0.8
    fed_frames: int = 0

    def run(self, source: Path, path: Path) -> None:
        words = [
            {"IN": str(source), "OUT": str(path)}.get(word, word) for word in self.line.split()
        ]
        words[0] = require.program(words[0], PACKAGES.get(words[0], words[0]))
        subprocess.run(words, check=True, capture_output=True)


LOW = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000)
FFMPEG = "ffmpeg -v error -i IN"
TOOLS = (
    *(
        Tool(f"lame --quiet {how} IN OUT", ".mp3", rates_hz=(22_050, 44_100))
        for how in ("-b 128", "-b 320", "-V 2", "-V 6", "--abr 140", "-p -b 128", "-m j -V 4")
    ),
    Tool("lame --quiet -V 4 IN OUT", ".mp3", rates_hz=LOW),
    Tool("lame --quiet -V 4 -t IN OUT", ".mp3", 1105, 2304, (*LOW, 44_100)),
    Tool("lame --quiet -b 64 -t IN OUT", ".mp3", 1105, 2304, (22_050,)),
    Tool("lame --quiet -V 2 --tt T --ta A --id3v1-only IN OUT", ".mp3"),
    Tool("lame --quiet -V 2 --tt T --add-id3v2 --pad-id3v2-size 9999 IN OUT", ".mp3"),
    Tool(f"{FFMPEG} -c:a libmp3lame -q:a 3 OUT", ".mp3"),
    Tool(f"{FFMPEG} -c:a libmp3lame -q:a 3 -write_xing 0 OUT", ".mp3", 1105, 2304),
    Tool("sox IN -C -4.2 OUT", ".mp3", padding_frames=2304),
    *(Tool(f"oggenc -Q -q {quality} IN -o OUT", ".ogg") for quality in (-1, 3, 7, 10)),
    Tool("oggenc -Q IN -o OUT", ".ogg", rates_hz=LOW),
    Tool("oggenc -Q --managed -b 96 IN -o OUT", ".ogg"),
    Tool("sox IN -C 5 OUT", ".ogg"),
    Tool(f"{FFMPEG} -c:a libvorbis OUT", ".ogg"),
    *(
        Tool(f"opusenc --quiet {how} IN OUT", ".opus", rates_hz=(48_000,))
        for how in ("--bitrate 24", "--bitrate 160", "--hard-cbr", "--framesize 2.5")
    ),
    Tool("opusenc --quiet --framesize 60 IN OUT", ".opus", rates_hz=(48_000,)),
    Tool(f"{FFMPEG} -c:a libopus OUT", ".opus", rates_hz=(48_000,)),
    Tool(f"{FFMPEG} -c:a libopus OUT", ".webm", rates_hz=(48_000,)),
    Tool(f"{FFMPEG} -c:a libvorbis OUT", ".webm", padding_frames=2048),
    Tool(f"{FFMPEG} -c:a aac OUT", ".m4a", rates_hz=(22_050, 44_100, 96_000)),
    Tool(f"{FFMPEG} -c:a aac OUT", ".mka", 1024, 2048),
    Tool(f"{FFMPEG} -c:a aac OUT", ".aac", 1024, 2048),
    Tool(
        *(f"{FFMPEG} -c:a libspeex OUT", ".spx", 0, 2400, (8_000, 16_000, 32_000)),
        least=-1.0,  # it keeps the sense of speech, not its waveform
        fed_frames=1600,
    ),
)
EXACT = (
    Tool("flac -s --ogg IN -o OUT", ".oga"),
    Tool(f"{FFMPEG} -c:a flac OUT", ".oga"),
    Tool(f"{FFMPEG} -c:a flac OUT", ".mkv"),
    Tool(f"{FFMPEG} -c:a alac -sample_fmt s32p OUT", ".m4a"),
    Tool(f"{FFMPEG} -c:a pcm_s24le OUT", ".mov"),
    Tool(f"{FFMPEG} -c:a pcm_s24be OUT", ".mov"),
    Tool("wavpack -q -y IN -o OUT", ".wv", rates_hz=(8_000, 37_800, 44_100, 96_000)),
    Tool("wavpack -q -y -hx IN -o OUT", ".wv"),
    Tool("wavpack -q -y -f IN -o OUT", ".wv"),
)


def cases(tools: tuple[Tool, ...]) -> list[tuple[Tool, int, int]]:
    """Each with all of its rates and numbers of channels."""
    return [
        (tool, rate_hz, channels)
        for tool in tools
        for rate_hz in tool.rates_hz
        for channels in tool.channels
    ]


def named(value: object) -> str:
    return f"{value.line} {value.suffix}" if isinstance(value, Tool) else str(value)


@pytest.mark.parametrize(("tool", "rate_hz", "channels"), cases(TOOLS), ids=named)
def test_lossy_sound_is_whole(tmp_path: Path, tool: Tool, rate_hz: int, channels: int) -> None:
    wave = sweep(rate_hz, channels, rate_hz + 311)
    source, path = tmp_path / "source.wav", tmp_path / f"coded{tool.suffix}"
    silence = np.zeros((channels, tool.fed_frames), np.float32)
    soundfile.write(source, np.hstack((wave, silence)).T, rate_hz, subtype="PCM_16")
    tool.run(source, path)
    found = outcome(path)
    assert_whole(
        found,
        wave,
        delay_frames=tool.delay_frames,
        padding_frames=tool.padding_frames,
        least=tool.least,
    )
    assert found.info
    assert found.info.rate_hz == rate_hz
    assert not found.warnings


@pytest.mark.parametrize(("tool", "rate_hz", "channels"), cases(EXACT), ids=named)
@pytest.mark.parametrize("bits", [16, 24])
def test_lossless_sound_comes_bit_for_bit(
    tmp_path: Path, tool: Tool, rate_hz: int, channels: int, bits: int
) -> None:
    steps = 2 ** (bits - 1)
    wave = (np.rint(sweep(rate_hz, channels, rate_hz // 3) * steps) / steps).astype(np.float32)
    source, path = tmp_path / "source.wav", tmp_path / f"coded{tool.suffix}"
    soundfile.write(source, wave.T, rate_hz, subtype=f"PCM_{bits}")
    tool.run(source, path)
    found = outcome(path)
    assert found.refusal is None, found.refusal
    assert np.array_equal(found.sound, wave)
    assert not found.warnings


def test_a_hybrid_wavpack_is_called_lossy(tmp_path: Path) -> None:
    wave = sweep(44_100, 2, 30_000)
    soundfile.write(tmp_path / "source.wav", wave.T, 44_100, subtype="PCM_16")
    tool = Tool("wavpack -q -y -b320 IN -o OUT", ".wv")
    tool.run(tmp_path / "source.wav", tmp_path / "hybrid.wv")
    found = outcome(tmp_path / "hybrid.wv")
    assert_whole(found, wave)
    assert found.info
    assert found.info.subtype == "WAVPACK_HYBRID"
