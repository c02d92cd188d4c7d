"""Where the fuzzer starts: small files of every kind that is read, sound ones and broken ones."""

from __future__ import annotations

import io
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from tests.audio_files import chunk, ds64, fmt, pcm16, riff
from tests.coded_files import encoded
from tests.metadata_files import laden
from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE_HZ = 8_000
FRAMES = 400  # 50 ms: little to decode, and long enough to be accepted
FORMS = (
    *(
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("WAV", "IMA_ADPCM"),
        ("WAV", "ULAW"),
        ("WAV", "GSM610"),
    ),
    *(
        ("RF64", "PCM_24"),
        ("W64", "PCM_16"),
        ("AIFF", "PCM_24"),
        ("AIFF", "FLOAT"),
        ("AU", "PCM_16"),
    ),
    *(
        ("CAF", "PCM_16"),
        ("CAF", "ALAC_16"),
        ("FLAC", "PCM_16"),
        ("FLAC", "PCM_24"),
        ("SVX", "PCM_16"),
    ),
    *(("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("VOC", "PCM_16")),
    *(("NIST", "PCM_16"),),
)

# ffmpeg's names of codecs and containers.
CODED = (
    *(("libmp3lame", "mp3"), ("aac", "adts"), ("libopencore_amrnb", "amr")),
    *(("libopus", "ogg"), ("flac", "ogg"), ("wavpack", "wv"), ("wmav2", "asf")),
    *(("aac", "ipod"), ("alac", "mov"), ("aac", "matroska"), ("libopus", "webm")),
)


def audio() -> Iterator[bytes]:
    """Files for the probe, the chunk reader and the decoder."""
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, (FRAMES, 1)).astype(np.float32)
    for container, subtype in FORMS:
        out = io.BytesIO()
        soundfile.write(out, wave, RATE_HZ, format=container, subtype=subtype)
        yield out.getvalue()
    data, form = chunk(b"data", pcm16(FRAMES, 1)), fmt(RATE_HZ, 1)
    bext = chunk(b"bext", bytes(602) + b"A=PCM\r\n")
    cue = chunk(b"cue ", struct.pack("<7I", 1, 1, 0, 0x61746164, 0, 0, 100))
    labels = chunk(b"LIST", b"adtl" + chunk(b"labl", b"\1\0\0\0verse\0"))
    yield riff(bext, form, data, cue, labels, chunk(b"iXML", b"<BWFXML/>"))
    yield riff(ds64(0, 2 * FRAMES, FRAMES), form, data, magic=b"BW64", size=0xFFFFFFFF)
    yield riff(form, data, size=36)
    big = fmt(RATE_HZ, 1, order=">")
    yield riff(big, chunk(b"data", pcm16(FRAMES, 1, order=">"), order=">"), magic=b"RIFX")
    with tempfile.TemporaryDirectory() as folder:
        for data in laden(Path(folder)):
            yield data[: MAX_BYTES["chunks"]]
        for number, (codec, container) in enumerate(CODED):
            path = Path(folder, f"coded {number}")
            options = {"b": "24k"} if codec == "wmav2" else {}
            encoded(path, wave.T, RATE_HZ, codec, container, options=options)
            yield path.read_bytes()[: MAX_BYTES["chunks"]]


def presets() -> Iterator[bytes]:
    """The shipped ones, the example, and every broken one that the tests know."""
    for pattern in ("presets/*.yaml", "examples/*.yaml", "tests/presets_bad/*.yaml"):
        for path in sorted(ROOT.glob(pattern)):
            yield path.read_bytes()[: MAX_BYTES["preset"]]


SEEDS = {"probe": audio, "chunks": audio, "decode": audio, "preset": presets}

MAX_BYTES = {"probe": 4096, "chunks": 4096, "decode": 4096, "preset": 8192}
"""Of an input: long ones are slow, and 4096 bytes of FLAC can be 24 million frames already."""
