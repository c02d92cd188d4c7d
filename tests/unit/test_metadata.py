"""Metadata of every container that is read: into the neutral form, and into a WAV beside audio.

What is read is written by mutagen, flac or libsndfile, or byte for byte as the format is described;
what is written is read by wavinfo, mutagen and ffprobe.
"""

from __future__ import annotations

import base64
import json
import subprocess
from typing import TYPE_CHECKING, Any

import mutagen.aiff
import mutagen.flac
import mutagen.id3
import mutagen.mp3
import mutagen.oggopus
import mutagen.oggvorbis
import mutagen.wave
import numpy as np
import pytest
import soundfile
from wavinfo import WavInfoReader  # type: ignore[import-untyped]

from bridge.audio.encode import StemWriter
from bridge.audio.metadata import bext
from bridge.audio.metadata.model import Mark, Metadata, Picture
from bridge.audio.metadata.stems import stem_metadata
from bridge.audio.metadata.trimming import of_whole_file
from bridge.audio.probe import probe
from tests.audio_files import chunk, decoded, fmt, noise, pcm16, riff, wav, write
from tests.metadata_files import (
    FRAMES,
    PNG,
    RATE_HZ,
    acid,
    aiff_marks,
    caf,
    caf_info,
    caf_marks,
    cue,
    labels,
    plain,
    smpl,
    with_aiff_chunks,
    with_noise,
    with_w64_chunks,
)
from tests.support import require

if TYPE_CHECKING:
    from pathlib import Path

LINE = "A=PCM,T=test"
TAGS: dict[str, tuple[str, ...]] = {
    "TITLE": ("Söng",),
    "ARTIST": ("One", "Two"),
    "ALBUM": ("Album",),
    "DATE": ("2024-05-06",),
    "GENRE": ("Dub",),
    "COMMENT": ("a note",),
    "TRACKNUMBER": ("3",),
    "ISRC": ("DEA123456789",),
    "BPM": ("92.5",),
    "MIXED BY": ("Someone",),
}


def stem(folder: Path, metadata: Metadata, name: str = "stem.wav") -> Path:
    """A WAV with that metadata, as the service writes it."""
    path = folder / name
    chunks = of_whole_file(metadata, FRAMES, RATE_HZ).chunks
    with StemWriter(
        path, rate_hz=RATE_HZ, channels=2, frames=FRAMES, subtype="PCM_16", chunks=chunks
    ) as writer:
        writer.write_float(noise(2, FRAMES))
    return path


def ffprobe(path: Path) -> dict[str, str]:
    """Its tags as ffprobe has them, names in lower case."""
    command = [require.ffprobe(), "-v", "error", "-show_format", "-of", "json", str(path)]
    seen = json.loads(subprocess.check_output(command))["format"]
    return {name.lower(): value for name, value in seen.get("tags", {}).items()}


def cues_of(path: Path) -> list[tuple[int, str | None, int | None]]:
    """(position, name, length) of each cue point, as wavinfo has them."""
    found = WavInfoReader(str(path), info_encoding="utf-8").cues
    points = []
    for name, position in found.each_cue() if found else ():
        label, _ = found.label_and_note(name)
        points.append((position, label, found.range(name)))
    return points


def check_tags(path: Path, expected: dict[str, tuple[str, ...]]) -> None:
    """The `id3 ` chunk by mutagen, and the INFO list by wavinfo."""
    tag: Any = mutagen.wave.WAVE(path).tags
    assert tag["TIT2"].text == list(expected["TITLE"])
    assert tag["TPE1"].text == list(expected["ARTIST"])
    if "BPM" in expected:
        assert tag["TBPM"].text == list(expected["BPM"])
    if "MIXED BY" in expected:
        assert tag["TXXX:MIXED BY"].text == list(expected["MIXED BY"])
    info = WavInfoReader(str(path), info_encoding="utf-8").info
    assert info.title == expected["TITLE"][0]
    assert info.artist == ", ".join(expected["ARTIST"])
    assert ffprobe(path)["title"] == expected["TITLE"][0]


def flac_file(path: Path) -> Any:
    """A FLAC with tags and a picture, open in mutagen."""
    plain(path, "FLAC")
    file: Any = mutagen.flac.FLAC(path)
    for name, values in TAGS.items():
        file[name] = list(values)
    picture: Any = mutagen.flac.Picture()
    picture.type, picture.mime, picture.desc, picture.data = 4, "image/png", "back", PNG
    file.add_picture(picture)
    return file


