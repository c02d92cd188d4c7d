"""Metadata: the chunk list, bext field by field, and what each stem gets of it."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import wavinfo  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from bridge.audio.chunks import MAX_CHUNK_BYTES, parse_fmt, read_chunk, read_layout
from bridge.audio.metadata import bext
from bridge.audio.metadata.bext import Bext, history_line
from bridge.audio.metadata.stems import stem_metadata
from bridge.errors import EmptyBounce, NotAudio
from tests.audio_files import chunk, fmt, pcm16, riff, wav, write
from tests.support import require

if TYPE_CHECKING:
    from pathlib import Path

LINE = history_line(rate_hz=48_000, bits=24, channels=2, text="stembridge 0.1.0")
LOUDNESS = (-2300, 500, -100, -1900, -2000)


def a_bext(**changes: object) -> Bext:
    plain = bext.parse(b"A scene".ljust(256, b"\0") + b"Recorder")
    return replace(plain, **changes)  # type: ignore[arg-type]


def fixed(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


@given(
    st.builds(
        Bext,
        description=fixed(256),
        originator=fixed(32),
        originator_reference=fixed(32),
        origination_date=fixed(10),
        origination_time=fixed(8),
        time_reference=st.integers(0, 2**64 - 1),
        version=st.integers(0, 2**16 - 1),
        umid=fixed(64),
        loudness=st.tuples(*[st.integers(-(2**15), 2**15 - 1)] * 5),
        reserved=fixed(180),
        coding_history=st.binary(max_size=300).map(lambda text: text.rstrip(b"\0")),
    )
)
def test_bext_comes_back(value: Bext) -> None:
    assert bext.parse(value.to_bytes()) == value
    assert len(value.to_bytes()) == 602 + len(value.coding_history)


@given(st.binary(max_size=700))
def test_bext_of_any_length_is_read(data: bytes) -> None:
    again = bext.parse(data).to_bytes()
    assert again == data.rstrip(b"\0").ljust(602, b"\0")


def test_big_endian_bext() -> None:
    data = bytearray(602)
    data[338:348] = struct.pack(">IIH", 7, 1, 2)  # low word first in both byte orders
    value = bext.parse(bytes(data), "big")
    assert (value.time_reference, value.version) == (2**32 + 7, 2)


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        (b"", b""),
        (b"A=PCM,F=48000\r\n", b"A=PCM,F=48000\r\n"),
        (b"A=PCM,F=48000", b"A=PCM,F=48000\r\n"),
        (b"no \xfc ASCII\n", b"no \xfc ASCII\n"),
        (b"A=PCM\r\n\0what was in the buffer", b"A=PCM\r\n"),
    ],
)
def test_history_gains_one_line(before: bytes, kept: bytes) -> None:
    stem = a_bext(coding_history=before).for_stem("A=PCM,T=x")
    assert stem.coding_history == kept + b"A=PCM,T=x\r\n"


@pytest.mark.parametrize(
    ("version", "expected"), [(0, LOUDNESS), (1, LOUDNESS), (2, (0x7FFF,) * 5), (3, (0x7FFF,) * 5)]
)
def test_loudness_of_the_mixture_is_not_that_of_a_stem(
    version: int, expected: tuple[int, int, int, int, int]
) -> None:
    before = a_bext(version=version, loudness=LOUDNESS, umid=b"u" * 64, time_reference=2**33)
    stem = before.for_stem("x")
    assert stem == replace(before, loudness=expected, coding_history=b"x\r\n")


def test_history_line() -> None:
    assert LINE == "A=PCM,F=48000,W=24,M=stereo,T=stembridge 0.1.0"
    assert "M=" not in history_line(rate_hz=48_000, bits=16, channels=6, text="x")
    sly = history_line(rate_hz=8_000, bits=8, channels=1, text="a,b\r\nc")
    assert sly == "A=PCM,F=8000,W=8,M=mono,T=a b c"


def test_layout_of_a_real_bounce() -> None:
    path = require.corpus() / "iluvcapra__wavinfo" / "umid.wav"
    layout = read_layout(path)
    assert [ref.id for ref in layout.chunks] == [
        *(b"JUNK", b"bext", b"fmt ", b"minf", b"elm1"),
        *(b"data", b"FLLR", b"regn", b"umid", b"DGDA"),
    ]
    assert (layout.data_offset, layout.data_bytes) == (16_384, 132_300)
    assert layout.claimed_bytes + 8 == layout.file_bytes == path.stat().st_size


def test_extensible_fmt() -> None:
    extension = struct.pack("<HHII", 22, 20, 0x60F, 1) + bytes(12)
    plain = struct.pack("<HHIIHH", 0xFFFE, 6, 48_000, 6 * 3 * 48_000, 18, 24)
    value = parse_fmt(plain + extension)
    assert (value.tag, value.channel_mask, value.extensible) == (1, 0x60F, True)
    assert (value.subtype, value.padded) == ("PCM_24", False)


def test_a_size_in_the_header_allocates_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, wav() + b"iXML\xff\xff\xff\x7f<a/>")
    layout = read_layout(path)
    ref = layout.find(b"iXML")
    assert ref is not None
    assert ref.size_bytes == 0x7FFFFFFF
    with path.open("rb") as file:
        assert read_chunk(file, ref) == b"<a/>"
    assert stem_metadata(path, LINE).not_carried == ("iXML (cut off)",)


def test_layout_of_what_is_no_wav(tmp_path: Path) -> None:
    with pytest.raises(NotAudio):
        read_layout(write(tmp_path, b"RIFF\4\0\0\0AVI "))
    with pytest.raises(EmptyBounce):
        read_layout(write(tmp_path, b""))


def test_what_is_carried(tmp_path: Path) -> None:
    cue = struct.pack("<IIIIIII", 1, 1, 100, 0x61746164, 0, 0, 100)
    kept = {
        b"iXML": b"<BWFXML/>",  # odd length
        b"cue ": cue,
        b"smpl": bytes(36),
        b"inst": bytes(7),
        b"acid": bytes(24),
        b"id3 ": b"ID3",
    }
    lists = [b"adtl" + chunk(b"labl", b"\1\0\0\0Verse\0"), b"INFO" + chunk(b"INAM", b"Song\0")]
    path = write(
        tmp_path,
        riff(
            chunk(b"JUNK", bytes(28)),
            chunk(b"bext", a_bext(time_reference=2**31 + 5).to_bytes()),
            fmt(),
            chunk(b"fact", bytes(4)),
            chunk(b"data", pcm16(4800)),
            *(chunk(name, data) for name, data in kept.items()),
            *(chunk(b"LIST", data) for data in lists),
            chunk(b"LIST", b"exif" + bytes(4)),
            chunk(b"regn", bytes(92)),
            chunk(b"regn", bytes(92)),
            chunk(b"PEAK", bytes(24)),
        ),
    )
    got = stem_metadata(path, LINE)
    assert got.time_reference == 2**31 + 5
    assert got.not_carried == ("LIST exif", "regn (Pro Tools region)")
    assert got.chunks[0].id == b"bext"
    assert bext.parse(got.chunks[0].data).coding_history == LINE.encode() + b"\r\n"
    assert [(c.id, c.data) for c in got.chunks[1:]] == [
        *kept.items(),
        *((b"LIST", data) for data in lists),
    ]


def test_numbers_of_a_big_endian_file_are_turned_around_or_named(tmp_path: Path) -> None:
    data = bytearray(602)
    data[338:346] = struct.pack(">II", 5, 1)
    cue = struct.pack(">III4sIII", 1, 1, 100, b"data", 0, 0, 100)
    path = write(
        tmp_path,
        riff(
            fmt(order=">"),
            chunk(b"bext", bytes(data), order=">"),
            chunk(b"data", pcm16(4800, order=">"), order=">"),
            chunk(b"cue ", cue, order=">"),
            chunk(b"iXML", b"<a/>", order=">"),
            chunk(b"chna", bytes(4), order=">"),
            magic=b"RIFX",
        ),
    )
    got = stem_metadata(path, LINE)
    assert [c.id for c in got.chunks] == [b"bext", b"cue ", b"iXML"]
    assert got.chunks[1].data == struct.pack("<III4sIII", 1, 1, 100, b"data", 0, 0, 100)
    assert bext.parse(got.chunks[0].data).time_reference == got.time_reference == 2**32 + 5
    assert got.not_carried == ("chna (big-endian)",)


def test_huge_metadata_is_named_not_carried(tmp_path: Path) -> None:
    path = write(tmp_path, wav(4800, chunk(b"iXML", bytes(MAX_CHUNK_BYTES + 2))))
    got = stem_metadata(path, LINE)
    assert got.chunks == ()
    assert got.not_carried == ("iXML (16,777,218 bytes)",)


def test_bext_of_real_files_as_another_reader_has_it() -> None:
    seen = 0
    for path in sorted((require.corpus() / "iluvcapra__wavinfo").glob("*.[wW]*")):
        theirs = wavinfo.WavInfoReader(str(path)).bext
        ours = next((c for c in stem_metadata(path, LINE).chunks if c.id == b"bext"), None)
        assert (theirs is None) == (ours is None)
        if theirs is None or ours is None:
            continue
        seen += 1
        value = bext.parse(ours.data)
        assert value.time_reference == theirs.time_reference
        assert value.version == theirs.version
        text = value.description.split(b"\0")[0].decode("ascii", "ignore")
        assert text.strip() == theirs.description.strip()
        assert value.originator.startswith(theirs.originator.encode())
        assert LINE.encode() in value.coding_history
    assert seen >= 10
