"""Damaged bounces: what is refused, what is accepted when asked for, and what a lie costs."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from bridge.audio.decode import Decoder, survey
from bridge.audio.leniency import Leniency
from bridge.audio.probe import MOST_FRAMES_PER_BYTE, probe
from bridge.errors import BounceError, NonFiniteBounce, TruncatedBounce, UnsupportedBounce
from tests.audio_files import chunk, ds64, fmt, noise, pcm16, riff, wav, write
from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.audio.decode import SurveyResult

CUT = Leniency(accept_truncated=True)
REPAIR = Leniency(repair=True)


def surveyed(path: Path, leniency: Leniency) -> SurveyResult:
    return survey(Decoder(path, probe(path, leniency), leniency=leniency))


# Cut off


PCM = [
    ("WAV", "PCM_24"),
    ("RF64", "FLOAT"),
    ("AIFF", "PCM_24"),
    ("AU", "PCM_16"),
    ("W64", "PCM_24"),
]


@pytest.mark.parametrize(("container", "subtype"), PCM)
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_cut_file_is_read_to_its_end(
    tmp_path: Path, container: str, subtype: str, kept: float
) -> None:
    path, frames = tmp_path / "bounce", 50_000
    soundfile.write(path, noise(2, frames).T, 48_000, format=container, subtype=subtype)
    whole = surveyed(path, CUT)
    assert (whole.frames, whole.truncated, whole.claimed_frames) == (frames, False, None)
    assert list(whole.all_warnings()) == []
    samples, _ = soundfile.read(path, dtype="float32")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(TruncatedBounce, match="--accept-truncated"):
        probe(path)
    found = surveyed(path, CUT)
    assert abs(found.frames - kept * frames) < 50
    assert (found.truncated, found.claimed_frames) == (True, frames)
    assert list(found.all_warnings()) == [
        f"cut off: its header promises 50,000 frames, {found.frames:,} frames were there"
    ]
    decoded = np.concatenate(list(Decoder(path, probe(path, CUT), leniency=CUT)), axis=1)
    assert np.array_equal(decoded.T, samples[: found.frames])


@pytest.mark.parametrize(
    ("container", "subtype", "lost_frames"),
    [("FLAC", "PCM_16", 8192), ("OGG", "VORBIS", 12_000), ("MP3", "MPEG_LAYER_III", 3000)],
)
def test_a_cut_compressed_file_is_read_to_its_last_whole_part(
    tmp_path: Path, container: str, subtype: str, lost_frames: int
) -> None:
    path = tmp_path / "bounce"
    soundfile.write(path, noise(2, 100_000).T, 48_000, format=container, subtype=subtype)
    assert not surveyed(path, CUT).truncated
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    with pytest.raises(TruncatedBounce, match="cut off"):
        probe(path)
    found = surveyed(path, CUT)
    assert found.truncated
    assert 60_000 - lost_frames <= found.frames <= 61_000
    assert found.claimed_frames == (None if container == "OGG" else 100_000)


def test_a_flac_cut_within_its_last_frame(tmp_path: Path) -> None:
    """The frame headers are all there: only decoding tells."""
    path = tmp_path / "bounce.flac"
    soundfile.write(path, noise(2, 100_000).T, 48_000, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BounceError, match=r"damaged|cut off"):
        surveyed(path, Leniency())
    found = surveyed(path, CUT)
    assert (found.frames, found.claimed_frames) == (98_304, 100_000)


def test_a_flac_with_a_hole_is_damaged_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "bounce.flac"
    soundfile.write(path, noise(2, 100_000).T, 48_000, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40_000] = bytes(40_000)
    path.write_bytes(data)
    with pytest.raises(BounceError, match="damaged"):
        surveyed(path, CUT)


def test_a_header_that_was_never_finished(tmp_path: Path) -> None:
    """A DAW that crashed while it rendered: the sizes are still zero."""
    audio = pcm16(4800)
    path = write(tmp_path, riff(fmt(), chunk(b"data", audio, size=0), size=36))
    found = surveyed(path, CUT)
    assert (found.frames, found.truncated, found.claimed_frames) == (4800, True, None)
    assert list(found.all_warnings()) == [
        "cut off: its header promises more, 4,800 frames were there"
    ]


@pytest.mark.parametrize(
    "data",
    [wav()[:30], wav()[:44], riff(fmt()), riff(fmt(), chunk(b"data", b"")), b"", wav()[:47]],
    ids=["in fmt", "at data", "no data", "empty data", "empty", "part of a frame"],
)
def test_without_audio_there_is_nothing_to_accept(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(BounceError):
        surveyed(write(tmp_path, data), CUT)


# NaN


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_nan_is_replaced_with_repair(tmp_path: Path, subtype: str) -> None:
    path, audio = tmp_path / "bounce.wav", noise(2, 90_000)
    bad = audio.copy()
    bad[0, 65_530:65_550] = np.nan  # across two blocks, short
    bad[1, 70_000:80_000] = np.inf  # long
    soundfile.write(path, bad.T, 48_000, subtype=subtype)
    with pytest.raises(NonFiniteBounce, match=r"frame 65,530; .* or use --repair"):
        surveyed(path, CUT)
    decoder = Decoder(path, probe(path, REPAIR), leniency=REPAIR)
    found = survey(decoder)
    assert (found.frames, found.repaired_values) == (90_000, 10_020)
    assert (
        "repaired: values that were NaN, Inf or beyond +120 dBFS: 10,020; gaps of up to 2 ms"
        in "".join(found.all_warnings())
    )
    mended = np.concatenate(list(decoder), axis=1)
    assert np.isfinite(mended).all()
    assert not mended[1, 70_000:80_000].any()
    ends = (bad[0, 65_529], bad[0, 65_550])
    assert (
        min(ends) <= mended[0, 65_530:65_550].min() <= mended[0, 65_530:65_550].max() <= max(ends)
    )
    good = np.isfinite(bad)
    assert np.array_equal(mended[good], audio[good])


def test_options_without_damage_give_no_warnings(tmp_path: Path) -> None:
    both = Leniency(accept_truncated=True, repair=True)
    audio = noise(2, 48_000)
    soundfile.write(tmp_path / "good.wav", audio.T, 48_000, subtype="FLOAT")
    found = surveyed(tmp_path / "good.wav", both)
    assert (found.truncated, found.repaired_values, list(found.all_warnings())) == (False, 0, [])
    audio[0, 100] = np.nan
    soundfile.write(tmp_path / "bad.wav", audio.T, 48_000, subtype="FLOAT")
    data = (tmp_path / "bad.wav").read_bytes()
    (tmp_path / "bad.wav").write_bytes(data[: len(data) // 2])
    found = surveyed(tmp_path / "bad.wav", both)
    assert (found.truncated, found.repaired_values) == (True, 1)


# What a lie costs

GIGA = 1 << 32
SHORT = pcm16(100)


def _flac(frames: int) -> bytes:
    packed = 48_000 << 44 | 1 << 41 | 15 << 36 | frames
    info = struct.pack(">HH6x", 4096, 4096) + packed.to_bytes(8, "big") + bytes(16)
    return b"fLaC\x80\0\0\x22" + info + b"\xff\xf8\xc9\x18\0\xc2" + bytes(500)


def _aiff(size: int) -> bytes:
    rate = b"\x40\x0e\xbb\x80" + bytes(6)  # 48,000 as an 80-bit float
    comm = struct.pack(">hIh", 2, 0x3FFFFFFF, 16) + rate
    body = b"AIFF" + chunk(b"COMM", comm, order=">")
    body += chunk(b"SSND", bytes(8) + SHORT, size=size, order=">")
    return b"FORM" + struct.pack(">I", size) + body


def _caf(size: int) -> bytes:
    desc = struct.pack(">d4sIIIII", 48_000.0, b"lpcm", 0, 4, 1, 2, 16)
    head = b"caff\0\1\0\0desc" + struct.pack(">q", 32) + desc
    return head + b"data" + struct.pack(">qI", size, 0) + SHORT


def _w64(size: int) -> bytes:
    tail = bytes.fromhex("f3acd3118cd100c04f8edb8a")
    form = b"fmt " + tail + struct.pack("<Q", 40) + fmt()[8:]
    data = b"data" + tail + struct.pack("<Q", size) + SHORT
    head = bytes.fromhex("726966662e91cf11a5d628db04c10000") + struct.pack("<Q", size)
    return head + b"wave" + tail + form + data


def _ogg(granule: int) -> bytes:
    import io

    out = io.BytesIO()
    soundfile.write(out, noise(1, 200).T, 48_000, format="OGG", subtype="VORBIS")
    data = bytearray(out.getvalue())
    last = data.rindex(b"OggS")
    data[last + 6 : last + 14] = granule.to_bytes(8, "little")
    return bytes(data)


LIES = {
    "WAV": riff(fmt(), chunk(b"data", SHORT, size=0xFFFFFFF0), size=0xFFFFFFF8),
    "WAV, chunk": riff(chunk(b"bext", b"x", size=0xFFFFFF00), fmt(), chunk(b"data", SHORT)),
    "RF64": riff(
        ds64(1 << 50, 1 << 50, 1 << 48),
        fmt(),
        chunk(b"data", SHORT, size=0xFFFFFFFF),
        magic=b"RF64",
        size=0xFFFFFFFF,
    ),
    "RIFX": riff(fmt(order=">"), chunk(b"data", SHORT, size=0xFFFFFFF0, order=">"), magic=b"RIFX"),
    "WAV, ADPCM": riff(
        fmt(bits=4, tag=0x11, block_bytes=0xFFFF),
        chunk(b"fact", struct.pack("<I", 0xFFFFFFFF)),
        chunk(b"data", SHORT, size=0xFFFFFFF0),
    ),
    "AIFF": _aiff(0x7FFFFFFF),
    "AU": b".snd" + struct.pack(">5I", 24, 0xFFFFFFF0, 3, 48_000, 2) + SHORT,
    "CAF": _caf(1 << 50),
    "W64": _w64(1 << 50),
    "FLAC": _flac((1 << 36) - 1),
    "FLAC, metadata": b"fLaC\x04\xff\xff\xff" + bytes(500),
    "OGG": _ogg(1 << 45),
    "ID3": b"ID3\4\0\0\x7f\x7f\x7f\x7f" + bytes(500),
    "MP3": b"\xff\xfb\x90\x64" + bytes(32) + b"Xing" + struct.pack(">III", 3, 1 << 31, 1 << 31),
}

JUDGE = """
import json, sys
from pathlib import Path
from bridge.audio.decode import Decoder, survey
from bridge.audio.leniency import Leniency
from bridge.audio.probe import probe
from bridge.errors import BounceError
from tests.audio_files import _peak_mib
errors, before_mib = [], _peak_mib()
for name in sys.argv[1:]:
    for leniency in (Leniency(), Leniency(accept_truncated=True, repair=True)):
        try:
            survey(Decoder(Path(name), probe(Path(name), leniency), leniency=leniency))
        except BounceError:
            errors += [] if leniency.repair else [name]