def test_a_flac_with_tags_and_picture(tmp_path: Path) -> None:
    file = flac_file(tmp_path / "a.flac")
    file["TIME_REFERENCE"] = "172800000"
    file["REPLAYGAIN_TRACK_GAIN"] = "-6.5 dB"
    file.save()
    got = stem_metadata(tmp_path / "a.flac", LINE)
    assert {name: got.tags[name] for name in TAGS} == TAGS
    assert got.pictures == (Picture("image/png", PNG, 4, "back"),)
    assert (got.tempo_bpm, got.time_reference) == (92.5, 172_800_000)
    assert got.not_carried == ("tag REPLAYGAIN_TRACK_GAIN (true of the bounce alone)",)
    path = stem(tmp_path, got)
    check_tags(path, TAGS)
    assert mutagen.wave.WAVE(path).tags["APIC:back"].data == PNG  # type: ignore[index]
    value = WavInfoReader(str(path)).bext
    assert value.time_reference == 172_800_000
    assert value.coding_history == LINE + "\r\n"
    assert int(ffprobe(path)["time_reference"]) == 172_800_000


def test_the_cue_sheet_of_a_flac(tmp_path: Path) -> None:
    file = flac_file(tmp_path / "a.flac")
    sheet: Any = mutagen.flac.CueSheet(None)
    for number, start in ((1, 0), (2, 2352)):
        track: Any = mutagen.flac.CueSheetTrack(number, start)
        track.indexes.append(mutagen.flac.CueSheetTrackIndex(1, 588))
        sheet.tracks.append(track)
    sheet.tracks.append(mutagen.flac.CueSheetTrack(170, FRAMES))
    file.cuesheet = sheet
    file.metadata_blocks.append(sheet)
    file.save()
    got = stem_metadata(tmp_path / "a.flac", LINE)
    assert got.marks == (Mark(588, "Track 01"), Mark(2940, "Track 02"))
    assert got.cuesheet == sheet.write()
    assert cues_of(stem(tmp_path, got)) == [(588, "Track 01", None), (2940, "Track 02", None)]


def test_a_flac_that_was_made_of_a_wav_gives_back_its_chunks(tmp_path: Path) -> None:
    program = require.program("flac", "flac")
    value = bext.new_bext(2**33, "A=PCM,F=48000")
    extra = [
        chunk(b"bext", value.to_bytes()),
        chunk(b"iXML", b"<BWFXML/>"),
        cue(100, 2000),
        labels("Verse", "Chorus", lengths={2: 500}),
    ]
    source = write(tmp_path, wav(FRAMES, *extra))
    command = [program, "--silent", "--keep-foreign-metadata", "-o", str(tmp_path / "a.flac")]
    subprocess.run([*command, str(source)], check=True)
    got, direct = stem_metadata(tmp_path / "a.flac", LINE), stem_metadata(source, LINE)
    assert got.time_reference == 2**33
    assert got.marks == direct.marks == (Mark(100, "Verse"), Mark(2000, "Chorus", 500))
    assert {c.id: c.data for c in got.chunks} == {c.id: c.data for c in direct.chunks}
    assert got.not_carried == ()


def test_an_aiff(tmp_path: Path) -> None:
    path = with_aiff_chunks(
        plain(tmp_path / "a.aiff", "AIFF"),
        chunk(b"NAME", "Söng".encode(), order=">"),
        chunk(b"AUTH", b"Someone", order=">"),
        chunk(b"(c) ", b"2024 Someone", order=">"),
        chunk(b"ANNO", b"first note", order=">"),
        chunk(b"COMT", bytes([0, 1]) + bytes(6) + b"\0\4more", order=">"),
        aiff_marks((0, "Timestamp: 158760000"), (100, "Verse"), (1000, "a"), (2000, "b")),
        chunk(
            b"INST", bytes([60, 5, 0, 127, 1, 127, 0, 6, 0, 1, 0, 3, 0, 4]) + bytes(6), order=">"
        ),
        chunk(b"APPL", b"stoc" + bytes(8), order=">"),
    )
    got = stem_metadata(path, LINE)
    assert got.tags == {
        "TITLE": ("Söng",),
        "ARTIST": ("Someone",),
        "COPYRIGHT": ("2024 Someone",),
        "COMMENT": ("first note", "more"),
    }
    assert got.time_reference == 158_760_000
    assert [mark for mark in got.marks if not mark.length_frames] == [
        *(Mark(100, "Verse"), Mark(1000, "a"), Mark(2000, "b")),
    ]
    assert [mark for mark in got.marks if mark.length_frames] == [Mark(1000, "Loop", 1000)]
    assert got.not_carried == ("APPL (an application's own)",)
    made = stem(tmp_path, got)
    info = WavInfoReader(str(made), info_encoding="utf-8")
    assert (info.info.title, info.info.artist) == ("Söng", "Someone")
    assert info.bext.time_reference == 158_760_000
    assert (100, "Verse", None) in cues_of(made)
    loop = info.smpl.sample_loops[0]
    assert (loop.start, loop.end) == (1000, 1999)
    assert got.find(b"inst") == bytes([60, 5, 6, 0, 127, 1, 127])


