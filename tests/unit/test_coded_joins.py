"""Coded streams joined, cut, damaged, and with tags and other things in and around them."""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.audio.leniency import Leniency
from bridge.errors import TruncatedBounce
from tests.coded_files import (
    Outcome,
    assert_not_short_in_silence,
    assert_whole,
    encoded,
    outcome,
    sweep,
)
from tests.hypothesis_profiles import examples

if TYPE_CHECKING:
    from pathlib import Path

RATE_HZ = 48_000
FRAMES = 30_011
CUT = Leniency(accept_truncated=True)

# What each is encoded by: codec, container, options of both.
CODINGS: dict[str, tuple[str, str, dict[str, str], dict[str, str]]] = {
    "MP3 with Xing": ("libmp3lame", "mp3", {"q": "4"}, {"id3v2_version": "0"}),
    "MP3 without": ("libmp3lame", "mp3", {"q": "4"}, {"write_xing": "0", "id3v2_version": "0"}),
    "MP2": ("mp2", "mp2", {}, {}),
    "ADTS": ("aac", "adts", {}, {}),
    "AC-3": ("ac3", "ac3", {}, {}),
    "E-AC-3": ("eac3", "eac3", {}, {}),
    "Ogg Opus": ("libopus", "ogg", {}, {"page_duration": "100000"}),
    "Ogg FLAC": ("flac", "ogg", {}, {"page_duration": "100000"}),
    "WavPack": ("wavpack", "wv", {}, {}),
    "M4A": ("aac", "ipod", {}, {}),
    "M4A, moov in front": ("aac", "ipod", {}, {"movflags": "faststart"}),
    "ALAC": ("alac", "ipod", {}, {"movflags": "faststart"}),
    "MP4 in fragments": ("aac", "mp4", {}, {"movflags": "frag_keyframe+empty_moov"}),
    "MOV": ("pcm_s16le", "mov", {}, {}),
    "Matroska": ("aac", "matroska", {}, {"cluster_time_limit": "200"}),
    "WebM": ("libopus", "webm", {}, {"cluster_time_limit": "200"}),
    "WMA": ("wmav2", "asf", {"b": "192k"}, {}),
    "Transport stream": ("aac", "mpegts", {}, {}),
    "Camcorder": ("ac3", "mpegts", {}, {"mpegts_m2ts_mode": "1"}),
}
STREAMS = ("MP3 with Xing", "MP3 without", "MP2", "ADTS", "AC-3", "E-AC-3")
CHAINS = ("Ogg Opus", "Ogg FLAC", "WavPack")
CONTAINERS = ("M4A", "M4A, moov in front", "MOV", "Matroska", "WebM", "WMA")
LOSING = {"MP2", "AC-3", "E-AC-3", "Camcorder"}  # ffmpeg's encoders lose their delay at the end


@cache
def data(name: str, channels: int = 2, rate_hz: int = RATE_HZ) -> bytes:
    """One file."""
    import tempfile
    from pathlib import Path

    codec, container, options, muxing = CODINGS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "coded")
        wave = sweep(rate_hz, channels, FRAMES)
        encoded(path, wave, rate_hz, codec, container, options=options, muxing=muxing)
        return path.read_bytes()


def kept(folder: Path, content: bytes, leniency: Leniency | None = None) -> Outcome:
    """What becomes of these bytes."""
    path = folder / "bounce"
    path.write_bytes(content)
    return outcome(path, leniency or Leniency())


