"""Delay, padding and length in the headers of coded files, and their plausibility checks."""

from __future__ import annotations

import struct
import subprocess
import sys
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.audio.leniency import Leniency
from bridge.audio.libav import CodedReader
from bridge.audio.streams import adts, asf, mpeg, ogg_codecs
from bridge.errors import TruncatedBounce, UnsupportedBounce
from tests.coded_files import Outcome, assert_whole, encoded, outcome, sweep
from tests.hypothesis_profiles import examples
from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.coded_files import Wave

RATE_HZ = 48_000
FRAMES = 30_011
XING_AT = 4 + 32  # in the first frame: behind the header and the side information of stereo
LAME_AT = XING_AT + 120


@cache
def wave() -> Wave:
    """What is encoded."""
    return sweep(RATE_HZ, 2, FRAMES)


def file(path: Path, codec: str, container: str, **muxing: str) -> bytearray:
    """The sweep, encoded."""
    return bytearray(encoded(path, wave(), RATE_HZ, codec, container, muxing=muxing).read_bytes())


def kept(path: Path, data: bytes, leniency: Leniency | None = None) -> Outcome:
    """What becomes of these bytes."""
    path.write_bytes(data)
    return outcome(path, leniency or Leniency())


def mp3(path: Path, *, xing: bool = True) -> bytearray:
    """The sweep as an MP3 without ID3 tag."""
    return file(path, "libmp3lame", "mp3", id3v2_version="0", write_xing=str(int(xing)))


# MPEG audio


@pytest.mark.parametrize("change", [0, 1, -3, -20])
def test_a_frame_count_of_a_xing_header_that_is_wrong(tmp_path: Path, change: int) -> None:
    """One too many is that frame itself; where more follows, all of it is read, untrimmed."""
    data = mp3(tmp_path / "a.mp3")
    count = int.from_bytes(data[XING_AT + 8 : XING_AT + 12], "big")
    data[XING_AT + 8 : XING_AT + 12] = (count + change).to_bytes(4, "big")
    found = kept(tmp_path / "a.mp3", data)
    assert found.refusal is None, found.refusal
    assert_whole(found, wave(), padding_frames=2304 if change else 0)


def test_a_xing_header_that_announces_more_is_a_cut_file(tmp_path: Path) -> None:
    data = mp3(tmp_path / "a.mp3")
    count = int.from_bytes(data[XING_AT + 8 : XING_AT + 12], "big")
    data[XING_AT + 8 : XING_AT + 12] = (count + 9).to_bytes(4, "big")
    found = kept(tmp_path / "a.mp3", data)
    assert isinstance(found.refusal, TruncatedBounce)
    taken = kept(tmp_path / "a.mp3", data, Leniency(accept_truncated=True))
    assert taken.frames >= FRAMES
    assert "cut off: its header promises" in taken.warnings[0]


def test_a_xing_header_without_an_encoders_name(tmp_path: Path) -> None:
    """Then only the decoder's delay is left out, as mpg123 has it."""
    data = mp3(tmp_path / "a.mp3")
    data[LAME_AT : LAME_AT + 24] = bytes(24)
    found = kept(tmp_path / "a.mp3", data)
    assert_whole(found, wave(), delay_frames=576, padding_frames=2304)


def test_an_information_frame_of_fraunhofer_is_no_sound(tmp_path: Path) -> None:
    plain = mp3(tmp_path / "a.mp3", xing=False)
    head = bytes(plain[:4])
    header = mpeg.parse(head)
    assert header
    frame = bytearray(head.ljust(header.size_bytes, b"\0"))
    frame[36:58] = b"VBRI" + struct.pack(">HHHIIHH", 1, 0, 80, len(plain), 26, 0, 0)
    without, found = kept(tmp_path / "a.mp3", plain), kept(tmp_path / "a.mp3", frame + plain)
    assert found.refusal is None
    assert np.array_equal(found.sound, without.sound)


def test_free_format_is_refused_by_its_name(tmp_path: Path) -> None:
    data = b"".join(b"\xff\xfb\x00\x40" + bytes(900) for _ in range(20))
    found = kept(tmp_path / "a.mp3", data)
    assert isinstance(found.refusal, UnsupportedBounce)
    assert "free-format" in str(found.refusal)