print(json.dumps({"errors": errors, "grown_mib": _peak_mib() - before_mib}))
"""


def test_a_small_file_that_claims_gigabytes_costs_nothing(tmp_path: Path) -> None:
    """All containers in one process, strict and lenient: its memory hardly grows."""
    paths = []
    for number, data in enumerate(LIES.values()):
        assert len(data) < 8000
        paths.append(str(write(tmp_path, data, f"{number}.wav")))
    run = subprocess.run(
        [sys.executable, "-c", JUDGE, *paths],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    result = json.loads(run.stdout)
    assert sorted(result["errors"]) == sorted(paths), "a false length was accepted"
    assert result["grown_mib"] < 50


@pytest.mark.parametrize("name", LIES)
def test_impossible_lengths_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BounceError) as caught:
        surveyed(write(tmp_path, LIES[name]), Leniency())
    assert "\n" not in str(caught.value)
    expected = {
        "WAV, chunk": "no-frames",
        "FLAC, metadata": "not-audio",
        "OGG": "bounce",  # the checksum of its last page is wrong, too
    }
    assert caught.value.code == expected.get(name, "truncated"), str(caught.value)


def test_frames_that_no_codec_could_hold(tmp_path: Path) -> None:
    """FLAC states no bytes: silence is small, but not as small as this."""
    path = tmp_path / "bounce.flac"
    soundfile.write(path, np.zeros((2_000_000, 1)), 48_000, subtype="PCM_16")
    assert probe(path).frames == 2_000_000  # 300 frames to the byte
    data = bytearray(path.read_bytes())
    frames = MOST_FRAMES_PER_BYTE * len(data) + 1
    data[21] |= frames >> 32 & 15
    data[22:26] = (frames & 0xFFFFFFFF).to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises(TruncatedBounce, match="claims"):
        probe(path)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("rate_hz", "channels", "words"),
    [(7_999, 2, "7,999 Hz"), (192_001, 2, "192,001 Hz"), (48_000, 65, "65 channels")],
)
def test_limits_hold_in_every_container(
    tmp_path: Path, rate_hz: int, channels: int, words: str, order: str
) -> None:
    audio = pcm16(2000, channels)
    magic = b"RIFX" if order == ">" else b"RIFF"
    files = {
        "wav": riff(
            fmt(rate_hz, channels, order=order), chunk(b"data", audio, order=order), magic=magic
        ),
        "au": b".snd" + struct.pack(">5I", 24, len(audio), 3, rate_hz, channels) + audio,
    }
    for container in ("AIFF", "CAF", "W64"):
        soundfile.write(
            tmp_path / container,
            noise(channels, 2000).T,
            rate_hz,
            format=container,
            subtype="PCM_16",
        )
        files[container] = (tmp_path / container).read_bytes()
    if channels <= 8:
        packed = rate_hz << 44 | (channels - 1) << 41 | 15 << 36 | 2000
        flac = bytearray(LIES["FLAC"])
        flac[18:26] = packed.to_bytes(8, "big")
        files["flac"] = bytes(flac)
    for name, data in files.items():
        with pytest.raises(UnsupportedBounce, match=words):
            probe(write(tmp_path, data, f"{name}.x"))
