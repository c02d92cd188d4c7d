"""Decoding: exact, in blocks, as often as asked, and honest about what is not there."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.audio.chunks import open_binary
from bridge.audio.decode import Decoder, SurveyResult, survey
from bridge.audio.extents.locate import locate
from bridge.audio.extents.stream import open_extents
from bridge.audio.probe import probe
from bridge.audio.sndfile import Window, open_container
from bridge.errors import (
    BounceChanged,
    BounceError,
    NonFiniteBounce,
    NotAudio,
    TruncatedBounce,
    UnsupportedBounce,
)
from tests.audio_files import chunk, decoded, ds64, fmt, noise, pcm16, riff, wav, write
from tests.hypothesis_profiles import examples
from tests.support import GOLDEN, ROOT, require

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = [
    ("WAV", "PCM_U8"),
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_32"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAV", "ULAW"),
    ("WAV", "ALAW"),
    ("WAV", "IMA_ADPCM"),
    ("WAVEX", "PCM_24"),
    ("RF64", "PCM_24"),
    ("AIFF", "PCM_S8"),
    ("AIFF", "PCM_24"),
    ("AIFF", "FLOAT"),
    ("CAF", "PCM_24"),
    ("CAF", "ALAC_16"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("AU", "PCM_16"),
    ("W64", "FLOAT"),
]
LOSSY = [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_as_soundfile_reads_it(tmp_path: Path, container: str, subtype: str, channels: int) -> None:
    """Our way in (own header check, forward only) gives what soundfile gives by name."""
    path = tmp_path / "bounce"
    soundfile.write(path, noise(channels, 20_011).T, 48_000, format=container, subtype=subtype)
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    got = decoded(path, block_frames=3000)
    assert got.dtype == np.float32
    assert np.array_equal(got, expected.T)


@pytest.mark.parametrize(("container", "subtype"), LOSSY)
@pytest.mark.parametrize("channels", [1, 2])
def test_as_another_decoder_reads_it(
    tmp_path: Path, container: str, subtype: str, channels: int
) -> None:
    """ffmpeg's decoders give the frames of libsndfile's, in their place, up to rounding."""
    path = tmp_path / "bounce"
    soundfile.write(path, noise(channels, 20_011).T, 48_000, format=container, subtype=subtype)
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    got = decoded(path, block_frames=3000)
    assert got.dtype == np.float32
    assert got.shape == expected.T.shape == (channels, 20_011)
    assert np.abs(got - expected.T).max() < 1e-5


@pytest.mark.parametrize("byte_order", ["little", "big"])
@pytest.mark.parametrize(("bits", "offset"), [(8, 128), (16, 0), (24, 0)])
def test_pcm_is_exact(tmp_path: Path, bits: int, offset: int, byte_order: str) -> None:
    """Against integers that we laid down ourselves: value / 2**(bits - 1), extremes included."""
    full = 2 ** (bits - 1)
    values = np.random.default_rng(3).integers(-full, full, (2, 3000))
    values[:, :4] = [[-full, full - 1, 0, 1], [full - 1, -full, -1, 0]]
    order = ">" if byte_order == "big" else "<"
    audio = b"".join(
        int(value + offset).to_bytes(
            bits // 8, "big" if order == ">" else "little", signed=bits > 8
        )
        for value in values.T.ravel()
    )
    data = riff(
        fmt(bits=bits, order=order),
        chunk(b"data", audio, order=order),
        magic=b"RIFX" if order == ">" else b"RIFF",
    )
    assert np.array_equal(decoded(write(tmp_path, data)) * full, values)


def test_float_beyond_full_scale_stays(tmp_path: Path) -> None:
    hot = noise(2, 3000) * np.float32(4)
    soundfile.write(tmp_path / "hot.wav", hot.T, 48_000, subtype="FLOAT")
    assert np.array_equal(decoded(tmp_path / "hot.wav"), hot)


@settings(max_examples=examples(25))
@given(block_frames=st.integers(700, 30_000))
def test_blocks_of_any_size(tmp_path_factory: pytest.TempPathFactory, block_frames: int) -> None:
    path = write(tmp_path_factory.getbasetemp(), wav(20_011))
    decoder = Decoder(path, probe(path), block_frames=block_frames)
    blocks = list(decoder)
    assert {block.shape[1] for block in blocks[:-1]} <= {block_frames}
    assert all(block.flags.c_contiguous for block in blocks)
    assert np.array_equal(np.hstack(blocks), decoded(path))
    assert np.array_equal(np.hstack(list(decoder)), np.hstack(blocks))  # and once more


def test_bw64(tmp_path: Path) -> None:
    """libsndfile does not know the name; the audio is that of the RIFF twin."""
    audio = pcm16(4800)
    twin = write(tmp_path, wav(4800), "riff.wav")
    data = chunk(b"data", audio, size=0xFFFFFFFF)
    bw64 = riff(ds64(0, len(audio), 4800), fmt(), data, magic=b"BW64", size=0xFFFFFFFF)
    assert np.array_equal(decoded(write(tmp_path, bw64)), decoded(twin))


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    if sys.platform == "darwin":
        pytest.skip("the file system allows only valid UTF-8")
    path = tmp_path / os.fsdecode(b"b\xff\xfe \xc3\xbc.flac")
    raw = io.BytesIO()
    soundfile.write(raw, noise(1, 3000).T, 48_000, format="FLAC", subtype="PCM_16")
    path.write_bytes(raw.getvalue())
    assert decoded(path).shape == (1, 3000)


def streamed_flac(path: Path, frames: int) -> None:
    soundfile.write(path, noise(2, frames).T, 44_100, format="FLAC", subtype="PCM_16")
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # STREAMINFO: the 36 bits of the total
    data[22:26] = bytes(4)
    path.write_bytes(data)


def test_flac_of_unknown_length(tmp_path: Path) -> None:
    path = tmp_path / "bounce.flac"
    streamed_flac(path, 30_000)
    info = probe(path)
    assert info.frames is None
    found = survey(Decoder(path, info, block_frames=1000))
    assert found.frames == 30_000
    streamed_flac(path, 1)
    assert survey(Decoder(path, probe(path))).frames == 1


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.95])
def test_cut_off_flac(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "bounce.flac"
    soundfile.write(path, noise(2, 90_000).T, 44_100, subtype="PCM_16")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(BounceError, match=r"cut off|damaged") as raised:
        decoded(path)
    assert type(raised.value) in {TruncatedBounce, BounceError}


def test_damaged_flac(tmp_path: Path) -> None:
    path = tmp_path / "bounce.flac"
    soundfile.write(path, noise(2, 90_000).T, 44_100, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40_000] = bytes(40_000)
    path.write_bytes(data)
    with pytest.raises(BounceError, match=r"cut off|damaged"):
        decoded(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_is_found_at_its_frame(tmp_path: Path, value: float) -> None:
    audio = noise(2, 20_000)
    audio[1, 12_345] = value
    audio[0, 15_000] = value
    path = tmp_path / "bad.wav"
    soundfile.write(path, audio.T, 48_000, subtype="FLOAT")
    info = probe(path)
    with pytest.raises(NonFiniteBounce, match="frame 12,345;"):
        survey(Decoder(path, info, block_frames=1000))


def test_survey(tmp_path: Path) -> None:
    path = tmp_path / "bounce.wav"
    audio = np.zeros((2, 9000), np.float32)
    soundfile.write(path, audio.T, 48_000, subtype="PCM_24")
    silent = survey(Decoder(path, probe(path)))
    assert (silent, silent.is_silent) == (SurveyResult(9000, 0.0), True)
    (warning,) = silent.all_warnings()
    assert warning.startswith("silent: all 9,000 frames are digital silence")
    audio[1, 8999] = -(2.0**-23)  # one value, one step: no digital silence
    soundfile.write(path, audio.T, 48_000, subtype="PCM_24")
    found = survey(Decoder(path, probe(path)))
    assert (found, found.is_silent, [*found.all_warnings()]) == (
        SurveyResult(9000, 2.0**-23),
        False,
        [],
    )


def test_bounce_replaced_after_the_probe(tmp_path: Path) -> None:
    path = write(tmp_path, wav(9000))
    decoder = Decoder(path, probe(path))
    changed = (wav(8000), wav(9000)[:-5000], wav(9000, channels=1), wav(9000, rate_hz=44_100))
    for other in changed:
        path.write_bytes(other)
        with pytest.raises(BounceChanged, match="changed") as raised:
            list(decoder)
        assert raised.value.retryable
    path.unlink()
    with pytest.raises(BounceChanged, match="gone"):
        list(decoder)


def test_bounce_cut_off_while_it_is_decoded(tmp_path: Path) -> None:
    path = write(tmp_path, wav(200_000))
    blocks = iter(Decoder(path, probe(path), block_frames=1000))
    next(blocks)
    os.truncate(path, 400_000)
    with pytest.raises(BounceChanged, match="changed"):
        list(blocks)


def test_a_pipe_in_the_place_of_a_file_blocks_nobody(tmp_path: Path) -> None:
    """Also when it comes between the look and the opening."""
    path = tmp_path / "bounce.flac"
    soundfile.write(path, noise(2, 9000).T, 48_000, subtype="PCM_16")
    info = probe(path)
    path.unlink()
    os.mkfifo(path)
    with open_binary(path) as opened:
        assert opened.read() == b""
    with pytest.raises(NotAudio, match="not a file"):
        list(Decoder(path, info))
    with pytest.raises(UnsupportedBounce), open_container(path, "FLAC"):
        pass


class BrokenDisk(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise OSError(errno.EIO, "Input/output error")


def test_read_error_is_not_taken_for_the_end() -> None:
    window = Window(BrokenDisk(bytes(100)), 0, 100)
    assert window.readinto(memoryview(bytearray(10))) == 0
    assert window.error is not None
    assert window.error.errno == errno.EIO


def test_read_error_comes_out_of_the_decoder(tmp_path: Path) -> None:
    path = write(tmp_path, wav(9000))
    with path.open("rb") as file:
        sound = locate(file, "WAV")
    with (
        open_extents(BrokenDisk(path.read_bytes()), sound) as source,
        pytest.raises(OSError, match="Input/output error"),
    ):
        source.read(1000)


def test_window_shows_only_its_part() -> None:
    window = Window(io.BytesIO(b"headerAUDIOtail"), 6, 5)
    assert window.read() == b"AUDIO"
    assert window.seek(-2, io.SEEK_END) == 3
    assert window.read(99) == b"IO"
    assert window.seek(-99, io.SEEK_CUR) == 0


def test_every_file_of_the_corpus_has_one_outcome() -> None:
    """In a process of its own: the whole corpus in bounded time and memory, each verdict pinned.

    A change of verdict is a change of behaviour: look at the file, then rewrite the table with
    `python -m tests.audio_files ../shared/corpus > tests/golden/corpus_outcomes.json`.
    """
    folder = require.corpus()
    command = [sys.executable, "-m", "tests.audio_files", str(folder)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    expected = json.loads((GOLDEN / "corpus_outcomes.json").read_text())
    assert json.loads(run.stdout) == expected
    cost = json.loads(run.stderr.splitlines()[-1])
    assert cost["slowest_s"] < 10
    assert cost["peak_mib"] < 200
    assert len(expected) == 138


def test_corpus_decodes_as_soundfile_reads_it() -> None:
    """Where both can read a file, and soundfile by name has the same idea of its shape."""
    folder = require.corpus()
    expected = json.loads((GOLDEN / "corpus_outcomes.json").read_text())
    compared = 0
    for name, verdict in expected.items():
        if "error" in verdict or "no total number" in name:  # soundfile cannot read that one
            continue
        theirs, rate_hz = soundfile.read(folder / name, dtype="float32", always_2d=True)
        assert np.array_equal(decoded(folder / name), theirs.T), name
        assert verdict["rate_hz"] == rate_hz, name
        compared += 1
    assert compared > 75
