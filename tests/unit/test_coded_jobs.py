"""Coded bounces through a whole job: depth of the stems, warnings, and metadata."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame

from bridge.audio.metadata.model import Mark
from bridge.audio.metadata.stems import stem_metadata
from tests.coded_files import encoded, outcome, sweep
from tests.unit.conversion import music

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.conversion import Convert

RATE_HZ = 44_100


@pytest.mark.parametrize(
    ("codec", "container", "sample_format", "subtype", "note"),
    [
        ("alac", "ipod", "s16p", "PCM_16", None),
        ("alac", "ipod", "s32p", "PCM_24", None),
        ("flac", "ogg", "s32", "PCM_24", None),
        ("wavpack", "wv", "fltp", "FLOAT", None),
        ("pcm_s24le", "mov", None, "PCM_24", None),
        ("aac", "ipod", None, "PCM_24", "AAC is lossy: the stems are 24-bit PCM"),
        ("ac3", "matroska", None, "PCM_24", "AC3 is lossy: the stems are 24-bit PCM"),
        ("wmav2", "asf", None, "PCM_24", "WMAV2 is lossy: the stems are 24-bit PCM"),
    ],
)
def test_stems_keep_what_is_lossless_and_say_what_is_not(
    tmp_path: Path,
    convert: Convert,
    codec: str,
    container: str,
    sample_format: str | None,
    subtype: str,
    note: str | None,
) -> None:
    source = tmp_path / "song.bin"
    encoded(
        *(source, 0.5 * music(RATE_HZ, 2), RATE_HZ, codec, container),
        sample_format=sample_format,
        options={"b": "128k"} if note else None,
    )
    manifest, stems = convert(source, tmp_path)
    frames = outcome(source).frames
    assert {stem.shape for stem in stems.values()} == {(2, frames)}
    assert manifest["source"]["frames"] == frames
    assert {stem["subtype"] for stem in manifest["stems"]} == {subtype}
    assert manifest["warnings"] == ([note] if note else [])
    if subtype != "FLOAT" and not note:
        assert manifest["null_residual_dbfs"] == "-inf"


def test_telephone_speech_gets_16_bits(tmp_path: Path, convert: Convert) -> None:
    source = tmp_path / "call.amr"
    options = {"b": "12200"}
    encoded(source, 0.5 * music(8_000, 1), 8_000, "libopencore_amrnb", "amr", options=options)
    manifest, _ = convert(source, tmp_path)
    assert {stem["subtype"] for stem in manifest["stems"]} == {"PCM_16"}
    assert manifest["warnings"] == ["AMR_NB is lossy: the stems are 16-bit PCM"]


def film(path: Path, container: str, tracks: tuple[str, ...], *, picture: bool = True) -> Path:
    """A video with a track of sound for each title, the first of which is the default."""
    with av.open(str(path), "w", format=container) as file:
        streams: list[Any] = []
        if picture:
            video: Any = file.add_stream("mpeg4", rate=25)
            video.width = video.height = 32
            video.pix_fmt = "yuv420p"
        for title in tracks:
            stream: Any = file.add_stream("aac", rate=48_000)
            stream.layout = "stereo"
            stream.metadata["title"] = title
            streams.append(stream)
        if picture:
            frame = av.VideoFrame(32, 32, "yuv420p")
            for number in range(10):
                frame.pts = number
                file.mux(video.encode(frame))
            file.mux(video.encode(None))
        for number, stream in enumerate(streams):
            sound = sweep(48_000, 2, 20_000) * (number + 1) / len(streams)
            block = AudioFrame.from_ndarray(sound, format="fltp", layout="stereo")
            block.sample_rate, block.pts = 48_000, 0
            file.mux(stream.encode(block))
            file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska", "mpegts"])
def test_of_several_tracks_the_first_is_taken_and_the_others_named(
    tmp_path: Path, container: str
) -> None:
    found = outcome(film(tmp_path / "film", container, ("Mix", "Commentary", "Music")))
    assert found.refusal is None, found.refusal
    assert found.frames >= 20_000
    assert float(np.abs(found.sound).max()) < 0.2  # the first is the softest
    (warning,) = found.warnings
    assert warning.startswith("of 3 tracks of sound only 1 (aac")
    assert ("Commentary" in warning) == (container == "matroska")  # others have titles elsewhere


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska", "mpegts"])
def test_a_video_without_sound_is_refused(tmp_path: Path, container: str) -> None:
    found = outcome(film(tmp_path / "film", container, ()))
    assert str(found.refusal) == "a video without sound; export its sound as WAV"


@pytest.mark.parametrize("container", ["ipod", "mov", "matroska", "asf", "wv"])
def test_tags_and_chapters_are_carried(tmp_path: Path, container: str) -> None:
    path = tmp_path / "song"
    codec = {"wv": "wavpack", "asf": "wmav2"}.get(container, "aac")
    with av.open(str(path), "w", format=container) as file:
        file.metadata.update({"title": "Söng", "artist": "Someone", "comment": "a note"})
        if container == "matroska":
            time: Any = {"id": 1, "start": 250, "end": 500, "time_base": Fraction(1, 1000)}
            file.set_chapters([{**time, "metadata": {"title": "Verse"}}])
        stream: Any = file.add_stream(codec, rate=RATE_HZ)
        stream.layout, stream.bit_rate = "stereo", 128_000
        block = AudioFrame.from_ndarray(sweep(RATE_HZ, 2, RATE_HZ), format="fltp", layout="stereo")
        block.sample_rate, block.pts = RATE_HZ, 0
        file.mux(stream.encode(block))
        file.mux(stream.encode(None))
    got = stem_metadata(path, "A=PCM")
    assert got.tags["TITLE"] == ("Söng",)
    assert got.tags["ARTIST"] == ("Someone",)
    assert got.tags["COMMENT"] == ("a note",)
    if container == "matroska":
        assert got.marks == (Mark(11_025, "Verse", 11_025),)
    assert not {"MAJOR_BRAND", "DURATION", "HANDLER_NAME"} & got.tags.keys()
