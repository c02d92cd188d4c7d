"""Tags around a sound file, joined files, and the metadata that is kept of them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import mutagen.id3
import numpy as np
import pytest
import soundfile

from bridge.audio.decode import Decoder, survey
from bridge.audio.headers import container_of
from bridge.audio.leniency import Leniency
from bridge.audio.metadata import bext
from bridge.audio.metadata.stems import stem_metadata
from bridge.audio.probe import probe
from bridge.errors import BounceError, NotAudio, TruncatedBounce, UnsupportedBounce
from tests.audio_files import chunk, decoded, fmt, noise, pcm16, riff, wav, write
from tests.metadata_files import (
    PNG,
    aiff_marks,
    caf,
    caf_info,
    caf_marks,
    cue,
    labels,
    plain,
    with_aiff_chunks,
    with_w64_chunks,
)

if TYPE_CHECKING:
    from pathlib import Path

LINE = "A=PCM,T=test"
FRAMES = 4800


def id3(path: Path, title: str = "In front") -> bytes:
    """A tag as mutagen writes it."""
    tag: Any = mutagen.id3.ID3()  # type: ignore[no-untyped-call]
    tag.add(mutagen.id3.TIT2(text=title))  # type: ignore[no-untyped-call]
    tag.add(mutagen.id3.APIC(mime="image/png", type=3, data=PNG))  # type: ignore[no-untyped-call]
    tag.save(path, v2_version=3)
    data = path.read_bytes()
    path.unlink()
    return data


def a_bext(time_reference: int) -> bytes:
    body = bytes(338) + struct.pack("<QH", time_reference, 1) + bytes(254)
    return chunk(b"bext", body)


def full_wav(kind: bytes = b"RIFF") -> bytes:
    parts = (a_bext(158_760_000), fmt(), chunk(b"data", pcm16(FRAMES)))
    return riff(*parts, cue(100), labels("Verse"), magic=kind)


@pytest.fixture(params=["one", "two", "padded"])
def front(request: pytest.FixtureRequest, tmp_path: Path) -> bytes:
    """What a tagger leaves in front of a file."""
    tag = id3(tmp_path / "tag")
    return {"one": tag, "two": tag + id3(tmp_path / "tag", "Second"), "padded": tag + bytes(99)}[
        request.param
    ]


def test_a_tag_in_front_of_a_wav_hides_nothing(tmp_path: Path, front: bytes) -> None:
    plain_path = write(tmp_path, full_wav(), "plain.wav")
    path = write(tmp_path, front + full_wav())
    info = probe(path)
    assert (info.container, info.frames, info.time_reference) == ("WAV", FRAMES, 158_760_000)
    assert np.array_equal(decoded(path), decoded(plain_path))
    got, without = stem_metadata(path, LINE), stem_metadata(plain_path, LINE)
    assert (got.time_reference, got.marks) == (158_760_000, without.marks)
    assert got.marks[0].name == "Verse"
    assert got.tags["TITLE"] == ("In front",)
    assert got.pictures[0].data == PNG
    assert [c for c in got.chunks if c.id != b"id3 "] == list(without.chunks)
    left = ("ID3 tag in front of the file",) if front.count(b"ID3") > 1 else ()
    assert got.not_carried == left


def test_a_tag_in_front_gives_way_to_the_one_inside(tmp_path: Path) -> None:
    inside, before = id3(tmp_path / "tag", "Inside"), id3(tmp_path / "tag")
    data = riff(fmt(), chunk(b"data", pcm16(FRAMES)), chunk(b"id3 ", inside))
    got = stem_metadata(write(tmp_path, before + data), LINE)
    assert got.tags["TITLE"] == ("Inside",)
    assert got.not_carried == ("ID3 tag in front of the file",)


def test_a_tag_in_front_of_every_other_container(tmp_path: Path, front: bytes) -> None:
    rf64 = riff(
        chunk(b"ds64", struct.pack("<QQQI", 0, 4 * FRAMES, FRAMES, 0)),
        a_bext(7),
        fmt(),
        chunk(b"data", pcm16(FRAMES), size=0xFFFFFFFF),
        cue(100),
        labels("Verse"),
        magic=b"RF64",
        size=0xFFFFFFFF,
    )
    marks = aiff_marks((100, "Verse"), (0, "Timestamp: 7"))
    files = {
        "RF64": write(tmp_path, rf64, "a.rf64"),
        "AIFF": with_aiff_chunks(plain(tmp_path / "a.aiff", "AIFF"), marks),
        "W64": with_w64_chunks(
            plain(tmp_path / "a.w64", "W64"),
            (b"bext", a_bext(7)[8:]),
            (b"cue ", cue(100)[8:]),
        ),
        "CAF": caf(tmp_path / "a.caf", caf_info(title="Song"), caf_marks((100.0, "Verse"))),
        "FLAC": plain(tmp_path / "a.flac", "FLAC"),
        "AU": plain(tmp_path / "a.au", "AU"),
        "NIST": plain(tmp_path / "a.sph", "NIST"),
        "VOC": plain(tmp_path / "a.voc", "VOC"),
    }
    for name, path in files.items():
        whole, sound = stem_metadata(path, LINE), decoded(path)
        tagged = write(tmp_path, front + path.read_bytes(), "tagged")
        assert container_of(tagged) == name
        assert np.array_equal(decoded(tagged), sound), name
        got = stem_metadata(tagged, LINE)
        assert (got.time_reference, got.marks) == (whole.time_reference, whole.marks), name
        kept = got.tags.get("TITLE") == ("In front",)
        assert kept or "ID3 tag in front" in got.not_carried[0], name
    assert stem_metadata(files["RF64"], LINE).time_reference == 7
    assert len(stem_metadata(files["CAF"], LINE).marks) == 1


def test_a_tag_in_front_of_an_ogg(tmp_path: Path, front: bytes) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, noise(1, 20_000).T, 48_000, format="OGG", subtype="VORBIS")
    sound = decoded(path)
    path.write_bytes(front + path.read_bytes())
    assert probe(path).container == "OGG"
    assert np.array_equal(decoded(path), sound)


def test_a_tag_and_nothing_behind_it(tmp_path: Path) -> None:
    with pytest.raises(BounceError):
        probe(write(tmp_path, id3(tmp_path / "tag")))
    with pytest.raises(BounceError):
        probe(write(tmp_path, id3(tmp_path / "tag") + b"and some text that is no sound at all"))


def test_a_tag_that_claims_more_than_the_file(tmp_path: Path) -> None:
    with pytest.raises(BounceError, match="cut off"):
        probe(write(tmp_path, b"ID3\4\0\0\x7f\x7f\x7f\x7f" + bytes(99)))


def test_zeros_in_front(tmp_path: Path) -> None:
    assert np.array_equal(
        decoded(write(tmp_path, bytes(4096) + wav())), decoded(write(tmp_path, wav(), "b"))
    )
    with pytest.raises(NotAudio):
        probe(write(tmp_path, bytes(100_000)))


# Behind


@pytest.mark.parametrize("container", ["WAV", "AIFF", "CAF", "FLAC", "AU", "W64"])
@pytest.mark.parametrize("tag", ["ID3v1", "zeros", "ID3v2"])
def test_a_tag_behind_a_file_is_no_sound(tmp_path: Path, container: str, tag: str) -> None:
    path = plain(tmp_path / "a", container)
    sound = decoded(path)
    more = {"ID3v1": b"TAG" + bytes(125), "zeros": bytes(5000), "ID3v2": id3(tmp_path / "tag")}[tag]
    path.write_bytes(path.read_bytes() + more)
    info = probe(path)
    assert np.array_equal(decoded(path), sound)
    assert survey(Decoder(path, info)).warnings == ()
    named = ("tag behind the file",) if tag == "ID3v1" else ()
    assert stem_metadata(path, LINE).not_carried == named


@pytest.mark.parametrize("container", ["WAV", "AIFF", "CAF", "AU", "W64"])
def test_bytes_behind_a_file_are_reported(tmp_path: Path, container: str) -> None:
    path = plain(tmp_path / "a", container)
    path.write_bytes(path.read_bytes() + bytes(range(1, 201)))
    (warning,) = survey(Decoder(path, probe(path))).all_warnings()
    assert warning.startswith("200 bytes behind the end of its sound are not read")


def test_bytes_behind_a_flac(tmp_path: Path) -> None:
    """Where its last block ends only its decoder knows: more than it can have is reported."""
    path = plain(tmp_path / "a", "FLAC")
    sound = decoded(path)
    path.write_bytes(path.read_bytes() + bytes(range(1, 251)) * 200)
    (warning,) = survey(Decoder(path, probe(path))).all_warnings()
    assert "bytes behind the end of its sound are not read" in warning
    assert np.array_equal(decoded(path), sound)


def test_a_header_finalised_too_early(tmp_path: Path) -> None:
    """A recorder that broke off: sizes of its last update, and sound behind them."""
    data = bytearray(wav(9000))
    data[4:8] = struct.pack("<I", 36 + 4 * 5000)
    data[40:44] = struct.pack("<I", 4 * 5000)
    info = probe(write(tmp_path, bytes(data)))
    assert info.frames == 5000
    assert info.warnings[0].startswith("16,000 bytes behind the end of its sound are not read")


# Joined files


@pytest.mark.parametrize("known", [True, False])
def test_joined_flacs(tmp_path: Path, known: bool) -> None:
    path, data, sounds = tmp_path / "a.flac", b"", []
    for frames in (30_000, 9000, 20_000):
        sounds.append(noise(2, frames, seed=frames))
        soundfile.write(path, sounds[-1].T, 44_100, subtype="PCM_16")
        sounds[-1] = soundfile.read(path, dtype="float32")[0].T
        one = bytearray(path.read_bytes())
        if not known:  # as a stream
            one[21] &= 0xF0
            one[22:26] = bytes(4)
        data += one
    path.write_bytes(data)
    info = probe(path)
    assert info.frames == (59_000 if known else None)
    assert np.array_equal(decoded(path), np.concatenate(sounds, axis=1))
    assert survey(Decoder(path, info)).warnings == (
        "3 files joined into one: read as one, with the metadata of the first",
    )


def test_joined_files_that_differ(tmp_path: Path) -> None:
    for other in (
        wav(channels=1),
        wav(rate_hz=44_100),
        riff(fmt(bits=24), chunk(b"data", bytes(9))),
    ):
        with pytest.raises(UnsupportedBounce, match="joined into one and differ"):
            probe(write(tmp_path, wav() + other))
    flac = plain(tmp_path / "a.flac", "FLAC").read_bytes()
    with pytest.raises(UnsupportedBounce, match="a WAV file with a FLAC file behind it"):
        probe(write(tmp_path, wav() + flac))


def test_the_last_of_joined_files_may_be_cut_off(tmp_path: Path) -> None:
    path = write(tmp_path, wav(5000) + wav(9000)[:-16_000])
    with pytest.raises(TruncatedBounce, match="cut off"):
        probe(path)
    lenient = Leniency(accept_truncated=True)
    decoder = Decoder(path, probe(path, lenient), leniency=lenient)
    found = survey(decoder)
    assert (found.frames, found.claimed_frames, found.truncated) == (10_000, 14_000, True)


def test_an_empty_file_among_joined_ones(tmp_path: Path) -> None:
    empty = riff(fmt(), chunk(b"data", b""))
    path = write(tmp_path, wav(5000) + empty + wav(3000))
    assert probe(path).frames == 8000
    assert decoded(path).shape == (2, 8000)


def test_metadata_of_joined_files_are_those_of_the_first(tmp_path: Path) -> None:
    second = riff(a_bext(9), fmt(), chunk(b"data", pcm16(FRAMES)))
    path = write(tmp_path, full_wav() + second)
    assert probe(path).time_reference == 158_760_000
    got = stem_metadata(path, LINE)
    assert [c.id for c in got.chunks].count(b"bext") == 1
    assert bext.parse(got.chunks[0].data).time_reference == 158_760_000


def test_a_pipe_behind_a_pipe(tmp_path: Path) -> None:
    """Two files of unknown length: only the second header says where the first ends."""
    unknown = 0xFFFFFFFF
    one = riff(fmt(), chunk(b"data", pcm16(5000, seed=1), size=unknown), size=unknown)
    two = riff(fmt(), chunk(b"data", pcm16(3000, seed=2), size=unknown), size=unknown)
    path = write(tmp_path, one + two)
    assert probe(path).frames == 8000
    assert decoded(path).shape == (2, 8000)