def test_each_joined_file_is_trimmed_by_itself(tmp_path: Path) -> None:
    data = mp3(tmp_path / "a.mp3")
    found = kept(tmp_path / "a.mp3", data + data + data)
    assert found.frames == 3 * FRAMES
    for number in range(3):
        part = found.sound[:, number * FRAMES : (number + 1) * FRAMES]
        assert_whole(Outcome(sound=part), wave())


# MP4


def box(name: bytes, *parts: bytes) -> bytes:
    """A box of an MP4."""
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), name) + body


def edited(data: bytes, edits: list[tuple[int, int]], timescale: int) -> bytes:
    """A file whose moov is its last box, with another edit list and another movie time scale.

    edits: durations in that scale, and media times, -1 for silence.
    """
    at = data.rindex(b"moov") - 4
    moov = data[at + 8 :]
    rows = b"".join(struct.pack(">Iihh", duration, time, 1, 0) for duration, time in edits)
    table = box(b"edts", box(b"elst", struct.pack(">II", 0, len(edits)), rows))
    made = b""
    while moov:
        size, name = int.from_bytes(moov[:4], "big"), moov[4:8]
        body = moov[8:size]
        if name == b"mvhd":
            body = body[:12] + struct.pack(">I", timescale) + body[16:]
        if name == b"trak":
            body = _without(body, b"edts") + (table if edits else b"")
        made += box(name, body)
        moov = moov[size:]
    return data[:at] + box(b"moov", made)


def _without(data: bytes, name: bytes) -> bytes:
    made = b""
    while data:
        size = int.from_bytes(data[:4], "big")
        made += data[:size] if data[4:8] != name else b""
        data = data[size:]
    return made


