"""Stems in every format by the whole way: from a bounce, through a model, to the manifest.

The tiny golden network separates; see test_pipeline.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from bridge.audio.chunks import Chunk
from bridge.audio.encode import StemWriter
from bridge.audio.metadata.bext import Bext
from bridge.audio.metadata.stems import stem_metadata
from bridge.audio.targets.registry import TARGETS
from bridge.config import Settings
from bridge.convert import Converter
from bridge.effects.space import TrimSilence
from bridge.errors import PresetError
from bridge.presets import loader as presets
from bridge.presets.output import Output
from tests.unit.conversion import MODEL, lag, music
from tests.unit.target_readers import LOSSLESS, LOSSY, ffmpeg, ffprobe

if TYPE_CHECKING:
    from bridge.worker.client import Worker

TIME_REFERENCE = 3_000_000_000
RATE_HZ = 44_100  # the model's own
MARK_FRAME = 12_345


def labelled() -> tuple[Chunk, ...]:
    """A time reference, a cue point with a name, and a title."""
    empty = (b"",) * 4
    bext = Bext(b"Take 7", *empty, TIME_REFERENCE, 1, b"", (0,) * 5, b"", b"A=PCM,T=daw\r\n")
    cue = struct.pack("<III4sIII", 1, 1, MARK_FRAME, b"data", 0, 0, MARK_FRAME)
    label = b"Verse\0"
    adtl = b"adtl" + struct.pack("<4sII", b"labl", 4 + len(label), 1) + label
    title = b"INFO" + struct.pack("<4sI", b"INAM", 6) + b"Title\0"
    return (
        Chunk(b"bext", bext.to_bytes()),
        Chunk(b"cue ", cue),
        Chunk(b"LIST", adtl),
        Chunk(b"LIST", title),
    )


def bounce(
    path: Path,
    *,
    subtype: str = "PCM_24",
    rate_hz: int = RATE_HZ,
    channels: int = 2,
    seconds: float = 0.7,
    mask: int | None = None,
) -> Path:
    audio = 0.5 * music(rate_hz, min(channels, 2), seconds)
    audio = np.concatenate([audio * share for share in np.linspace(1, 0.5, -(-channels // 2))])
    with StemWriter(
        path,
        rate_hz=rate_hz,
        channels=channels,
        frames=audio.shape[1],
        subtype=subtype,
        channel_mask=mask,
        extensible=mask is not None,
        chunks=labelled(),
    ) as writer:
        writer.write_float(audio[:channels])
    return path


def convert(
    worker: Worker, source: Path, out: Path, output: dict[str, Any], **changes: Any
) -> tuple[dict[str, Any], Path]:
    """The manifest and the folder of the stems."""
    changes["output"] = Output.model_validate(output)
    converter = Converter(
        Settings(), presets.load("stems").model_copy(update=changes), MODEL, worker
    )
    _, path = converter.convert(source, out / source.stem, out, lambda *_: None)
    return json.loads(path.read_text()), path.parent


def whole(manifest: dict[str, Any], folder: Path) -> dict[str, Path]:
    """Every file, with the checksum that its manifest states, and none beside them."""
    files = {stem["name"]: folder / stem["path"] for stem in manifest["stems"]}
    for stem in manifest["stems"]:
        data = (folder / stem["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == stem["sha256"]
    assert {*folder.iterdir()} == {*files.values(), folder / "manifest.json"}
    return files


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Of less than a second of Vorbis, ffmpeg misjudges the last packet.
    return bounce(tmp_path_factory.mktemp("song") / "song.wav", seconds=1.5)


@pytest.fixture(scope="module")
def as_wav(song: Path, worker: Worker) -> dict[str, np.ndarray]:
    """The stems as WAV: (frames, channels) of integers."""
    manifest, folder = convert(worker, song, song.parent / "wav", {})
    files = whole(manifest, folder)
    return {name: soundfile.read(path, dtype="int32")[0] for name, path in files.items()}


@pytest.mark.parametrize("name", [name for name in LOSSLESS if name != "wav"])
def test_lossless_stems_are_those_of_the_wav(
    tmp_path: Path, song: Path, as_wav: dict[str, np.ndarray], worker: Worker, name: str
) -> None:
    manifest, folder = convert(worker, song, tmp_path, {"format": name})
    for stem, path in whole(manifest, folder).items():
        assert path.suffix == TARGETS[name].suffix
        assert np.array_equal(soundfile.read(path, dtype="int32")[0], as_wav[stem])
        found = soundfile.info(path)
        assert (found.samplerate, found.subtype) == (RATE_HZ, "PCM_24")
        read = stem_metadata(path, "A=PCM,T=again")
        assert read.time_reference == TIME_REFERENCE
        assert read.tags["TITLE"] == ("Title",)
        assert [(mark.position_frames, mark.name) for mark in read.marks] == [(MARK_FRAME, "Verse")]
        stream = ffprobe(path)["streams"][0]
        assert int(stream["duration_ts"]) == manifest["source"]["frames"]
    assert manifest["null_residual_dbfs"] == "-inf" or manifest["null_residual_dbfs"] < -138
    assert manifest["warnings"] == []
    assert manifest["not_carried"] == []


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_stems_lie_where_the_bounce_does(
    tmp_path: Path, song: Path, as_wav: dict[str, np.ndarray], worker: Worker, name: str
) -> None:
    both = [convert(worker, song, tmp_path / run, {"format": name}) for run in "ab"]
    sums = [[stem["sha256"] for stem in manifest["stems"]] for manifest, _ in both]
    assert sums[0] == sums[1]
    manifest, folder = both[0]
    frames = manifest["source"]["frames"]
    for stem in manifest["stems"]:
        decoded = ffmpeg(folder / stem["path"], 2)
        if name == "opus":
            assert (stem["rate_hz"], stem["frames"]) == (48_000, -(-frames * 48_000 // RATE_HZ))
            assert decoded.shape[1] == stem["frames"]
        else:
            assert (stem["rate_hz"], stem["frames"]) == (RATE_HZ, frames)
            assert decoded.shape[1] == frames or name == "m4a"
            assert lag(decoded[:, :frames], as_wav[stem["name"]].T / 2.0**31) == 0
        tags = ffprobe(folder / stem["path"])
        found = {**tags["format"].get("tags", {}), **tags["streams"][0].get("tags", {})}
        assert {key.lower(): text for key, text in found.items()}["title"] == "Title"
    whole(manifest, folder)
    assert manifest["null_residual_dbfs"] is None
    assert any("lossy" in warning for warning in manifest["warnings"])
    exact = name == "m4a"
    assert any("markers" in lost for lost in manifest["not_carried"]) is not exact
    delays = {stem["encoder_delay_frames"] for stem in manifest["stems"]}
    assert delays == {{"mp3": 576, "ogg": 0, "opus": 312, "m4a": 1024}[name]}


@pytest.mark.parametrize("name", ["aiff", "caf", "w64", "flac"])
def test_surround_stems_keep_their_speakers(tmp_path: Path, worker: Worker, name: str) -> None:
    source = bounce(tmp_path / "five.wav", channels=6, mask=0x3F, seconds=0.3)
    manifest, folder = convert(worker, source, tmp_path / "out", {"format": name})
    for path in whole(manifest, folder).values():
        assert ffprobe(path)["streams"][0]["channel_layout"] == "5.1"


def test_a_float_bounce_becomes_24_bits_in_flac_and_the_report_says_so(
    tmp_path: Path, worker: Worker
) -> None:
    source = bounce(tmp_path / "float.wav", subtype="FLOAT")
    manifest, folder = convert(worker, source, tmp_path / "out", {"format": "flac"})
    assert {stem["subtype"] for stem in manifest["stems"]} == {"PCM_24"}
    assert {stem["dither"] for stem in manifest["stems"]} == {"tpdf"}
    assert manifest["warnings"] == ["FLAC is not written in FLOAT: the stems are PCM_24"]
    assert manifest["null_residual_dbfs"] < -130
    whole(manifest, folder)


def test_a_hot_float_bounce_is_made_to_fit_a_lossy_file(tmp_path: Path, worker: Worker) -> None:
    source = tmp_path / "hot.wav"
    soundfile.write(source, 6 * music(RATE_HZ, 2, 0.7).T, RATE_HZ, subtype="FLOAT")
    manifest, folder = convert(worker, source, tmp_path / "out", {"format": "ogg"})
    assert manifest["gain_db"] < 0
    loudest = max(manifest["stems"], key=lambda stem: stem["peak_dbfs"])
    # The gain brings what is encoded to full scale; what is decoded may rise above it.
    assert loudest["true_peak_dbtp"] < 3
    heard = np.abs(soundfile.read(folder / loudest["path"])[0]).max()
    assert loudest["peak_dbfs"] == pytest.approx(20 * np.log10(heard), abs=0.001)
    if heard > 1:
        assert any("when it is decoded" in warning for warning in manifest["warnings"])


@pytest.mark.parametrize("kind", ["AIFF", "CAF", "W64", "FLAC", "OGG"])
def test_the_same_format_as_the_bounce(tmp_path: Path, worker: Worker, kind: str) -> None:
    source = tmp_path / f"song.{kind.lower()}"
    soundfile.write(source, 0.5 * music(RATE_HZ, 2, 0.3).T, RATE_HZ, format=kind)
    manifest, folder = convert(worker, source, tmp_path / "out", {"format": "same"})
    expected = "WAV" if kind == "OGG" else kind
    assert {soundfile.info(path).format for path in whole(manifest, folder).values()} == {expected}


def test_a_bounce_that_the_format_cannot_hold_is_refused_before_the_work(
    tmp_path: Path, worker: Worker
) -> None:
    source = bounce(tmp_path / "fast.wav", rate_hz=96_000)
    with pytest.raises(PresetError, match=r"'stems': MP3 does not hold 96000 Hz.* flac or wav"):
        convert(worker, source, tmp_path / "out", {"format": "mp3"})
    assert not list((tmp_path / "out").rglob("*.mp3"))


@pytest.mark.parametrize("name", ["aiff", "caf", "w64", "flac", "mp3", "ogg"])
def test_a_trimmed_file_says_where_it_begins(tmp_path: Path, worker: Worker, name: str) -> None:
    audio = 0.5 * music(RATE_HZ, 2, 0.5)
    audio[:, :9_000] = 0
    source = tmp_path / "late.wav"
    with StemWriter(
        source,
        rate_hz=RATE_HZ,
        channels=2,
        frames=audio.shape[1],
        subtype="PCM_24",
        chunks=labelled(),
    ) as writer:
        writer.write_float(audio)
    changes = {"chain": (TrimSilence(),), "aligned": False}
    manifest, folder = convert(worker, source, tmp_path / "out", {"format": name}, **changes)
    for stem in manifest["stems"]:
        assert stem["start_frame"] > 0
        read = stem_metadata(folder / stem["path"], "A=PCM,T=again")
        assert read.time_reference == TIME_REFERENCE + stem["start_frame"]
        if name in LOSSLESS:
            assert [m.position_frames for m in read.marks] == [MARK_FRAME - stem["start_frame"]]
        assert soundfile.info(folder / stem["path"]).frames == stem["frames"]


def test_a_new_format_replaces_the_old_files(tmp_path: Path, song: Path, worker: Worker) -> None:
    convert(worker, song, tmp_path, {})
    manifest, folder = convert(worker, song, tmp_path, {"format": "flac"})
    whole(manifest, folder)
