"""Real bounces of real DAWs, the whole way: what an independent reader finds before and after.

Seven of the fourteen hold nothing but zeros; their audio is filled with noise, byte for byte in its
place, so that there is something to separate.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from wavinfo import WavInfoReader  # type: ignore[import-untyped]

from bridge.audio.chunks import read_layout
from tests.support import require, thorough
from tests.unit.conversion import Convert

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.worker.client import Worker

NUENDO = "wavinfo Test Project - Audio - {}.wav"
WIDE = [NUENDO.format(layout) for layout in ("Atmos 7.1.4", "Atmos 9.1.6")]
# One of each kind of metadata, and six channels; twelve and sixteen take seconds.
NAMES = [
    "A101_1_1.WAV",
    "STE-000.wav",
    "izotoperx_cues_test.wav",
    "umid.wav",
    NUENDO.format("5.1"),
]
MORE_NAMES = [
    "PT A101_4.A1.wav",
    "Sr001-2C-01_01.WAV",
    "alarm_citizen_loop1.wav",
    *(NUENDO.format(layout) for layout in ("1OA", "LRC", "Mono", "Stereo")),
    *WIDE,
]
MASKS = {NUENDO.format("5.1"): 0x3F, WIDE[0]: 0x2D63F, WIDE[1]: 0x2D6FF}
BEXT = (
    *("description", "originator", "originator_ref", "originator_date", "originator_time"),
    *("time_reference", "version", "umid"),
)


def audible(name: str, folder: Path) -> Path:
    """A copy, with noise where there was silence; its header and its metadata as they were."""
    source = require.corpus() / "iluvcapra__wavinfo" / name
    data = bytearray(source.read_bytes())
    layout = read_layout(source)
    audio = slice(layout.data_offset, layout.data_offset + layout.data_bytes)
    if not any(data[audio]):
        count = layout.data_bytes // 3
        values = np.random.default_rng(0).normal(0, 1 << 19, count).astype("<i4")
        packed = values.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
        data[audio] = packed.ljust(layout.data_bytes, b"\0")
    path = folder / name
    path.write_bytes(data)
    return path


def read(path: Path) -> Any:
    return WavInfoReader(str(path))


def stems_of(source: Path, folder: Path, worker: Worker) -> tuple[dict[str, Any], list[Path]]:
    manifest, _ = Convert(worker)(source, folder)
    return manifest, [folder / "out" / source.stem / stem["path"] for stem in manifest["stems"]]


@pytest.mark.parametrize("name", [*NAMES, *thorough(MORE_NAMES)])
def test_every_field_of_a_real_bounce_is_in_its_stems(
    tmp_path: Path, worker: Worker, name: str
) -> None:
    source = audible(name, tmp_path)
    before = read(source)
    manifest, paths = stems_of(source, tmp_path, worker)
    assert len(paths) >= 2
    for path in paths:
        after = read(path)
        assert after.data.frame_count == before.data.frame_count
        for part in ("ixml", "cues", "info", "smpl", "adm"):
            theirs, ours = getattr(before, part), getattr(after, part)
            assert (ours is None) == (theirs is None), part
            if theirs is not None:
                assert ours.to_dict() == theirs.to_dict(), part
        assert (after.bext is None) == (before.bext is None)
        if before.bext is None:
            continue
        for field in BEXT:
            assert getattr(after.bext, field) == getattr(before.bext, field), field
        history = after.bext.coding_history
        assert history.startswith(before.bext.coding_history.rstrip("\0").rstrip())
        assert "T=stembridge" in history.splitlines()[-1]
        assert manifest["source"]["time_reference"] == before.bext.time_reference
    cues = list(before.cues.each_cue()) if before.cues else []
    assert len(manifest["source"]["marks"]) >= len(cues)
    for path in paths:
        check_speakers(path, source, MASKS.get(name))


def check_speakers(path: Path, source: Path, mask: int | None) -> None:
    """The same channels for the same speakers, as three readers have it."""
    before, after = read_layout(source).fmt, read_layout(path).fmt
    assert (after.channels, after.channel_mask) == (before.channels, before.channel_mask)
    assert mask is None or after.channel_mask == mask
    assert soundfile.info(path).channels == before.channels
    probe = [require.ffprobe(), "-v", "error", "-show_streams", "-of", "json"]
    seen = [
        json.loads(subprocess.check_output([*probe, str(file)]))["streams"][0]
        for file in (path, source)
    ]
    assert seen[0]["channels"] == seen[1]["channels"] == before.channels
    assert seen[0].get("channel_layout") == seen[1].get("channel_layout")
