"""Which speakers the channels of an AIFF, CAF, Wave64 or FLAC are."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import mutagen.flac
import pytest
import soundfile

from bridge.audio.layouts import of_layout
from bridge.audio.probe import probe
from tests.audio_files import chunk, noise, pcm16, write
from tests.metadata_files import RATE_HZ, W64_TAIL, caf, caf_chunk, with_aiff_chunks

if TYPE_CHECKING:
    from pathlib import Path


def labels(*found: int) -> bytes:
    """A layout that describes each channel."""
    each = b"".join(struct.pack(">II3f", label, 0, 0, 0, 0) for label in found)
    return struct.pack(">III", 0, 0, len(found)) + each


@pytest.mark.parametrize(
    ("data", "mask"),
    [
        (struct.pack(">III", 101 << 16 | 2, 0, 0), 0x3),
        (struct.pack(">III", 121 << 16 | 6, 0, 0), 0x3F),
        (struct.pack(">III", 1 << 16, 0x60F, 0), 0x60F),
        (struct.pack(">III", 1 << 16, 1 << 31, 0), None),
        (struct.pack(">III", 192 << 16 | 12, 0, 0), None),  # 7.1.4 in another order than the bits
        (labels(1, 2, 3, 4, 5, 6), 0x3F),
        (labels(1, 3, 2), None),
        (labels(1, 1), None),
        (labels(0, 1), None),
        (labels(1, 200), None),
        (labels(1, 2)[:-20], None),
        (b"short", None),
    ],
)
def test_a_layout_chunk(data: bytes, mask: int | None) -> None:
    assert of_layout(data) == mask


@pytest.mark.parametrize(("channels", "mask"), [(6, 0x3F), (2, None)])
def test_a_layout_counts_where_it_fits_the_channels(
    tmp_path: Path, channels: int, mask: int | None
) -> None:
    path = tmp_path / "a.aiff"
    soundfile.write(path, noise(channels, 4800).T, RATE_HZ, subtype="PCM_16")
    with_aiff_chunks(path, chunk(b"CHAN", struct.pack(">III", 121 << 16 | 6, 0, 0), order=">"))
    assert probe(path).channel_mask == mask


def test_the_layout_of_a_caf(tmp_path: Path) -> None:
    stereo = struct.pack(">III", 101 << 16 | 2, 0, 0)
    assert probe(caf(tmp_path / "a.caf", caf_chunk(b"chan", stereo))).channel_mask == 0x3
    assert probe(caf(tmp_path / "b.caf")).channel_mask is None


def test_the_mask_of_a_wave64(tmp_path: Path) -> None:
    extension = struct.pack("<HHIH", 22, 16, 0x600, 1)
    pcm = bytes.fromhex("000000001000800000aa00389b71")
    form = struct.pack("<HHIIHH", 0xFFFE, 2, RATE_HZ, 4 * RATE_HZ, 4, 16) + extension + pcm
    body = b"".join(
        name + W64_TAIL + struct.pack("<Q", 24 + len(data)) + data
        for name, data in ((b"fmt ", form), (b"data", pcm16(4800)))
    )
    head = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
    size = struct.pack("<Q", 40 + len(body))
    path = write(tmp_path, head + size + b"wave" + W64_TAIL + body, "a.w64")
    assert (probe(path).channel_mask, probe(path).frames) == (0x600, 4800)


@pytest.mark.parametrize(("tag", "mask"), [("0x60F", 0x60F), ("0x3", 0x3F), (None, 0x3F)])
def test_a_flac_says_it_in_a_tag_where_it_differs(
    tmp_path: Path, tag: str | None, mask: int
) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(6, 4800).T, RATE_HZ, subtype="PCM_16")
    if tag:
        file: Any = mutagen.flac.FLAC(path)
        file["WAVEFORMATEXTENSIBLE_CHANNEL_MASK"] = tag
        file.save()
    assert probe(path).channel_mask == mask
