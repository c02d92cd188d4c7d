"""Written stems, judged by readers that are not ours."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections import deque
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
import wavinfo  # type: ignore[import-untyped]

from bridge.audio import encode
from bridge.audio.chunks import Chunk, read_layout
from bridge.audio.encode import SUBTYPES, StemWriter, WavTemplate, output_subtype
from bridge.audio.metadata import bext
from bridge.audio.metadata.stems import stem_metadata
from bridge.audio.probe import AudioInfo, probe
from bridge.audio.quantise import quantise
from bridge.errors import OutputError, PromiseBroken
from tests.audio_files import decoded, noise
from tests.support import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


def store(
    path: Path,
    audio: NDArray[np.float32],
    subtype: str = "PCM_24",
    *,
    rate_hz: int = 48_000,
    chunks: tuple[Chunk, ...] = (),
    channel_mask: int | None = None,
    extensible: bool = False,
    block_frames: int = 700,
) -> StemWriter:
    channels, frames = audio.shape
    with StemWriter(
        path,
        rate_hz=rate_hz,
        channels=channels,
        frames=frames,
        subtype=subtype,
        channel_mask=channel_mask,
        extensible=extensible,
        chunks=chunks,
    ) as writer:
        for first in range(0, frames, block_frames):
            writer.write_float(audio[:, first : first + block_frames])
    return writer


def ffprobe(path: Path) -> dict[str, object]:
    command = [require.ffprobe(), "-v", "error", "-of", "json", "-show_format", "-show_streams"]
    run = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True)
    assert not run.stderr
    found: dict[str, object] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize("subtype", SUBTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 6, 64])
@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 192_000])
def test_soundfile_reads_what_was_written(
    tmp_path: Path, subtype: str, channels: int, rate_hz: int
) -> None:
    audio = noise(channels, 1501)
    path = tmp_path / "stem.wav"
    writer = store(path, audio, subtype, rate_hz=rate_hz)
    read, rate = soundfile.read(path, dtype="float64", always_2d=True)
    info = soundfile.info(str(path))
    assert (rate, read.shape, info.subtype) == (rate_hz, (1501, channels), subtype)
    bits = encode.PCM_BITS.get(subtype)
    expected = audio if bits is None else quantise(audio, bits) / 2.0 ** (bits - 1)
    assert np.array_equal(read.T, expected)
    assert writer.peak == np.abs(read).max()
    data = path.read_bytes()
    assert writer.sha256 == hashlib.sha256(data).hexdigest()
    assert writer.bytes == len(data) == writer.template.total_bytes
    assert int.from_bytes(data[4:8], "little") + 8 == len(data)


@pytest.mark.parametrize(
    ("subtype", "codec"), [("PCM_16", "pcm_s16le"), ("PCM_24", "pcm_s24le"), ("FLOAT", "pcm_f32le")]
)
@pytest.mark.parametrize("time_reference", [0, 48_000, 2**31 + 7, 2**32 + 7, 2**53 + 1])
def test_time_reference_as_ffprobe_reads_it(
    tmp_path: Path, subtype: str, codec: str, time_reference: int
) -> None:
    data = bytearray(602)
    data[338:346] = time_reference.to_bytes(8, "little")
    path = tmp_path / "stem.wav"
    store(path, noise(2, 2400), subtype, chunks=(Chunk(b"bext", bytes(data)),))
    found = ffprobe(path)
    assert found["format"]["tags"]["time_reference"] == str(time_reference)  # type: ignore[index]
    stream = found["streams"][0]  # type: ignore[index]
    assert (stream["codec_name"], stream["duration_ts"]) == (codec, 2400)
    assert probe(path).time_reference == time_reference


@pytest.mark.parametrize(
    ("channels", "mask", "expected"), [(6, 0x60F, "5.1(side)"), (6, 0x3F, "5.1"), (2, 3, "stereo")]
)
def test_speakers_as_ffprobe_reads_them(
    tmp_path: Path, channels: int, mask: int, expected: str
) -> None:
    path = tmp_path / "stem.wav"
    store(path, noise(channels, 2400), channel_mask=mask, extensible=True)
    assert ffprobe(path)["streams"][0]["channel_layout"] == expected  # type: ignore[index]
    info = probe(path)
    assert (info.channel_mask, info.extensible) == (mask, True)


def test_plain_header_where_the_source_had_one(tmp_path: Path) -> None:
    store(tmp_path / "a.wav", noise(2, 2400), "PCM_24")
    store(tmp_path / "b.wav", noise(2, 2400), "PCM_24", extensible=True)
    assert soundfile.info(str(tmp_path / "a.wav")).format == "WAV"
    assert soundfile.info(str(tmp_path / "b.wav")).format == "WAVEX"
    layout = read_layout(tmp_path / "a.wav")
    assert [ref.id for ref in layout.chunks] == [b"JUNK", b"fmt ", b"data"]


def test_audio_of_odd_length_is_padded(tmp_path: Path) -> None:
    path = tmp_path / "stem.wav"
    store(path, noise(1, 2401), chunks=(Chunk(b"iXML", b"<a/>!"), Chunk(b"id3 ", b"ID3")))
    data = path.read_bytes()
    assert len(data) % 2 == 0
    assert data.endswith(b"\0iXML\5\0\0\0<a/>!\0id3 \3\0\0\0ID3\0")
    found = [ref.id for ref in read_layout(path).chunks]
    assert found == [b"JUNK", b"fmt ", b"data", b"iXML", b"id3 "]


REAL = [
    "PT A101_4.A1.wav",
    "A101_1_1.WAV",
    "STE-000.wav",
    "izotoperx_cues_test.wav",
    "wavinfo Test Project - Audio - 5.1.wav",
    "wavinfo Test Project - Audio - Stereo.wav",
]


@pytest.mark.parametrize("name", REAL)
def test_metadata_of_real_bounces_survives(tmp_path: Path, name: str) -> None:
    source = require.corpus() / "iluvcapra__wavinfo" / name
    info = probe(source)
    line = bext.history_line(rate_hz=info.rate_hz, bits=24, channels=info.channels, text="test")
    path = tmp_path / "stem.wav"
    store(
        path,
        decoded(source),
        info.subtype,
        rate_hz=info.rate_hz,
        chunks=stem_metadata(source, line).chunks,
        channel_mask=info.channel_mask,
        extensible=info.extensible,
        block_frames=50_000,
    )
    before, after = (wavinfo.WavInfoReader(str(file)) for file in (source, path))
    assert after.data.frame_count == before.data.frame_count
    assert (after.ixml is None) == (before.ixml is None)
    if before.ixml:
        assert after.ixml.to_dict() == before.ixml.to_dict()
        raw = source.read_bytes()
        at = raw.index(b"iXML")
        end = at + 8 + int.from_bytes(raw[at + 4 : at + 8], "little")
        assert raw[at:end] in path.read_bytes()
    assert after.cues.to_dict() == before.cues.to_dict() if before.cues else not after.cues
    if before.bext is not None:
        kept = ("description", "originator", "originator_ref", "originator_date", "originator_time")
        for field in (*kept, "time_reference", "version", "umid"):
            assert getattr(after.bext, field) == getattr(before.bext, field), field
        assert after.bext.coding_history.endswith(line + "\r\n")
        assert after.bext.coding_history.startswith(before.bext.coding_history.rstrip("\0"))
    # Nothing was changed, so the audio is the source's, bit for bit.
    assert np.array_equal(decoded(path), decoded(source))


@pytest.mark.parametrize("subtype", ["PCM_24", "FLOAT"])
def test_rf64_when_riff_cannot_state_the_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtype: str
) -> None:
    audio = noise(2, 3001)
    path = tmp_path / "stem.wav"
    monkeypatch.setattr(encode, "RIFF_LIMIT_BYTES", 9_000)
    store(path, audio, subtype, chunks=(Chunk(b"iXML", b"<a/>"),))
    read, _ = soundfile.read(path, dtype="float32")
    assert soundfile.info(str(path)).format == "RF64"
    assert np.array_equal(read.T, decoded(path))
    assert np.abs(read.T - audio).max() <= 2.0**-24
    assert read_layout(path).find(b"iXML") is not None


@pytest.mark.parametrize(
    ("subtype", "frames", "container"),
    [
        ("PCM_24", 715_827_860, "WAV"),
        ("PCM_24", 715_827_890, "RF64"),
        ("FLOAT", 2**33, "RF64"),  # more frames than the fact chunk can state
    ],
)
def test_above_4_gib(tmp_path: Path, subtype: str, frames: int, container: str) -> None:
    """The true limit, with a file that claims its space without taking it."""
    form = WavTemplate(48_000, 2, frames, subtype, None, False, (Chunk(b"iXML", b"<a/>"),))
    path = tmp_path / "huge.wav"
    with path.open("wb") as file:
        file.write(form.head())
        file.seek(form.data_bytes, os.SEEK_CUR)
        file.write(form.tail())
    assert path.stat().st_size == form.total_bytes
    assert soundfile.info(str(path)).format == container
    assert soundfile.info(str(path)).frames == frames
    info = probe(path)
    assert (info.container, info.frames) == (container, frames)
    assert read_layout(path).chunks[-1].id == b"iXML"
    assert ffprobe(path)["streams"][0]["duration_ts"] == frames  # type: ignore[index]


@pytest.mark.parametrize("written", [0, 2399, 2401])
def test_a_wrong_length_is_never_left_behind(tmp_path: Path, written: int) -> None:
    path = tmp_path / "stem.wav"
    with (
        pytest.raises(PromiseBroken),
        StemWriter(path, rate_hz=48_000, channels=2, frames=2400, subtype="PCM_24") as writer,
    ):
        writer.write_float(noise(2, written))
    assert not path.exists()


def test_nothing_is_left_behind_by_an_error(tmp_path: Path) -> None:
    path = tmp_path / "stem.wav"

    def blocks() -> Iterator[NDArray[np.float32]]:
        yield noise(2, 100)
        assert path.exists()
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        StemWriter(path, rate_hz=48_000, channels=2, frames=2400, subtype="PCM_24") as writer,
    ):
        deque(map(writer.write_float, blocks()))
    assert not path.exists()


def test_blocks_that_do_not_fit(tmp_path: Path) -> None:
    with (
        pytest.raises(PromiseBroken, match="1 channels"),
        StemWriter(
            tmp_path / "a", rate_hz=48_000, channels=2, frames=9, subtype="PCM_16"
        ) as writer,
    ):
        writer.write_float(noise(1, 9))
    with (
        pytest.raises(PromiseBroken, match="beyond 16 bits"),
        StemWriter(
            tmp_path / "b", rate_hz=48_000, channels=1, frames=9, subtype="PCM_16"
        ) as writer,
    ):
        writer.write_int(np.full((1, 9), 2**15, np.int32))
    with (
        pytest.raises(PromiseBroken, match="integers for a FLOAT"),
        StemWriter(tmp_path / "c", rate_hz=48_000, channels=1, frames=9, subtype="FLOAT") as writer,
    ):
        writer.write_int(np.zeros((1, 9), np.int32))
    with (
        pytest.raises(PromiseBroken, match="NaN"),
        StemWriter(tmp_path / "d", rate_hz=48_000, channels=1, frames=1, subtype="FLOAT") as writer,
    ):
        writer.write_float(np.full((1, 1), np.nan, np.float32))
    with pytest.raises(PromiseBroken, match="VORBIS is not written"):
        StemWriter(tmp_path / "e", rate_hz=48_000, channels=1, frames=1, subtype="VORBIS")
    assert list(tmp_path.iterdir()) == []


def test_clipped_values_are_counted(tmp_path: Path) -> None:
    audio = np.array([[0.5, 1.25, -1.25, 1.0]], np.float32)
    writer = store(tmp_path / "stem.wav", audio, "PCM_16")
    assert (writer.clipped, writer.peak) == (2, 1.0)
    assert store(tmp_path / "float.wav", audio, "FLOAT").peak == 1.25


def test_an_existing_file_is_never_touched(tmp_path: Path) -> None:
    path = tmp_path / "stem.wav"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="remove it"):
        store(path, noise(1, 10))
    assert path.read_bytes() == b"mine"
    with pytest.raises(OutputError, match="create it or choose another"):
        store(tmp_path / "missing" / "stem.wav", noise(1, 10))


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_file_system_that_is_full(tmp_path: Path) -> None:
    """The system itself refuses: a limit on the size of files of this process."""
    import resource

    path = tmp_path / "stem.wav"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limits[1]))
        with pytest.raises(OutputError, match=r"stem\.wav .*choose another output folder"):
            store(path, noise(2, 500_000), block_frames=50_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert not path.exists()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "quota"),
        (errno.EIO, "reports an error"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "allow writing"),
        (errno.ENXIO, "bring it back"),
        (errno.EINVAL, "check the disk"),
    ],
)
def test_what_the_disk_says_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError, match=words) as raised:
        store(tmp_path / "stem.wav", noise(2, 100))
    assert raised.value.retryable
    assert str(tmp_path) in str(raised.value)
    assert not (tmp_path / "stem.wav").exists()


@pytest.mark.parametrize(
    ("subtype", "expected", "noted"),
    [
        *((name, name, False) for name in SUBTYPES),
        ("ALAC_20", "PCM_24", False),
        ("PCM_S8", "PCM_16", True),
        ("MPEG_LAYER_III", "PCM_24", True),
        ("VORBIS", "PCM_24", True),
        ("OPUS", "PCM_24", True),
        ("ULAW", "PCM_16", True),
        ("IMA_ADPCM", "PCM_16", True),
        ("GSM610", "PCM_16", True),
    ],
)
def test_depth_of_the_stems(subtype: str, expected: str, noted: bool) -> None:
    info = AudioInfo("WAV", 1, 48_000, 2, subtype, None, False, None)
    chosen, note = output_subtype(info)
    assert (chosen, note is not None) == (expected, noted)


def test_every_subtype_of_libsndfile_has_a_depth() -> None:
    for subtype in soundfile.available_subtypes():
        info = AudioInfo("X", 1, 48_000, 2, subtype, None, False, None)
        assert output_subtype(info)[0] in SUBTYPES