@settings(max_examples=examples(60))
@given(
    timescale=st.sampled_from([600, 1000, 44_100, 48_000, 90_000]),
    silence=st.integers(0, 5_000),
    start=st.integers(0, FRAMES - 1_000),
    share=st.floats(0.01, 1.2),
)
def test_an_edit_list_says_what_is_heard(
    tmp_path_factory: pytest.TempPathFactory, timescale: int, silence: int, start: int, share: float
) -> None:
    path = tmp_path_factory.mktemp("edit") / "a.mov"
    data = bytes(file(path, "pcm_s16le", "mov"))
    tick = -(-RATE_HZ // timescale)
    duration = max(round((FRAMES - start) * share * timescale / RATE_HZ), 1)
    lead = round(silence * timescale / RATE_HZ)
    edits = [*([(lead, -1)] if lead else []), (duration, start)]
    found = kept(path, edited(data, edits, timescale))
    assert found.refusal is None, found.refusal
    before = round(lead * RATE_HZ / timescale)
    wanted = min(duration * RATE_HZ / timescale, FRAMES - start)
    assert not found.sound[:, :before].any()
    sound = found.sound[:, before:]
    assert abs(sound.shape[1] - wanted) <= tick
    whole = kept(path, edited(data, [], timescale)).sound
    assert np.array_equal(sound, whole[:, start : start + sound.shape[1]])


@pytest.mark.parametrize(
    ("edits", "reason"),
    [
        ([(1000, 0), (1000, 20_000)], "from 2 pieces"),
        ([(1000, 20_000), (1000, 0)], "from 2 pieces"),
        ([(1000, 0), (1000, -1), (1000, 1000)], "from 3 pieces"),
    ],
)
def test_sound_that_is_put_together_is_refused(
    tmp_path: Path, edits: list[tuple[int, int]], reason: str
) -> None:
    path = tmp_path / "a.mov"
    found = kept(path, edited(bytes(file(path, "pcm_s16le", "mov")), edits, RATE_HZ))
    assert reason in str(found.refusal)


def test_pieces_that_follow_each_other_are_one(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    data = bytes(file(path, "pcm_s16le", "mov"))
    found = kept(path, edited(data, [(1000, 500), (2000, 1500)], RATE_HZ))
    assert np.array_equal(found.sound, kept(path, edited(data, [], 600)).sound[:, 500:3500])


def test_without_an_edit_list_itunes_is_believed_if_its_sums_are_right(tmp_path: Path) -> None:
    from mutagen import mp4

    path = tmp_path / "a.m4a"
    data = edited(bytes(file(path, "aac", "ipod")), [], 1000)
    plain = kept(path, data)
    assert plain.frames == 1024 + FRAMES
    whole = -(-plain.frames // 1024) * 1024
    for delay, found_frames in ((1024, FRAMES), (2112, plain.frames)):
        padding = whole - 1024 - FRAMES
        path.write_bytes(data)
        tags = mp4.MP4(path)
        text = f" 00000000 {delay:08X} {padding:08X} {FRAMES:016X} 00000000 00000000"
        tags["----:com.apple.iTunes:iTunSMPB"] = [mp4.MP4FreeForm(text.encode())]
        tags.save()
        assert outcome(path).frames == found_frames


def test_the_sound_of_a_protected_file_is_refused(tmp_path: Path) -> None:
    data = file(tmp_path / "a.m4a", "aac", "ipod")
    at = data.index(b"mp4a", data.index(b"stsd"))
    data[at : at + 4] = b"drms"
    assert "protected against copying" in str(kept(tmp_path / "a.m4a", data).refusal)


# Matroska


def test_a_packet_that_is_missing_in_a_matroska_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.mka"
    data = file(path, "aac", "matroska")
    assert kept(path, data).refusal is None
    cluster = data.index(b"\x1f\x43\xb6\x75")
    block = data.index(b"\xa3", cluster + 300)
    while not kept(path, data[:block] + b"\xec" + data[block + 1 :]).refusal:
        block = data.index(b"\xa3", block + 1)  # until it is the name of a block
    holed = data[:block] + b"\xec" + data[block + 1 :]  # void
    found = kept(path, holed)
    assert "time stamps" in str(found.refusal) or "damaged" in str(found.refusal)
    taken = kept(path, holed, Leniency(accept_truncated=True))
    assert taken.refusal or taken.warnings


# Ogg and Opus


@pytest.mark.parametrize(
    ("toc", "frames"),
    [
        (b"\x00", 480),  # SILK, 10 ms
        (b"\x18", 2880),
        (b"\x60", 480),  # hybrid
        (b"\x80", 120),  # CELT, 2.5 ms
        (b"\x98", 960),
        (b"\xf9", 1920),  # two frames
        (b"\xfb\x03", 2880),  # three, by the second byte
        (b"\xfb", 0),
        (b"", 0),
    ],
)
def test_frames_of_an_opus_packet(toc: bytes, frames: int) -> None:
    assert ogg_codecs.opus_frames(toc) == frames


@pytest.mark.parametrize("more", [-700, -1, 1, 5_000, 1 << 45])
def test_a_last_position_that_is_wrong(tmp_path: Path, more: int) -> None:
    """Too high: sound is missing. Too low by more than the last page: all is taken, and said."""
    path = tmp_path / "a.oga"
    data = file(path, "flac", "ogg", page_duration="100000")
    last = data.rindex(b"OggS")
    position = int.from_bytes(data[last + 6 : last + 14], "little") + more
    data[last + 6 : last + 14] = position.to_bytes(8, "little")
    data[last + 22 : last + 26] = bytes(4)
    data[last + 22 : last + 26] = crc(bytes(data[last:])).to_bytes(4, "little")
    found = kept(path, data)
    if more > 0:
        assert isinstance(found.refusal, TruncatedBounce)
    else:
        assert found.frames == FRAMES + more


def crc(page: bytes) -> int:
    """RFC 3533 section 6, bit by bit."""
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value


def test_a_page_that_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.oga"
    data = file(path, "flac", "ogg", page_duration="100000")
    pages = [at for at in range(len(data)) if data[at : at + 4] == b"OggS"]
    middle, following = pages[len(pages) // 2], pages[len(pages) // 2 + 1]
    assert "pages are missing" in str(kept(path, data[:middle] + data[following:]).refusal)
    data[middle + 60] ^= 1
    assert "checksum" in str(kept(path, data).refusal)


def test_pages_of_a_stream_whose_beginning_is_missing_are_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "a.oga"
    data = bytes(file(path, "flac", "ogg", page_duration="100000"))
    begun = data[data.index(b"OggS", data.index(b"OggS", 4) + 4) :]
    found = kept(path, begun + data)
    assert found.refusal is None, found.refusal
    assert found.frames == FRAMES
    assert found.warnings == (
        f"{len(begun):,} bytes of streams whose beginning is missing were left out",
    )


def test_a_link_that_is_short_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "a.oga"
    data = file(path, "flac", "ogg", page_duration="100000")
    whole = bytes(data)
    last = data.rindex(b"OggS")
    position = int.from_bytes(data[last + 6 : last + 14], "little") + 4_000
    data[last + 6 : last + 14] = position.to_bytes(8, "little")
    data[last + 22 : last + 26] = bytes(4)
    data[last + 22 : last + 26] = crc(bytes(data[last:])).to_bytes(4, "little")
    found = kept(path, bytes(data) + whole)
    assert found.frames == 2 * FRAMES
    assert found.warnings == (f"4,000 frames are missing before byte {len(data):,}",)


def test_a_stream_without_end_mark_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "a.oga"
    data = file(path, "flac", "ogg", page_duration="100000")
    found = kept(path, data[: data.rindex(b"OggS")])
    assert found.refusal or "no end mark" in found.warnings[-1]


# Windows Media


@pytest.mark.parametrize(
    ("packet", "payloads"),
    [
        # Error correction; no sizes; one payload with 8 bytes of replicated data.
        (
            b"\x82\0\0\x00\x5d" + bytes(6) + b"\x81\1" + bytes(4) + b"\x08" + bytes(8) + b"abc",
            3,
        ),
        # Without error correction; padding of 2, stated in one byte.
        (b"\x08\x5d\x02" + bytes(6) + b"\x01\1" + bytes(4) + b"\x08" + bytes(8) + b"abcde\0\0", 5),
    ],
)
def test_the_payloads_of_a_packet(packet: bytes, payloads: int) -> None:
    assert [*asf._of_packet(asf._Fields(packet))] == [(1, payloads)]


def test_several_payloads_and_those_of_small_objects() -> None:
    one = b"\x81\1" + bytes(4) + b"\x08" + bytes(8) + b"\x02\0" + b"ab"
    small = b"\x02\1" + bytes(4) + b"\x01\x05" + b"\x06\0" + b"\x02ab" + b"\x02cd"
    packet = b"\x01\x5d" + bytes(6) + b"\x82" + one + small
    assert [*asf._of_packet(asf._Fields(packet))] == [(1, 2), (2, 2), (2, 2)]


# Rates


def test_a_decoder_that_doubles_the_rate_doubles_every_length(tmp_path: Path) -> None:
    """As AAC does with spectral band replication; here the container states half the rate."""
    path = tmp_path / "a.aac"
    encoded(path, wave(), RATE_HZ, "aac", "adts")
    with path.open("rb") as opened:
        walk = adts.walk(opened, 0, path.stat().st_size)
        (run,) = walk.runs
        assert run.coded_frames
        halves = replace(
            run,
            rate_hz=RATE_HZ // 2,
            coded_frames=run.coded_frames // 2,
            skip_frames=512,
            frames=10_000,
            lead_frames=50,
        )
        source = CodedReader(replace(walk, runs=(halves,)))
        sound = source.read(100_000)
    assert (source.rate_hz, source.claimed_frames, sound.shape[1]) == (RATE_HZ, 20_100, 20_100)
    assert not sound[:, :100].any()
    assert_whole(Outcome(sound=sound[:, 100:]), wave()[:, :20_000])


def test_the_decoder_of_xhe_aac_is_not_run(tmp_path: Path) -> None:
    """It may state a layout of the channels that PyAV frees twice."""
    data = file(tmp_path / "a.m4a", "aac", "ipod")
    at = data.index(b"\x05\x80\x80\x80", data.index(b"esds")) + 5
    data[at : at + 2] = ((31 << 11) | (42 - 32) << 5).to_bytes(2, "big")
    assert "xHE-AAC" in str(kept(tmp_path / "a.m4a", data).refusal)


# What it costs


def test_ffmpegs_libraries_are_not_imported_before_they_are_needed() -> None:
    modules = "bridge.audio.probe, bridge.audio.metadata.stems, bridge.cli"
    code = f"import sys, {modules}; print('av' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"
