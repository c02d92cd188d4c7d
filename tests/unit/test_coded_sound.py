"""Sound of a known length in every codec and container that PyAV encodes comes back whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.coded_files import assert_whole, encoded, outcome, sweep

if TYPE_CHECKING:
    from pathlib import Path

    from tests.coded_files import Wave


@dataclass(frozen=True)
class Coding:
    """An encoder in a container, and what the file holds of its delay and padding.

    delay_frames: in front of the sound, where the container does not say how much it is.
    padding_frames: behind it at most. fed_frames: of silence behind the sound, where an encoder
    loses as much at its end. least: correlation of what is decoded with what was encoded.
    """

    codec: str
    container: str
    read_as: str
    subtype: str
    delay_frames: int = 0
    padding_frames: int = 0
    fed_frames: int = 0
    least: float = 0.8
    sample_format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    muxing: dict[str, str] = field(default_factory=dict)
    rates_hz: tuple[int, ...] = (44_100, 48_000)
    channels: tuple[int, ...] = (1, 2)

    def file(self, path: Path, wave: Wave, rate_hz: int) -> Path:
        """The sound, encoded so."""
        silence = np.zeros((len(wave), self.fed_frames), np.float32)
        return encoded(
            *(path, np.concatenate((wave, silence), axis=1), rate_hz, self.codec, self.container),
            sample_format=self.sample_format,
            options=self.options,
            muxing=self.muxing,
        )

    def __str__(self) -> str:
        extra = "".join(f" {name}={value}" for name, value in (self.options | self.muxing).items())
        return f"{self.codec} in {self.container} {self.sample_format or ''}{extra}"


MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
LOSSY = (
    Coding("libmp3lame", "mp3", "MP3", "MPEG_LAYER_III", rates_hz=MP3_RATES),
    Coding("libmp3lame", "mp3", "MP3", "MPEG_LAYER_III", options={"q": "4"}),
    Coding(
        *("libmp3lame", "mp3", "MP3", "MPEG_LAYER_III", 1105, 2304),
        options={"q": "2"},
        muxing={"write_xing": "0", "id3v2_version": "0"},
        rates_hz=MP3_RATES,
    ),
    Coding("libmp3lame", "mp4", "MP4", "MPEG_LAYER_III", 0, 1152),
    Coding("libmp3lame", "matroska", "MATROSKA", "MPEG_LAYER_III"),
    Coding("mp2", "mp2", "MP3", "MPEG_LAYER_II", 481, 2304, 1152),
    Coding("aac", "adts", "AAC", "AAC", 1024, 2048, channels=(1, 2, 6)),
    Coding(
        *("aac", "ipod", "MP4", "AAC"),
        rates_hz=(8_000, 22_050, 44_100, 96_000),
        channels=(1, 2, 6),
    ),
    Coding("aac", "mov", "MP4", "AAC"),
    Coding("aac", "mp4", "MP4", "AAC", muxing={"movflags": "faststart"}),
    Coding(
        *("aac", "mp4", "MP4", "AAC", 1024, 2048),
        muxing={"movflags": "frag_keyframe+empty_moov", "frag_duration": "200000"},
    ),
    Coding("aac", "matroska", "MATROSKA", "AAC", 0, 1024),
    Coding(
        *("ac3", "ac3", "AC3", "AC3", 256, 3072, 1536),
        rates_hz=(32_000, 44_100, 48_000),
        channels=(1, 2, 6),
    ),
    Coding("eac3", "eac3", "AC3", "EAC3", 256, 3072, 1536, channels=(1, 2, 6)),
    Coding("ac3", "mp4", "MP4", "AC3", 0, 3072, 1536),
    Coding("ac3", "matroska", "MATROSKA", "AC3", 0, 3072, 1536),
    Coding("ac3", "mpegts", "MPEG-TS", "AC3", 256, 3072, 1536),
    Coding("aac", "mpegts", "MPEG-TS", "AAC", 1024, 2048, muxing={"mpegts_m2ts_mode": "1"}),
    Coding("libmp3lame", "mpegts", "MPEG-TS", "MPEG_LAYER_III", 1105, 2304),
    Coding(
        *("pcm_bluray", "mpegts", "MPEG-TS", "PCM_16", 0, 480),  # filled up to 5 ms
        least=0.9999,
        sample_format="s16",
        muxing={"mpegts_m2ts_mode": "1"},
        rates_hz=(48_000, 96_000),
        channels=(2,),
    ),
    Coding("libopus", "ogg", "OGG", "OPUS", rates_hz=(48_000,), channels=(1, 2, 6)),
    Coding("libopus", "webm", "MATROSKA", "OPUS", rates_hz=(48_000,)),
    Coding("libopus", "mp4", "MP4", "OPUS", rates_hz=(48_000,)),
    # ffmpeg's encoder is a poor one where the sound begins and ends.
    Coding("wmav2", "asf", "ASF", "WMAV2", 2048, 4096, least=0.4, options={"b": "192k"}),
    Coding("wmav1", "asf", "ASF", "WMAV1", 2048, 4096, least=0.4, options={"b": "192k"}),
    Coding(
        *("libopencore_amrnb", "amr", "AMR", "AMR_NB", 40, 480),
        least=0.7,
        options={"b": "12200"},
        rates_hz=(8_000,),
        channels=(1,),
    ),
)
LOSSLESS = (
    Coding("alac", "ipod", "MP4", "ALAC_16", sample_format="s16p", channels=(1, 2, 6)),
    Coding("alac", "ipod", "MP4", "ALAC_24", sample_format="s32p", channels=(1, 2, 6)),
    Coding("alac", "matroska", "MATROSKA", "ALAC_24", sample_format="s32p"),
    Coding("flac", "ogg", "OGG", "PCM_16", sample_format="s16", channels=(1, 2, 6)),
    Coding("flac", "ogg", "OGG", "PCM_24", sample_format="s32", channels=(1, 2)),
    Coding("flac", "mp4", "MP4", "PCM_16", sample_format="s16", muxing={"strict": "-2"}),
    Coding("flac", "matroska", "MATROSKA", "PCM_24", sample_format="s32"),
    Coding("wavpack", "wv", "WAVPACK", "PCM_16", sample_format="s16p", channels=(1, 2, 6)),
    Coding("wavpack", "wv", "WAVPACK", "PCM_32", sample_format="s32p", channels=(1, 2)),
    Coding("wavpack", "wv", "WAVPACK", "FLOAT", sample_format="fltp", channels=(1, 2, 6)),
    Coding("wavpack", "matroska", "MATROSKA", "PCM_16", sample_format="s16p"),
    Coding("pcm_s16le", "mov", "MP4", "PCM_16", channels=(1, 2, 6)),
    Coding("pcm_s24be", "mov", "MP4", "PCM_24", channels=(1, 2, 6)),
    Coding("pcm_f32le", "mov", "MP4", "FLOAT"),
    Coding("pcm_s24le", "matroska", "MATROSKA", "PCM_24"),
    Coding("pcm_f32le", "matroska", "MATROSKA", "FLOAT"),
)
STEPS = {"PCM_16": 2**15, "ALAC_16": 2**15, "PCM_24": 2**23, "ALAC_24": 2**23, "PCM_32": 2**23}


def cases(codings: tuple[Coding, ...]) -> list[tuple[Coding, int, int]]:
    """Every coding with each of its rates and numbers of channels."""
    return [
        (coding, rate_hz, channels)
        for coding in codings
        for rate_hz in coding.rates_hz
        for channels in coding.channels
    ]


@pytest.mark.parametrize(("coding", "rate_hz", "channels"), cases(LOSSY), ids=str)
def test_lossy_sound_is_whole_and_at_its_place(
    tmp_path: Path, coding: Coding, rate_hz: int, channels: int
) -> None:
    for frames in (rate_hz // 8 + 7, rate_hz + 311):
        wave = sweep(rate_hz, channels, frames)
        found = outcome(coding.file(tmp_path / f"{frames}", wave, rate_hz))
        assert_whole(
            found,
            wave,
            delay_frames=coding.delay_frames,
            padding_frames=coding.padding_frames,
            least=coding.least,
        )
        assert found.info
        assert (found.info.container, found.info.subtype) == (coding.read_as, coding.subtype)
        assert (found.info.rate_hz, found.info.channels) == (rate_hz, channels)
        assert not found.warnings


@pytest.mark.parametrize(("coding", "rate_hz", "channels"), cases(LOSSLESS), ids=str)
def test_lossless_sound_comes_bit_for_bit(
    tmp_path: Path, coding: Coding, rate_hz: int, channels: int
) -> None:
    steps = STEPS.get(coding.subtype)
    for frames in (rate_hz // 20, rate_hz // 2 + 311):
        values = np.random.default_rng(frames).uniform(-1, 1, (channels, frames))
        wave = values.astype(np.float32)
        if steps:
            wave = (np.rint(values * (steps - 1)) / steps).astype(np.float32)
        found = outcome(coding.file(tmp_path / f"{frames}", wave, rate_hz))
        assert found.refusal is None, found.refusal
        assert found.info
        assert (found.info.container, found.info.subtype) == (coding.read_as, coding.subtype)
        assert np.array_equal(found.sound, wave)
        assert not found.warnings


@pytest.mark.parametrize(
    "coding",
    [
        Coding("pcm_s16le", "mov", "MP4", "PCM_16", channels=(3, 4, 5, 7, 8, 16)),
        Coding("pcm_s16le", "matroska", "MATROSKA", "PCM_16", channels=(3, 4, 7, 8, 12, 16)),
        Coding(
            "wavpack", "wv", "WAVPACK", "PCM_16", sample_format="s16p", channels=(3, 7, 8, 12, 16)
        ),
        Coding("flac", "ogg", "OGG", "PCM_16", sample_format="s16", channels=(3, 4, 5, 7, 8)),
        Coding("flac", "matroska", "MATROSKA", "PCM_16", sample_format="s16", channels=(3, 7, 8)),
        Coding("alac", "ipod", "MP4", "ALAC_16", sample_format="s16p", channels=(3,)),
    ],
    ids=str,
)
def test_many_channels_stay_in_their_order(tmp_path: Path, coding: Coding) -> None:
    for channels in coding.channels:
        values = np.random.default_rng(channels).uniform(-1, 1, (channels, 9_000))
        wave = (np.rint(values * 32_767) / 32_768).astype(np.float32)
        path = coding.file(tmp_path / f"{channels}", wave, 48_000)
        found = outcome(path)
        assert found.refusal is None, found.refusal
        assert np.array_equal(found.sound, wave)
        assert found.info
        mask = found.info.channel_mask
        assert mask is None or mask.bit_count() == channels
