"""Every way in which a bounce can be wrong is known before a decoder sees it."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.audio import flac
from bridge.audio.probe import MAX_CHANNELS, probe
from bridge.errors import (
    BounceChanged,
    BounceError,
    EmptyBounce,
    NoFrames,
    NotAudio,
    TruncatedBounce,
    UnsupportedBounce,
)
from tests.audio_files import chunk, ds64, fmt, noise, pcm16, riff, wav, write
from tests.hypothesis_profiles import examples
from tests.support import require

if TYPE_CHECKING:
    from pathlib import Path

AUDIO = pcm16(4800)
DATA = chunk(b"data", AUDIO)
XING = b"\xff\xfb\x90\x64" + bytes(32) + b"Xing" + struct.pack(">III", 3, 100, 50_000) + bytes(900)

BAD = {
    "empty": (b"", EmptyBounce, "0 bytes"),
    "text": (b"hello world, this is no audio", NotAudio, "starts with 'hello wo', not with RIFF"),
    "binary": (bytes(range(200, 240)), NotAudio, "starts with bytes c8 c9"),
    "one byte": (b"R", NotAudio, "starts with 'R'"),
    "no WAVE": (wav().replace(b"WAVE", b"EVAW", 1), NotAudio, "no RIFF/WAVE header"),
    "m4a": (b"\0\0\0\x20ftypM4A " + bytes(64), TruncatedBounce, "no moov box"),
    "wavpack": (b"wvpk" + bytes(64), NotAudio, "no WavPack block"),
    "AVI": (b"RIFF\0\1\0\0AVI " + bytes(64), UnsupportedBounce, "an AVI file"),
    "no fmt": (riff(DATA), NotAudio, "without fmt chunk"),
    "short fmt": (riff(chunk(b"fmt ", bytes(4)), DATA), NotAudio, "too short"),
    "broken list": (riff(fmt(), b"\0\0\0\0", bytes(40)), NotAudio, "no chunk begins at byte 36"),
    "no data": (riff(fmt()), NoFrames, "no data chunk"),
    "header only": (riff(fmt(), chunk(b"data", b"")), NoFrames, "without audio"),
    "header and text": (riff(fmt(), chunk(b"data", b""), chunk(b"iXML", b"<a/>")), NoFrames, ""),
    "half a frame": (riff(fmt(), chunk(b"data", b"\0\0")), NoFrames, "without audio"),
    "cut off": (wav()[:-100], TruncatedBounce, "claims 19,200 bytes of audio, 19,100 are there"),
    "cut at header": (wav()[:30], TruncatedBounce, "before its audio begins"),
    "still rendering": (
        riff(fmt(), chunk(b"data", AUDIO, size=0), size=36),
        TruncatedBounce,
        "no audio yet, but 19,200 bytes follow",
    ),
    "still rendering, zero": (
        riff(fmt(), chunk(b"data", AUDIO, size=0), size=0),
        TruncatedBounce,
        "let the render finish",
    ),
    "RF64 still rendering": (
        riff(ds64(0, 0, 0), fmt(), chunk(b"data", AUDIO, size=0xFFFFFFFF), magic=b"RF64", size=0),
        TruncatedBounce,
        "no audio yet",
    ),
    "RF64 cut off": (
        riff(
            ds64(1 << 40, 1 << 40, 1 << 38),
            fmt(),
            chunk(b"data", AUDIO, size=0xFFFFFFFF),
            magic=b"RF64",
            size=0xFFFFFFFF,
        ),
        TruncatedBounce,
        "claims 1,099,511,627,776 bytes",
    ),
    "no channels": (riff(fmt(channels=0), DATA), UnsupportedBounce, "0 channels"),
    "121 channels": (riff(fmt(541_000_000, 121), DATA), UnsupportedBounce, "121 channels"),
    "rate too low": (riff(fmt(7_999), DATA), UnsupportedBounce, "7,999 Hz"),
    "rate too high": (riff(fmt(192_001), DATA), UnsupportedBounce, "192,001 Hz"),
    "64-bit integers": (riff(fmt(bits=64), DATA), UnsupportedBounce, "64-bit integer audio"),
    "16-bit float": (riff(fmt(bits=16, tag=3), DATA), UnsupportedBounce, "16-bit float audio"),
    "24 in 4 bytes": (
        riff(fmt(bits=24, block_bytes=8), DATA),
        UnsupportedBounce,
        "24-bit values in 4 bytes each",
    ),
    "MP3 in WAV": (riff(fmt(bits=0, tag=0x55), DATA), NotAudio, "no MPEG audio frame"),
    "WMA in WAV": (
        riff(fmt(bits=0, tag=0x161), DATA),
        UnsupportedBounce,
        "a WAV file with Windows Media Audio in it",
    ),
    "many chunks": (riff(*[chunk(b"JUNK", b"")] * 1025), UnsupportedBounce, "more than 1024"),
    "FLAC without info": (b"fLaC\x84\0\0\0" + bytes(99), NotAudio, "without STREAMINFO"),
    "AU cut off": (b".snd" + struct.pack(">5I", 24, 9000, 3, 48000, 1), TruncatedBounce, "9,000"),
    "AU unfinished": (
        b".snd" + struct.pack(">5I", 24, 0, 3, 48000, 1) + AUDIO,
        TruncatedBounce,
        "no audio yet",
    ),
    "MP3 cut off": (XING, TruncatedBounce, "claims 50,000 bytes"),
    "ID3 alone": (b"ID3\4\0\0\0\0\0\x0a" + bytes(10), NoFrames, "a tag without audio"),
}


@pytest.mark.parametrize(("data", "error", "words"), BAD.values(), ids=BAD.keys())
def test_bad_bounce(tmp_path: Path, data: bytes, error: type[BounceError], words: str) -> None:
    path = write(tmp_path, data)
    with pytest.raises(error) as raised:
        probe(path)
    assert type(raised.value) is error
    assert words in str(raised.value)
    assert "\n" not in raised.value.args[0]


@pytest.mark.parametrize("name", ["AIFF", "CAF", "W64", "OGG", "FLAC"])
@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_cut_off_container(tmp_path: Path, name: str, kept: float) -> None:
    path = tmp_path / "bounce"
    subtype = {"OGG": "VORBIS"}.get(name, "PCM_24")
    soundfile.write(path, noise(2, 30_000).T, 48_000, format=name, subtype=subtype)
    assert probe(path).frames == 30_000
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    if name == "FLAC" and kept == 0.999:  # its frames state no bytes: the decoder finds out
        assert probe(path).frames == 30_000
    else:
        with pytest.raises(TruncatedBounce, match="cut off"):
            probe(path)


def test_cut_off_mp3(tmp_path: Path) -> None:
    path = tmp_path / "bounce.mp3"
    soundfile.write(path, noise(2, 96_000).T, 48_000, format="MP3", subtype="MPEG_LAYER_III")
    whole = path.read_bytes()
    assert probe(path).frames == 96_000
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TruncatedBounce, match="cut off"):
        probe(path)


def test_unfinished_aiff(tmp_path: Path) -> None:
    path = tmp_path / "bounce.aiff"
    soundfile.write(path, noise(2, 4800).T, 48_000, format="AIFF", subtype="PCM_24")
    data = bytearray(path.read_bytes())
    data[4:8] = bytes(4)
    at = data.index(b"SSND") + 4
    data[at : at + 4] = struct.pack(">I", 8)
    path.write_bytes(data)
    with pytest.raises(TruncatedBounce, match="no audio yet, but 28,800 bytes"):
        probe(path)


GOOD = {
    "plain": wav(),
    "shortest": wav(1),
    "8 kHz": wav(rate_hz=8_000),
    "192 kHz": wav(rate_hz=192_000),
    "BW64": riff(ds64(0, len(AUDIO), 4800), fmt(), DATA, magic=b"BW64", size=0xFFFFFFFF),
    "RF64": riff(
        ds64(0, len(AUDIO), 4800),
        fmt(),
        chunk(b"data", AUDIO, size=0xFFFFFFFF),
        magic=b"RF64",
        size=0xFFFFFFFF,
    ),
    "RF64 without ds64": riff(fmt(), DATA, magic=b"RF64"),
    "RIFX": riff(
        fmt(order=">"),
        chunk(b"data", pcm16(4800, order=">"), order=">"),
        magic=b"RIFX",
    ),
    "written into a pipe": riff(fmt(), chunk(b"data", AUDIO, size=0xFFFFFFFF), size=0xFFFFFFFF),
    "RIFF size forgotten": riff(fmt(), DATA, size=36),
    "chunk behind the RIFF size": riff(fmt(), DATA, size=36 + len(AUDIO)) + chunk(b"cue ", b""),
    "garbage at the end": wav() + bytes(33),
    "odd chunk without pad": riff(chunk(b"note", b"odd")[:-1], fmt(), DATA),
    "part of a frame": riff(fmt(), chunk(b"data", AUDIO + b"\0\0\0")),
    "64 channels": wav(4800, channels=MAX_CHANNELS),
}


@pytest.mark.parametrize("data", GOOD.values(), ids=GOOD.keys())
def test_good_bounce(tmp_path: Path, data: bytes) -> None:
    info = probe(write(tmp_path, data))
    expected = 1 if data == GOOD["shortest"] else 4800
    assert (info.frames, info.subtype) == (expected, "PCM_16")


@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        ("AIFF", "PCM_24"),
        ("CAF", "FLOAT"),
        ("CAF", "ALAC_24"),
        ("AU", "PCM_16"),
        ("W64", "PCM_24"),
        ("FLAC", "PCM_24"),
        ("OGG", "VORBIS"),
        ("RF64", "FLOAT"),
        ("WAV", "IMA_ADPCM"),
    ],
)
def test_container(tmp_path: Path, container: str, subtype: str) -> None:
    path = tmp_path / "bounce.raw"  # the name says nothing
    soundfile.write(path, noise(2, 9000).T, 44_100, format=container, subtype=subtype)
    info = probe(path)
    assert info.frames == soundfile.info(str(path.rename(tmp_path / "bounce.x"))).frames
    assert (info.container, info.subtype, info.rate_hz) == (container, subtype, 44_100)


@pytest.mark.parametrize("lost_bytes", [1 << 32, 2 << 32])
def test_above_4_gib_with_wrapped_sizes(tmp_path: Path, lost_bytes: int) -> None:
    """Some writers let the 32-bit sizes wrap around; the audio beyond must not be lost."""
    path = write(tmp_path, riff(fmt(), DATA))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + lost_bytes)  # sparse: takes no space
    assert probe(path).frames == 4800 + lost_bytes // 4


def test_flac_of_unknown_length(tmp_path: Path) -> None:
    path = tmp_path / "bounce.flac"
    soundfile.write(path, noise(2, 9000).T, 44_100, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert probe(path).frames is None
    with path.open("rb") as file:
        head = flac.read_head(file, 0)
        assert head is not None
        assert flac.scan(file, head) == flac.FrameScan(9000, None)


def test_audio_that_looks_like_a_flac_frame(tmp_path: Path) -> None:
    """A header with a right CRC-8 but a number out of turn, at another rate, changes nothing."""
    path = tmp_path / "bounce.flac"
    soundfile.write(path, noise(2, 9000).T, 44_100, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    false_header = b"\xff\xf8\xc4\x18\x7f"  # 4096 frames, 8 kHz, stereo, 16 bit, number 127
    crc = 0
    for byte in false_header:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x107) if crc & 0x80 else crc << 1
    data[-3000:-2994] = false_header + bytes([crc])
    path.write_bytes(data)
    with path.open("rb") as file:
        head = flac.read_head(file, 0)
        assert head is not None
        header = flac.parse_frame_header(bytes(data[-3000:-2984]), head)
        assert header == flac.FrameHeader(127, 4096, 8_000, 2, 16)
        assert flac.scan(file, head) == flac.FrameScan(9000, None)


def test_flac_that_holds_more_than_it_says(tmp_path: Path) -> None:
    path = tmp_path / "bounce.flac"
    soundfile.write(path, noise(2, 90_000).T, 44_100, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    data[22:26] = struct.pack(">I", 40_000)
    path.write_bytes(data)
    with pytest.raises(UnsupportedBounce, match="says 40,000 frames, but 90,000 follow"):
        probe(path)


def test_a_flac_of_32_bits(tmp_path: Path) -> None:
    """It has been in the format since 2022; libsndfile says only that it fails."""
    path = tmp_path / "bounce.flac"
    soundfile.write(path, noise(2, 9000).T, 44_100, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    data[20] |= 1  # the highest of five bits of depth
    data[21] |= 0xF0
    path.write_bytes(data)
    with pytest.raises(UnsupportedBounce, match="a FLAC of 32 bits, which is not read"):
        probe(path)


def test_flac_behind_an_id3_tag(tmp_path: Path) -> None:
    path = tmp_path / "bounce.flac"
    soundfile.write(path, noise(6, 9000).T, 44_100, subtype="PCM_16")
    path.write_bytes(b"ID3\4\0\0\0\0\0\x0a" + bytes(10) + path.read_bytes())
    info = probe(path)
    assert (info.container, info.frames, info.channel_mask) == ("FLAC", 9000, 0x3F)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BounceChanged, match="gone") as raised:
        probe(tmp_path / "missing.wav")
    assert raised.value.retryable
    with pytest.raises(NotAudio, match="not a file"):
        probe(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.wav")
        with pytest.raises(NotAudio, match="not a file"):  # opening it would block for ever
            probe(tmp_path / "pipe.wav")


def test_time_reference_of_real_recorders() -> None:
    """Past 2**31 frames, where a signed reader goes wrong."""
    folder = require.corpus() / "iluvcapra__wavinfo"
    assert probe(folder / "A101_1_1.WAV").time_reference == 2_190_940_753
    assert probe(folder / "STE-000.wav").time_reference == 3_094_800_000


@settings(max_examples=examples(300), deadline=5000)
@given(data=st.data())
def test_any_header_ends_as_info_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    start = data.draw(st.sampled_from([GOOD["plain"], GOOD["RF64"], GOOD["RIFX"], GOOD["BW64"]]))
    mutated = bytearray(start)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, 90))
        mutated[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    path = write(tmp_path_factory.getbasetemp(), bytes(mutated), "mutated.wav")
    try:
        info = probe(path)
    except BounceError:
        return
    assert info.frames is not None
    assert info.frames * info.channels <= len(mutated) * 2  # two values per byte: 4-bit ADPCM