@cache
def whole_frames(name: str) -> int:
    """Of one file, decoded as it is; at least what was encoded."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        found = kept(Path(folder), data(name))
    assert found.refusal is None
    assert found.frames >= FRAMES or name in LOSING
    return found.frames


def id3(body_bytes: int) -> bytes:
    """An ID3v2 tag of nothing but padding."""
    size = bytes(body_bytes >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\4\0\0" + size + bytes(body_bytes)


def ape() -> bytes:
    """An APEv2 tag with one item, header and footer."""
    item = struct.pack("<II", 5, 0) + b"Title\0Hallo"
    fields = struct.pack("<III", 2000, len(item) + 32, 1)
    header = b"APETAGEX" + fields + struct.pack("<I", 0xA0000000) + bytes(8)
    return header + item + b"APETAGEX" + fields + struct.pack("<I", 0x80000000) + bytes(8)


LYRICS = b"LYRICSBEGINETT00005Hallo"
AROUND = {
    "id3": id3(777),
    "long id3": id3(70_000),
    "id3v1": b"TAG" + bytes(125),
    "ape": ape(),
    "lyrics": LYRICS + b"%06dLYRICS200" % len(LYRICS),
}
JUNK = np.random.default_rng(7).integers(1, 255, 4000).astype(np.uint8).tobytes()
HOLES = {"zeros": bytes(3000), "few zeros": bytes(5), "junk": JUNK}


@pytest.mark.parametrize("name", STREAMS)
@settings(max_examples=examples(40))
@given(
    parts=st.lists(st.sampled_from(["sound", *AROUND, *HOLES]), max_size=6),
    first=st.sampled_from(["", "id3", "long id3", "ape", "zeros", "few zeros"]),
)
def test_all_that_was_joined_is_there(
    tmp_path_factory: pytest.TempPathFactory, name: str, parts: list[str], first: str
) -> None:
    """Files and tags in any order; what is neither, between them, is warned of."""
    pieces = {"": b"", "sound": data(name), **AROUND, **HOLES}
    order = [first, "sound", *parts]
    found = kept(tmp_path_factory.mktemp("joined"), b"".join(pieces[part] for part in order))
    assert found.refusal is None, found.refusal
    assert found.frames == order.count("sound") * whole_frames(name)
    last = max(n for n, part in enumerate(order) if part == "sound")
    inside = [part for part in order[1:last] if part in HOLES]
    behind = ["junk" for part in order[last:] if part == "junk"]
    assert bool(found.warnings) == bool(inside or behind), found.warnings


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("count", [2, 3, 7])
def test_every_link_of_a_chain_is_there(tmp_path: Path, name: str, count: int) -> None:
    found = kept(tmp_path, count * data(name))
    assert found.refusal is None, found.refusal
    assert not found.warnings
    wave = sweep(RATE_HZ, 2, FRAMES)
    for number in range(count):
        link = found.sound[:, number * FRAMES : (number + 1) * FRAMES]
        assert_whole(Outcome(sound=link), wave)
    assert found.frames == count * FRAMES


@pytest.mark.parametrize(
    ("name", "other"),
    [
        (name, other)
        for name in (*STREAMS, *CHAINS)
        for other in ("channels", "rate")
        if (name, other) != ("Ogg Opus", "rate")  # Opus has one rate
    ],
)
def test_files_of_another_form_are_refused(tmp_path: Path, name: str, other: str) -> None:
    more = data(name, 1) if other == "channels" else data(name, 2, 44_100)
    found = kept(tmp_path, data(name) + more)
    assert found.refusal is not None
    assert "from 2 to 1" in str(found.refusal) or "from 48000 to 44100" in str(found.refusal)


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_that_were_joined_are_refused(tmp_path: Path, name: str) -> None:
    found = kept(tmp_path, 2 * data(name))
    assert "joined" in str(found.refusal)


@pytest.mark.parametrize("name", ["Transport stream", "Camcorder"])
def test_joined_transport_streams_are_all_there(tmp_path: Path, name: str) -> None:
    found = kept(tmp_path, 2 * data(name))
    assert found.refusal is None, found.refusal
    assert found.frames == 2 * whole_frames(name)
    assert found.warnings


@pytest.mark.parametrize("name", [*CHAINS, *CONTAINERS, "Transport stream", "Camcorder"])
@pytest.mark.parametrize("before", ["id3", "zeros"])
def test_a_tag_and_zeros_in_front_hide_nothing(tmp_path: Path, name: str, before: str) -> None:
    found = kept(tmp_path, {**AROUND, **HOLES}[before] + data(name))
    assert found.refusal is None, found.refusal
    assert found.frames == whole_frames(name)
    assert not found.warnings


@pytest.mark.parametrize("name", CODINGS)
@settings(max_examples=examples(30))
@given(share=st.floats(0.02, 0.999))
def test_a_cut_file_is_refused_or_taken_up_to_its_end(
    tmp_path_factory: pytest.TempPathFactory, name: str, share: float
) -> None:
    content = data(name)
    part = content[: int(len(content) * share)]
    folder = tmp_path_factory.mktemp("cut")
    strict = kept(folder, part)
    if name in STREAMS and strict.refusal is None and not strict.warnings:
        part = part[:-1]  # it was cut between two frames, which nothing can tell
        strict = kept(folder, part)
    assert_not_short_in_silence(strict, whole_frames(name))
    found = kept(folder, part, CUT)
    assert found.frames <= whole_frames(name)
    if found.refusal is None and found.frames < whole_frames(name):
        assert found.warnings
    if isinstance(found.refusal, TruncatedBounce):
        assert not found.refusal.present_bytes or found.frames == 0


@pytest.mark.parametrize("name", CODINGS)
@settings(max_examples=examples(30))
@given(
    damage=st.lists(
        st.tuples(st.floats(0, 0.9999), st.binary(min_size=1, max_size=40)), min_size=1, max_size=3
    )
)
def test_damage_is_an_error_of_the_bounce_and_hides_nothing(
    tmp_path_factory: pytest.TempPathFactory, name: str, damage: list[tuple[float, bytes]]
) -> None:
    """No other error, and never short without a word. What decodes to other values stays unseen."""
    content = bytearray(data(name))
    for place, garbage in damage:
        at = int(place * len(content))
        content[at : at + len(garbage)] = garbage[: len(content) - at]
    found = kept(tmp_path_factory.mktemp("damaged"), bytes(content))
    # One damaged packet may be read as a shorter one where only time stamps say how long it is.
    slack = 600 if name in {"Matroska", "WebM"} else 0
    assert_not_short_in_silence(found, whole_frames(name) - slack)


@pytest.mark.parametrize("name", CODINGS)
@settings(max_examples=examples(30))
@given(head=st.integers(4, 600), rest=st.binary(max_size=3000))
def test_garbage_behind_a_true_beginning(
    tmp_path_factory: pytest.TempPathFactory, name: str, head: int, rest: bytes
) -> None:
    found = kept(tmp_path_factory.mktemp("garbage"), data(name)[:head] + rest)
    assert found.refusal is not None or found.frames > 0


@pytest.mark.parametrize("name", CODINGS)
def test_the_same_file_twice_is_the_same_sound(tmp_path: Path, name: str) -> None:
    first, second = (kept(tmp_path, data(name)) for _ in range(2))
    assert np.array_equal(first.sound, second.sound)