def test_the_id3_chunk_of_an_aiff_is_carried_as_it_is(tmp_path: Path) -> None:
    path = plain(tmp_path / "a.aiff", "AIFF")
    file: Any = mutagen.aiff.AIFF(path)
    file.add_tags()
    file.tags.add(mutagen.id3.TIT2(text="Söng"))  # type: ignore[no-untyped-call]
    file.tags.add(mutagen.id3.PRIV(owner="x", data=b"y"))  # type: ignore[no-untyped-call]
    file.save()
    got = stem_metadata(path, LINE)
    assert got.tags["TITLE"] == ("Söng",)
    tag: Any = mutagen.wave.WAVE(stem(tmp_path, got)).tags
    assert (tag["TIT2"].text, tag.getall("PRIV")[0].data) == (["Söng"], b"y")


def test_a_caf(tmp_path: Path) -> None:
    path = caf(
        tmp_path / "a.caf",
        caf_info(
            title="Song", artist="Someone", tempo="92.5", track_number="3", nominal_bit_rate="9"
        ),
        caf_marks((100.0, "Verse"), (2000.0, "Chorus")),
        caf_chunk_of_our_own(),
    )
    assert soundfile.info(path).frames == FRAMES
    got = stem_metadata(path, LINE)
    assert got.tags == {
        "TITLE": ("Song",),
        "ARTIST": ("Someone",),
        "BPM": ("92.5",),
        "TRACKNUMBER": ("3",),
    }
    assert got.marks == (Mark(100, "Verse"), Mark(2000, "Chorus"))
    assert got.tempo_bpm == 92.5
    assert got.not_carried == ("uuid",)
    made = stem(tmp_path, got)
    check_tags(made, {"TITLE": ("Song",), "ARTIST": ("Someone",), "BPM": ("92.5",)})
    assert cues_of(made) == [(100, "Verse", None), (2000, "Chorus", None)]


def caf_chunk_of_our_own() -> bytes:
    return b"uuid" + (16).to_bytes(8, "big") + bytes(16)


def test_a_wave64(tmp_path: Path) -> None:
    value = bext.new_bext(2**33, "A=PCM")
    body = cue(100)[8:]
    path = with_w64_chunks(
        plain(tmp_path / "a.w64", "W64"), (b"bext", value.to_bytes()), (b"cue ", body)
    )
    # What follows the audio is not taken for audio.
    assert probe(path).frames == FRAMES
    assert np.array_equal(decoded(path), decoded(plain(tmp_path / "plain.wav", "WAV")))
    got = stem_metadata(path, LINE)
    assert (got.time_reference, got.marks) == (2**33, (Mark(100),))
    made = WavInfoReader(str(stem(tmp_path, got))).bext
    assert (made.time_reference, made.coding_history) == (2**33, f"A=PCM\r\n{LINE}\r\n")


