"""Sound files with metadata for tests, built byte for byte as each format is described."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import mutagen
import numpy as np
import soundfile

from tests.audio_files import chunk, fmt, noise, pcm16, riff

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RATE_HZ = 48_000
FRAMES = 4800
W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")
PNG = bytes.fromhex("89504e470d0a1a0a") + bytes(40)


def plain(path: Path, container: str, subtype: str = "PCM_16", frames: int = FRAMES) -> Path:
    """A file without metadata, as libsndfile writes it."""
    soundfile.write(path, noise(2, frames).T, RATE_HZ, subtype=subtype, format=container)
    return path


def cue(*positions: int, order: str = "<") -> bytes:
    """A whole `cue ` chunk with ids from 1 on."""
    body = struct.pack(order + "I", len(positions))
    for number, at in enumerate(positions, 1):
        body += struct.pack(order + "II4sIII", number, at, b"data", 0, 0, at)
    return chunk(b"cue ", body, order=order)


def labels(*names: str, lengths: dict[int, int] | None = None, order: str = "<") -> bytes:
    """A whole `LIST` `adtl` chunk: names for ids from 1 on, lengths for some ids."""
    body = b"adtl"
    for number, name in enumerate(names, 1):
        text = struct.pack(order + "I", number) + name.encode() + b"\0"
        body += chunk(b"labl", text, order=order)
    for number, length in (lengths or {}).items():
        region = struct.pack(order + "II4sHHHH", number, length, b"rgn ", 0, 0, 0, 0)
        body += chunk(b"ltxt", region, order=order)
    return chunk(b"LIST", body, order=order)


def smpl(*loops: tuple[int, int], order: str = "<") -> bytes:
    """A whole `smpl` chunk with loops from their first to their last frame."""
    body = struct.pack(order + "9I", 0, 0, 20_833, 60, 0, 0, 0, len(loops), 0)
    for number, (first, last) in enumerate(loops):
        body += struct.pack(order + "6I", 100 + number, 0, first, last, 0, 0)
    return chunk(b"smpl", body, order=order)


def acid(tempo_bpm: float, beats: int = 8, order: str = "<") -> bytes:
    """A whole `acid` chunk."""
    fields = (1, 0, 0x8000, 0.0, beats, 4, 4, tempo_bpm)
    return chunk(b"acid", struct.pack(order + "IHHfIHHf", *fields), order=order)


def aiff_marks(*marks: tuple[int, str]) -> bytes:
    """A whole `MARK` chunk of an AIFF, ids from 1 on."""
    body = struct.pack(">H", len(marks))
    for number, (at, name) in enumerate(marks, 1):
        text = name.encode()
        text = bytes([len(text)]) + text
        body += struct.pack(">hI", number, at) + text + bytes(len(text) % 2)
    return chunk(b"MARK", body, order=">")


def with_aiff_chunks(path: Path, *chunks: bytes) -> Path:
    """The same AIFF with more chunks at its end."""
    data = path.read_bytes() + b"".join(chunks)
    path.write_bytes(data[:4] + struct.pack(">I", len(data) - 8) + data[8:])
    return path


def caf_chunk(chunk_id: bytes, body: bytes) -> bytes:
    """One chunk of a CAF."""
    return chunk_id + struct.pack(">q", len(body)) + body


def caf(path: Path, *chunks: bytes) -> Path:
    """A 16-bit stereo CAF; the chunks stand before the audio."""
    desc = struct.pack(">d4sIIIII", float(RATE_HZ), b"lpcm", 0, 4, 1, 2, 16)
    audio = (noise(2, FRAMES).T * 32_000).astype(">i2").tobytes()
    body = caf_chunk(b"desc", desc) + b"".join(chunks) + caf_chunk(b"data", bytes(4) + audio)
    path.write_bytes(b"caff" + struct.pack(">HH", 1, 0) + body)
    return path


def caf_marks(*marks: tuple[float, str]) -> bytes:
    """The `mark` and `strg` chunks of a CAF."""
    points, table, texts = struct.pack(">II", 0, len(marks)), struct.pack(">I", len(marks)), b""
    for number, (at, name) in enumerate(marks, 1):
        points += struct.pack(">IdI8sI", 0, at, number, bytes(8), 0)
        table += struct.pack(">Iq", number, len(texts))
        texts += name.encode() + b"\0"
    return caf_chunk(b"mark", points) + caf_chunk(b"strg", table + texts)


def caf_info(**texts: str) -> bytes:
    """The `info` chunk of a CAF; underscores stand for spaces."""
    body = struct.pack(">I", len(texts))
    for key, value in texts.items():
        body += key.replace("_", " ").encode() + b"\0" + value.encode() + b"\0"
    return caf_chunk(b"info", body)


def with_w64_chunks(path: Path, *chunks: tuple[bytes, bytes]) -> Path:
    """The same Wave64 with more chunks at its end."""
    data = path.read_bytes()
    data += bytes(-len(data) % 8)
    for chunk_id, body in chunks:
        data += chunk_id + W64_TAIL + struct.pack("<Q", 24 + len(body)) + body
        data += bytes(-len(body) % 8)
    path.write_bytes(data[:16] + struct.pack("<Q", len(data)) + data[24:])
    return path


def laden(folder: Path) -> Iterator[bytes]:
    """A small file of most containers with as much metadata as fits, for what is mutated."""
    parts = (cue(1, 2, 3), labels("a", "b", lengths={1: 5}), smpl((1, 5)), acid(120.0))
    xml = chunk(b"iXML", b"<TEMPO>120</TEMPO><ATTR><NAME>XTempo</NAME><VALUE>3</VALUE></ATTR>")
    yield riff(fmt(8_000, 1), chunk(b"data", pcm16(400, 1)), *parts, xml)
    marks = aiff_marks((1, "a"), (2, "Timestamp: 5"))
    inst, comments = (chunk(name, bytes(20), order=">") for name in (b"INST", b"COMT"))
    aiff = with_aiff_chunks(plain(folder / "a.aiff", "AIFF", frames=1200), marks, inst, comments)
    yield aiff.read_bytes()
    yield caf(
        folder / "a.caf", caf_info(title="x", tempo="120"), caf_marks((1.0, "a"))
    ).read_bytes()
    for suffix, container, subtype in (
        ("flac", "FLAC", "PCM_16"),
        ("mp3", "MP3", "MPEG_LAYER_III"),
        ("ogg", "OGG", "VORBIS"),
    ):
        path = plain(folder / f"a.{suffix}", container, subtype, 1200)
        file: Any = mutagen.File(path, easy=True)
        file["title"] = "Söng"
        file.save()
        yield path.read_bytes()


def with_noise(path: Path, seconds: float = 0.2) -> Path:
    """A WAV of that length, for tools that want a file to start from."""
    wave = np.random.default_rng(1).uniform(-0.5, 0.5, (round(seconds * RATE_HZ), 2))
    soundfile.write(path, wave, RATE_HZ, subtype="PCM_16")
    return path
