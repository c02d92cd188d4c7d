"""Metadata through whole jobs: read from a bounce of any container, in its stems, in the report."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import struct
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import mutagen.flac
import mutagen.wave
import numpy as np
import pytest
import soundfile
from wavinfo import WavInfoReader  # type: ignore[import-untyped]

from bridge.audio.chunks import Chunk, read_layout
from bridge.audio.encode import WavTemplate
from bridge.audio.metadata import bext
from bridge.audio.metadata.model import Mark
from bridge.presets import loader as presets
from bridge.render import pipeline
from bridge.render.request import RenderRequest
from bridge.render.stopwatch import Stopwatch
from tests.audio_files import chunk, ds64, fmt, riff, write
from tests.bounces import music as tones
from tests.metadata_files import acid, aiff_marks, cue, labels, smpl, with_aiff_chunks
from tests.support import require
from tests.unit.conversion import TIME_REFERENCE, Convert, music
from tests.unit.loudness_reference import METER_LU, ffmpeg_levels, ffmpeg_programme

if TYPE_CHECKING:
    from pathlib import Path


RATE_HZ = 44_100
FRAMES = RATE_HZ // 2
TRIMMING = "aligned: false\nchain: [{trim_silence: {pad_ms: 0}}]\noutput: {dither: none}"


def pcm(audio: np.ndarray) -> bytes:
    """Interleaved 16-bit values."""
    return (audio.T * 32_767).astype("<i2").tobytes()


def bounce(
    path: Path, *extra: bytes, audio: np.ndarray | None = None, rate_hz: int = RATE_HZ
) -> Path:
    """A 16-bit WAV with more chunks after its audio."""
    wave = tones(FRAMES, rate_hz) if audio is None else audio
    form, data = fmt(rate_hz, len(wave)), chunk(b"data", pcm(wave))
    return write(path.parent, riff(form, data, *extra), path.name)


def preset(folder: Path, text: str) -> presets.Preset:
    path = folder / "p.yaml"
    path.write_text(f"schema: 1\nsummary: s\n{text}\n")
    return presets.load(path)


def stems(manifest: dict[str, Any], folder: Path) -> list[tuple[dict[str, Any], Path]]:
    """What the report says of each stem, and where it is."""
    name = manifest["source"]["path"].rpartition("/")[2].rpartition(".")[0]
    return [(stem, folder / "out" / name / stem["path"]) for stem in manifest["stems"]]


def ffprobe(path: Path) -> Any:
    command = [require.ffprobe(), "-v", "error", "-show_format", "-show_streams", "-of", "json"]
    return json.loads(subprocess.check_output([*command, str(path)]))


def test_a_time_reference_beyond_31_bits_at_96_khz(tmp_path: Path, convert: Convert) -> None:
    value = bext.new_bext(3_000_000_000, "A=PCM")
    extra = chunk(b"bext", value.to_bytes())
    manifest, _ = convert(bounce(tmp_path / "a.wav", extra, rate_hz=96_000), tmp_path)
    assert manifest["source"]["time_reference"] == 3_000_000_000
    for _, path in stems(manifest, tmp_path):
        assert WavInfoReader(str(path)).bext.time_reference == 3_000_000_000
        seen = ffprobe(path)
        assert int(seen["format"]["tags"]["time_reference"]) == 3_000_000_000
        assert seen["streams"][0]["sample_rate"] == "96000"


def test_a_flac_gives_stems_with_its_tags(tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "a.flac"
    soundfile.write(source, tones(FRAMES).T, RATE_HZ, subtype="PCM_16")
    file: Any = mutagen.flac.FLAC(source)
    file.update({"TITLE": "Söng", "ARTIST": ["One", "Two"], "BPM": "120"})
    file.update({"CHAPTER001": "00:00:00.250", "CHAPTER001NAME": "Verse"})
    file.save()
    manifest, _ = convert(source, tmp_path)
    assert manifest["source"]["tempo_bpm"] == 120.0
    verse = {"position_frames": RATE_HZ // 4, "name": "Verse", "length_frames": 0}
    assert manifest["source"]["marks"] == [verse]
    assert manifest["not_carried"] == []
    for _, path in stems(manifest, tmp_path):
        tag: Any = mutagen.wave.WAVE(path).tags
        assert (tag["TIT2"].text, tag["TPE1"].text) == (["Söng"], ["One", "Two"])
        found = WavInfoReader(str(path), info_encoding="utf-8")
        assert found.info.title == "Söng"
        ((number, position),) = found.cues.each_cue()
        assert (position, found.cues.label_and_note(number)[0]) == (RATE_HZ // 4, "Verse")
        assert read_layout(path).find(b"acid") is not None


def test_the_speakers_of_an_aiff(tmp_path: Path, convert: Convert) -> None:
    mpeg_5_1_a = struct.pack(">III", 121 << 16 | 6, 0, 0)
    source = tmp_path / "a.aiff"
    soundfile.write(source, tones(FRAMES, channels=6).T, RATE_HZ, subtype="PCM_24")
    with_aiff_chunks(source, chunk(b"CHAN", mpeg_5_1_a, order=">"), aiff_marks((100, "Verse")))
    manifest, _ = convert(source, tmp_path)
    for _, path in stems(manifest, tmp_path):
        layout = read_layout(path).fmt
        assert (layout.channels, layout.channel_mask) == (6, 0x3F)
        assert ffprobe(path)["streams"][0]["channel_layout"].startswith("5.1")
        assert soundfile.info(path).subtype == "PCM_24"
        assert [place for _, place in WavInfoReader(str(path)).cues.each_cue()] == [100]


@pytest.mark.parametrize(("magic", "length"), [(b"RF64", 4), (b"RF64", 5), (b"BW64", 5)])
def test_a_long_form_stays_one(tmp_path: Path, convert: Convert, magic: bytes, length: int) -> None:
    data = pcm(tones(FRAMES))
    sizes = ds64(0, len(data), FRAMES)
    axml = chunk(b"axml", b"<ebuCoreMain/>")
    # Whatever the length of the history: libsndfile stumbles over odd ones in RF64.
    broadcast = chunk(b"bext", bext.new_bext(7, "A=PCM"[:length]).to_bytes())
    audio = chunk(b"data", data, size=0xFFFFFFFF)
    parts = (sizes, broadcast, fmt(RATE_HZ), audio, axml)
    body = riff(*parts, magic=magic, size=0xFFFFFFFF)
    body = body.replace(sizes, ds64(len(body) - 8, len(data), FRAMES))
    manifest, _ = convert(write(tmp_path, body, "a.wav"), tmp_path)
    for _, path in stems(manifest, tmp_path):
        assert path.read_bytes()[:4] == b"RF64"
        assert soundfile.info(path).frames == FRAMES
        assert ffprobe(path)["streams"][0]["duration_ts"] == FRAMES
        assert read_layout(path).find(b"axml") is not None
        assert WavInfoReader(str(path)).bext.time_reference == 7


def test_positions_of_trimmed_files_count_from_their_first_frame(
    tmp_path: Path, convert: Convert
) -> None:
    audio = 0.4 * music(RATE_HZ, 2)
    audio[:, : RATE_HZ // 2] = audio[:, -RATE_HZ // 4 :] = 0
    frames = audio.shape[1]
    middle = RATE_HZ
    xml = (
        "<BWFXML><BEXT><BWF_TIME_REFERENCE_HIGH>0</BWF_TIME_REFERENCE_HIGH>"
        "<BWF_TIME_REFERENCE_LOW>100</BWF_TIME_REFERENCE_LOW></BEXT></BWFXML>"
    )
    source = bounce(
        tmp_path / "a.wav",
        chunk(b"bext", bext.new_bext(TIME_REFERENCE, "A=PCM").to_bytes()),
        chunk(b"iXML", xml.encode()),
        cue(10, middle, frames - 10),
        labels("before", "inside", "after", lengths={2: frames}),
        smpl((0, frames - 1), (middle, middle + 999)),
        acid(120.0, beats=4),
        chunk(b"axml", b"<ebuCoreMain/>"),
        audio=audio,
    )
    manifest, _ = convert(source, tmp_path, preset(tmp_path, TRIMMING))
    assert manifest["not_carried"] == ["axml (the files are trimmed)"]
    assert [mark["name"] for mark in manifest["source"]["marks"]] == [
        *("Loop", "before", "inside", "Loop", "after"),
    ]
    for stem, path in stems(manifest, tmp_path):
        start, length = stem["start_frame"], stem["frames"]
        assert 10 < start < middle < start + length < frames - 10
        found = WavInfoReader(str(path))
        ((number, position),) = found.cues.each_cue()
        assert position == middle - start
        assert found.cues.label_and_note(number)[0] == "inside"
        assert found.cues.range(number) == length - position
        (loop,) = found.smpl.sample_loops
        assert (loop.start, loop.end) == (middle - start, middle + 999 - start)
        assert found.bext.time_reference == TIME_REFERENCE + start
        data = path.read_bytes()
        (low,) = re.findall(rb"<BWF_TIME_REFERENCE_LOW>(\d+)</", data)
        assert int(low) == 100 + start
        beats = round(length / RATE_HZ * 2)
        at = data.index(b"acid") + 8
        assert struct.unpack("<I", data[at + 12 : at + 16])[0] == beats
        assert b"axml" not in data[-2000:]


def test_the_loudness_in_bext_is_that_of_each_stem(tmp_path: Path, convert: Convert) -> None:
    value = bext.new_bext(0, "A=PCM")
    stated = replace(value, version=2).with_loudness((-14.0, 3.0, -1.0, -10.0, -12.0))
    audio = 0.5 * music(RATE_HZ, 2, seconds=6.0)
    source = bounce(tmp_path / "a.wav", chunk(b"bext", stated.to_bytes()), audio=audio)
    manifest, _ = convert(source, tmp_path)
    for stem, path in stems(manifest, tmp_path):
        assert stem["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        found = WavInfoReader(str(path)).bext
        loudness, true_peak_dbtp = ffmpeg_levels(path)
        theirs = ffmpeg_programme(path)
        assert found.version == 2
        assert found.loudness_value == pytest.approx(loudness, abs=METER_LU)
        assert found.max_true_peak == pytest.approx(true_peak_dbtp, abs=0.2)
        assert found.max_momentary_loudness == pytest.approx(theirs["M"], abs=METER_LU)
        assert found.max_shortterm_loudness == pytest.approx(theirs["S"], abs=METER_LU)
        assert 0 <= found.loudness_range < 20


@pytest.mark.parametrize("levels", [None, (0.0,) * 5])
def test_a_bounce_that_states_no_loudness_gets_none(
    tmp_path: Path, convert: Convert, levels: tuple[float, ...] | None
) -> None:
    value = replace(bext.new_bext(0, "A=PCM"), version=2)
    stated = value.with_loudness(levels or (float("nan"),) * 5)
    source = bounce(tmp_path / "a.wav", chunk(b"bext", stated.to_bytes()))
    manifest, _ = convert(source, tmp_path)
    for _, path in stems(manifest, tmp_path):
        found = WavInfoReader(str(path)).bext
        assert found.loudness_value == pytest.approx(bext.LOUDNESS_NOT_SET / 100)


class Halves:
    """Separates nothing: two stems, each half of the mixture."""

    outputs = ("one", "two")
    name, device, precision = "halves", "cpu", "float32"
    notes: tuple[str, ...] = ()

    def stream(self, blocks: Any, rate_hz: int) -> Any:
        del rate_hz
        for block in blocks:
            yield dict.fromkeys(self.outputs, 0.5 * block)


HUGE_FRAMES = 67_200_000  # of 64 bytes: 4.3 GB
EDGE_FRAMES = 10_000
HUGE_CHANNELS = 8


def huge(path: Path) -> np.ndarray:
    """A 64-bit float RF64 of 4.3 GB that takes no space, silent but for its ends; the last end."""
    ends = np.random.default_rng(0).uniform(-0.5, 0.5, (2, EDGE_FRAMES, HUGE_CHANNELS))
    ends = ends.astype("<f4").astype("<f8")
    extra = (Chunk(b"cue ", cue(HUGE_FRAMES - 5)[8:]), Chunk(b"iXML", b"<BWFXML/>"))
    form = WavTemplate(48_000, HUGE_CHANNELS, HUGE_FRAMES, "DOUBLE", 0x63F, True, extra)
    with path.open("wb") as file:
        file.write(form.head() + ends[0].tobytes())
        file.seek(len(form.head()) + form.data_bytes - ends[1].nbytes)
        file.write(ends[1].tobytes() + form.tail())
    return ends[1]


@pytest.mark.slow
def test_above_4_gib_to_the_last_frame(tmp_path: Path) -> None:
    """4.3 GB in, two RF64 stems of 4.3 GB out; the files go when the test ends."""
    if shutil.disk_usage(tmp_path).free < 25 << 30:
        pytest.skip("needs 25 GiB of disk")
    source, folder = tmp_path / "huge.wav", tmp_path / "stems"
    folder.mkdir()
    last = huge(source)
    names = {name: f"{name}.wav" for name in Halves.outputs}
    order = RenderRequest(source, "0" * 64, presets.load("stems"), "1", names, folder)
    try:
        made = pipeline.render_bounce(order, Halves(), folder, Stopwatch(lambda *_: None))  # type: ignore[arg-type]
        assert made.source.marks == (Mark(HUGE_FRAMES - 5),)
        assert made.null_residual_dbfs == -math.inf
        for stem in made.stems:
            check_huge(folder / stem.path, last)
    finally:
        shutil.rmtree(folder)
        source.unlink()


def check_huge(path: Path, last: np.ndarray) -> None:
    """Length by four readers, the end by two."""
    assert path.stat().st_size > 1 << 32
    assert path.open("rb").read(4) == b"RF64"
    assert soundfile.info(path).frames == HUGE_FRAMES
    assert ffprobe(path)["streams"][0]["duration_ts"] == HUGE_FRAMES
    found = WavInfoReader(str(path))
    assert [place for _, place in found.cues.each_cue()] == [HUGE_FRAMES - 5]
    mediainfo = require.program("mediainfo", "mediainfo")
    seen = json.loads(subprocess.check_output([mediainfo, "--Output=JSON", str(path)]))
    (track,) = (track for track in seen["media"]["track"] if track["@type"] == "Audio")
    assert int(track["SamplingCount"]) == HUGE_FRAMES
    with soundfile.SoundFile(path) as file:
        file.seek(HUGE_FRAMES - EDGE_FRAMES)
        assert np.array_equal(file.read(always_2d=True), last / 2)
    ffmpeg_program = require.program("ffmpeg", "ffmpeg")
    since_s = (HUGE_FRAMES - EDGE_FRAMES) / 48_000
    command = [ffmpeg_program, "-v", "error", "-ss", f"{since_s:.9f}", "-i", str(path)]
    raw = subprocess.check_output([*command, "-f", "f64le", "-"])
    assert raw.endswith((last[-EDGE_FRAMES // 2 :] / 2).tobytes())