def test_an_mp3(tmp_path: Path) -> None:
    path = plain(tmp_path / "a.mp3", "MP3", "MPEG_LAYER_III", 24_000)
    tag: Any = mutagen.id3.ID3()  # type: ignore[no-untyped-call]
    frames = mutagen.id3.Frames
    for name, values in (("TIT2", ["Söng"]), ("TPE1", ["One", "Two"]), ("TBPM", ["92.5"])):
        tag.add(frames[name](encoding=3, text=values))
    tag.add(frames["TXXX"](encoding=1, desc="mixed by", text=["Someone"]))
    tag.add(frames["TXXX"](encoding=1, desc="iTunSMPB", text=["0 0 0"]))
    tag.add(frames["COMM"](encoding=3, lang="eng", desc="", text=["a note"]))
    tag.add(frames["APIC"](encoding=0, mime="image/png", type=3, desc="", data=PNG))
    tag.add(frames["PRIV"](owner="x", data=b"y"))
    verse = frames["TIT2"](encoding=3, text=["Vérse"])
    chapter = {"element_id": "c1", "start_time": 100, "end_time": 250, "sub_frames": [verse]}
    tag.add(frames["CHAP"](**chapter))
    for version in (3, 4):
        tag.save(path, v2_version=version)
        got = stem_metadata(path, LINE)
        assert got.tags["TITLE"] == ("Söng",)
        assert got.tags["ARTIST"] == (("One", "Two") if version == 4 else ("One/Two",))
        assert got.tags["MIXED BY"] == ("Someone",)
        assert got.tags["COMMENT"] == ("a note",)
        assert (got.tempo_bpm, got.pictures) == (92.5, (Picture("image/png", PNG),))
        assert got.marks == (Mark(4800, "Vérse", 7200),)
        assert "ID3 PRIV" in got.not_carried
        assert "tag ITUNSMPB (true of the bounce alone)" in got.not_carried
        assert mutagen.wave.WAVE(stem(tmp_path, got, f"{version}.wav")).tags["TIT2"] == "Söng"  # type: ignore[index]


def test_an_mp3_with_an_old_tag_at_its_end(tmp_path: Path) -> None:
    path = plain(tmp_path / "a.mp3", "MP3", "MPEG_LAYER_III", 24_000)
    old = b"TAG" + b"Song".ljust(30, b"\0") + b"Someone".ljust(30) + bytes(65)
    path.write_bytes(path.read_bytes() + old)
    assert stem_metadata(path, LINE).tags == {"TITLE": ("Song",), "ARTIST": ("Someone",)}


@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
def test_an_ogg(tmp_path: Path, codec: str) -> None:
    path = plain(tmp_path / "a.ogg", "OGG", codec, 24_000)
    open_file = mutagen.oggopus.OggOpus if codec == "OPUS" else mutagen.oggvorbis.OggVorbis
    file: Any = open_file(path)
    picture: Any = mutagen.flac.Picture()
    picture.mime, picture.data, picture.type = "image/png", PNG, 3
    file["metadata_block_picture"] = [base64.b64encode(picture.write()).decode()]
    file["TITLE"], file["ARTIST"] = ["Söng"], ["One", "Two"]
    file["CHAPTER001"], file["CHAPTER001NAME"] = ["00:00:00.250"], ["Verse"]
    file.save()
    got = stem_metadata(path, LINE)
    assert (got.tags["TITLE"], got.tags["ARTIST"]) == (("Söng",), ("One", "Two"))
    assert got.pictures == (Picture("image/png", PNG),)
    assert got.marks == (Mark(12_000, "Verse"),)
    assert not any(name.startswith("CHAPTER") for name in got.tags)


def test_a_note_in_an_au(tmp_path: Path) -> None:
    path = plain(tmp_path / "a.au", "AU")
    data = path.read_bytes()
    offset = int.from_bytes(data[4:8], "big")
    note = b"a note".ljust(16, b"\0")
    head = data[:4] + (24 + len(note)).to_bytes(4, "big") + data[8:24]
    path.write_bytes(head + note + data[offset:])
    assert soundfile.info(path).frames == FRAMES
    assert stem_metadata(path, LINE).tags == {"COMMENT": ("a note",)}


