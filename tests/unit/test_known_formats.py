"""Known formats that are not read are refused by name."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from bridge.audio.known_formats import HEAD_BYTES, known_format_error
from bridge.audio.probe import probe
from bridge.audio.wave_codecs import codec_name
from bridge.errors import NotAudio, UnsupportedBounce
from tests.audio_files import chunk, fmt, riff, wav, write

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.errors import BounceError


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("song.wav", wav())
    return out.getvalue()


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("song.wav")
        info.size = len(wav())
        archive.addfile(info, io.BytesIO(wav()))
    return out.getvalue()


MIDI = b"MThd\0\0\0\6\0\1\0\2\1\xe0MTrk" + bytes(40)
KINDS: dict[str, tuple[bytes, type[BounceError], str]] = {
    "MIDI": (MIDI, NotAudio, "a MIDI file; it holds notes, no sound"),
    "MIDI in RIFF": (b"RIFF\x40\0\0\0RMIDdata" + MIDI, NotAudio, "a MIDI file"),
    "TTA": (b"TTA1\1\0\2\0\x10\0" + bytes(60), UnsupportedBounce, "a True Audio (TTA) file"),
    "Shorten": (b"ajkg\2\xfb" + bytes(60), UnsupportedBounce, "a Shorten file"),
    "Musepack": (b"MPCKSH" + bytes(60), UnsupportedBounce, "a Musepack file"),
    "Musepack 7": (b"MP+\x07" + bytes(60), UnsupportedBounce, "a Musepack file"),
    "OptimFROG": (b"OFR " + bytes(60), UnsupportedBounce, "an OptimFROG file"),
    "Monkey's Audio": (b"MAC \x96\x0f" + bytes(60), UnsupportedBounce, "a Monkey's Audio file"),
    "DSF": (b"DSD \x1c" + bytes(60), UnsupportedBounce, "a DSD (DSF) file"),
    "DSDIFF": (b"FRM8" + bytes(8) + b"DSD ", UnsupportedBounce, "a DSD (DSDIFF) file"),
    "RealAudio": (b".ra\xfd\0\4" + bytes(60), UnsupportedBounce, "a RealAudio file"),
    "AVI": (b"RIFF\x40\0\0\0AVI LIST" + bytes(60), UnsupportedBounce, "an AVI file"),
    "SoundFont": (b"RIFF\x40\0\0\0sfbkLIST" + bytes(60), NotAudio, "a SoundFont"),
    "REX2": (b"CAT \0\0\1\0REX2HEAD" + bytes(60), UnsupportedBounce, "a REX2 loop file"),
    "Pro Tools": (b"\x030010111100101011\0\5" + bytes(60), NotAudio, "a Pro Tools session"),
    "REAPER": (b'<REAPER_PROJECT 0.1 "7.0"\n', NotAudio, "a REAPER project"),
    "FL Studio": (b"FLhd\6\0\0\0" + bytes(60), NotAudio, "an FL Studio project"),
    "Cubase": (b"RIFF\0\0\0\x40NUND" + bytes(60), NotAudio, "a Cubase or Nuendo project"),
    "Audacity": (b"SQLite format 3\0" + bytes(99), NotAudio, "as Audacity keeps its projects"),
    "Ableton": (gzip.compress(b"<?xml?><Ableton/>"), NotAudio, "an Ableton Live set"),
    "Ardour": (b'<?xml version="1.0"?>\n<Session version="7003">', NotAudio, "as Ardour keeps"),
    "zip": (zipped(), NotAudio, "a zip archive"),
    "tar": (tarred(), NotAudio, "a tar archive"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4" + bytes(60), NotAudio, "a 7-Zip archive"),
    "rar": (b"Rar!\x1a\x07\x01\0" + bytes(60), NotAudio, "a RAR archive"),
}


@pytest.mark.parametrize(("data", "error", "words"), KINDS.values(), ids=KINDS.keys())
def test_a_known_format_is_refused_by_name(
    tmp_path: Path, data: bytes, error: type[BounceError], words: str
) -> None:
    for front in (b"", b"ID3\3\0\0\0\0\0\x05" + bytes(5)):
        with pytest.raises(error) as raised:
            probe(write(tmp_path, front + data, "song.wav"))
        assert type(raised.value) is error
        assert words in str(raised.value)
        assert "export WAV, AIFF or FLAC" in str(raised.value)


def test_sound_and_text_are_no_known_format() -> None:
    assert known_format_error(wav()[:HEAD_BYTES]) is None
    assert known_format_error(b"") is None
    assert known_format_error(b"<html><body>") is None


def test_every_codec_of_a_wav_is_named(tmp_path: Path) -> None:
    assert codec_name(0x0161) == "Windows Media Audio"
    assert codec_name(0x7777) == "codec 0x7777"
    for tag in (0x22, 0xFF, 0x161, 0x674F, 0x7777):
        data = riff(fmt(bits=0, tag=tag), chunk(b"data", bytes(range(256)) * 40))
        with pytest.raises(UnsupportedBounce) as raised:
            probe(write(tmp_path, data))
        assert f"a WAV file with {codec_name(tag)} in it" in str(raised.value)