@pytest.mark.parametrize("order", ["<", ">"])
def test_positions_and_tempo_read_the_same_in_both_byte_orders(tmp_path: Path, order: str) -> None:
    parts = [
        fmt(order=order),
        chunk(b"data", pcm16(FRAMES, order=order), order=order),
        cue(100, 2000, order=order),
        labels("Verse", "Chorus", lengths={2: 500}, order=order),
        smpl((1000, 1999), order=order),
        acid(92.5, order=order),
        chunk(b"LIST", b"INFO" + chunk(b"INAM", b"Song\0", order=order), order=order),
    ]
    path = write(tmp_path, riff(*parts, magic=b"RIFX" if order == ">" else b"RIFF"))
    got = stem_metadata(path, LINE)
    chorus = Mark(2000, "Chorus", 500)
    assert got.marks == (Mark(100, "Verse"), Mark(1000, "Loop", 1000), chorus)
    assert (got.tempo_bpm, got.tags) == (92.5, {"TITLE": ("Song",)})
    made = stem(tmp_path, got)
    assert cues_of(made) == [(100, "Verse", None), (2000, "Chorus", 500)]
    loop = WavInfoReader(str(made)).smpl.sample_loops[0]
    assert (loop.start, loop.end) == (1000, 1999)


def test_regions_of_real_editors() -> None:
    corpus = require.corpus()
    reaper = corpus / "rochars__wavefile" / "16bit-8kHz-1c-reaper-region.wav"
    assert stem_metadata(reaper, LINE).marks == (Mark(8000, "", 4000),)
    izotope = corpus / "iluvcapra__wavinfo" / "izotoperx_cues_test.wav"
    assert stem_metadata(izotope, LINE).marks == (
        *(Mark(1000, "Marker 1"), Mark(5000, "Marker 2", 5000), Mark(10_000, "Marker 3", 10_000)),
    )


SPEED = (
    b"<BWFXML><SPEED><TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI>0000000001"
    b"</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI><TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO>0000000007"
    b"</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO></SPEED>"
)
STEINBERG = (
    b"<ATTR_LIST><ATTR><FLAGS>2</FLAGS><NAME>MediaStartTime</NAME><VALUE>3600.0</VALUE></ATTR>"
    b"<ATTR><NAME>MusicalTempo</NAME><TYPE>float</TYPE><VALUE>92.5</VALUE></ATTR></ATTR_LIST>"
)


def test_what_only_ixml_says(tmp_path: Path) -> None:
    xml = SPEED + STEINBERG + b"</BWFXML>"
    got = stem_metadata(write(tmp_path, wav(FRAMES, chunk(b"iXML", xml))), LINE)
    assert (got.time_reference, got.tempo_bpm) == (2**32 + 7, 92.5)
    value = WavInfoReader(str(stem(tmp_path, got))).bext
    assert value.time_reference == 2**32 + 7
    assert got.find(b"iXML") == xml


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ((acid(120.0), chunk(b"iXML", b"<ASWG><tempo>90</tempo></ASWG>")), 120.0),
        ((acid(0.0), chunk(b"iXML", b"<ASWG><tempo>90</tempo></ASWG>")), 90.0),
        ((acid(float("nan")),), None),
        ((acid(1e30),), None),
        ((chunk(b"LIST", b"INFO" + chunk(b"IBPM", b"87,5\0")),), 87.5),
        ((chunk(b"acid", b"short"),), None),
    ],
)
def test_tempo(tmp_path: Path, extra: tuple[bytes, ...], expected: float | None) -> None:
    assert stem_metadata(write(tmp_path, wav(FRAMES, *extra)), LINE).tempo_bpm == expected


def test_a_tempo_from_elsewhere_stretches_nothing(tmp_path: Path) -> None:
    """The `acid` chunk that is made says one shot, and how many beats the file has."""
    file = flac_file(tmp_path / "a.flac")
    file["BPM"] = "1200"  # nobody plays that
    file.save()
    assert stem_metadata(tmp_path / "a.flac", LINE).find(b"acid") is None
    file["BPM"] = "600"
    file.save()
    got = of_whole_file(stem_metadata(tmp_path / "a.flac", LINE), RATE_HZ, RATE_HZ)
    data = got.find(b"acid") or b""
    assert int.from_bytes(data[:4], "little") & 1
    assert int.from_bytes(data[12:16], "little") == 10


def test_audio_definition_of_a_bw64_is_carried(tmp_path: Path) -> None:
    axml, chna = b"<ebuCoreMain/>", bytes(4)
    path = write(tmp_path, wav(FRAMES, chunk(b"axml", axml), chunk(b"chna", chna)))
    got = stem_metadata(path, LINE)
    assert [(c.id, c.data) for c in got.chunks] == [(b"axml", axml), (b"chna", chna)]


def test_a_file_for_tools_is_one(tmp_path: Path) -> None:
    assert stem_metadata(with_noise(tmp_path / "a.wav"), LINE) == Metadata()
