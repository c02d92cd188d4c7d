"""Every session file of one published set, read back by programs that did not write it.

The set is made by the service; each place and length is exact to the frame, and each file found.
"""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

import opentimelineio as otio  # type: ignore[import-untyped]
import pytest
import soundfile
from opentimelineio.opentime import RationalTime  # type: ignore[import-untyped]
from reaproj import Project  # type: ignore[import-untyped]

from bridge.config import Settings
from bridge.convert import Converter
from bridge.daw.formats import FORMATS
from bridge.presets import loader as presets
from tests.bounces import render
from tests.daw.dawproject_reader import places, project, schema
from tests.support import GOLDEN, require

if TYPE_CHECKING:
    from bridge.worker.client import Worker

RATE_HZ = 48_000
FRAMES = 50_001  # no multiple of any coder's block
START_FRAMES = 96_123
FOUR = ("vocals", "drums", "bass", "other")


@pytest.fixture(scope="module")
def published(worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The manifest; `folder` is where it lies."""
    require.program("ffmpeg", "ffmpeg")
    root = tmp_path_factory.mktemp("published")
    preset = root / "all.yaml"
    preset.write_text(f"schema: 2\nsummary: s\nsession: [{', '.join(FORMATS)}]\n")
    bounce = render(
        root / "Bounces" / "Mix é 3.wav",
        frames=FRAMES,
        rate_hz=RATE_HZ,
        time_reference=START_FRAMES,
    )
    model = str(GOLDEN / "spleeter" / "4stems.json")
    converter = Converter(Settings(), presets.load(preset), model, worker)
    out = root / "Stems"
    _, path = converter.convert(bounce, out / "Album" / "Mix é 3", out, lambda *_: None)
    return {**json.loads(path.read_text(encoding="utf-8")), "folder": path.parent}


def file_of(published: dict[str, Any], name: str) -> Path:
    (place,) = (each["path"] for each in published["sessions"] if each["name"] == name)
    return Path(published["folder"] / place)


def sounds(published: dict[str, Any]) -> list[Path]:
    """The bounce, then its stems."""
    stems = [published["folder"] / stem["path"] for stem in published["stems"]]
    found = [Path(published["source"]["path"]), *stems]
    assert {soundfile.info(path).frames for path in found} == {FRAMES}
    return found


def test_all_of_them_are_there_and_nothing_was_lost(published: dict[str, Any]) -> None:
    assert [each["name"] for each in published["sessions"]] == [*FORMATS]
    assert published["warnings"] == []
    assert [stem["name"] for stem in published["stems"]] == [*FOUR]
    assert published["source"]["time_reference"] == START_FRAMES


def test_reaper(published: dict[str, Any]) -> None:
    items = [i for t in Project.load(file_of(published, "reaper")).tracks for i in t.items]
    assert [item.source_path.resolve() for item in items] == sounds(published)
    for item in items:
        place = (item.position * RATE_HZ, item.length * RATE_HZ, item.soffs)
        assert tuple(map(round, place)) == (START_FRAMES, FRAMES, 0)


def test_dawproject(published: dict[str, Any]) -> None:
    root = project(file_of(published, "dawproject"))
    schema("Project").assertValid(root)
    found = [*places(root, RATE_HZ)]
    assert {place[1:4] for place in found} == {(START_FRAMES, FRAMES, 0)}
    files = [(published["folder"] / path).resolve() for *_, path in found]
    assert files == sounds(published)


def test_aaf(published: dict[str, Any]) -> None:
    read = otio.adapters.read_from_file(str(file_of(published, "aaf")))
    assert [track.name for track in read.tracks] == [f"{s} {n}" for s in FOUR for n in (1, 2)]
    files = []
    for track in read.tracks:
        (clip,) = track.find_clips()
        place = clip.range_in_parent()
        assert place.start_time == RationalTime(START_FRAMES, RATE_HZ)
        assert place.duration == RationalTime(FRAMES, RATE_HZ)
        files.append(Path(unquote(urlparse(clip.media_reference.target_url).path)))
    assert files == [path for path in sounds(published)[1:] for _ in range(2)]


def test_stem_file(published: dict[str, Any]) -> None:
    path = str(file_of(published, "stem-mp4"))
    asked = [require.ffprobe(), "-v", "error", "-show_streams", "-of", "json", path]
    streams = json.loads(subprocess.run(asked, capture_output=True, check=True).stdout)["streams"]
    assert [(each["start_pts"], each["duration_ts"]) for each in streams] == [(0, FRAMES)] * 5
    audio, rate_hz = require.stempeg().read_stems(path)
    assert (rate_hz, audio.shape) == (RATE_HZ, (5, FRAMES, 2))
    order = [published["source"]["path"], *(f"- {s}.wav" for s in stem_order())]
    wanted = [next(p for p in sounds(published) if str(p).endswith(end)) for end in order]
    for heard, source in zip(audio, wanted, strict=True):
        assert abs(heard - soundfile.read(source)[0]).max() < 2**-24


def stem_order() -> tuple[str, ...]:
    return ("drums", "bass", "other", "vocals")


def test_playlist(published: dict[str, Any]) -> None:
    lines = file_of(published, "m3u8").read_text(encoding="utf-8").splitlines()
    files = [(published["folder"] / line).resolve() for line in lines if line[0] != "#"]
    assert files == sounds(published)
    lengths = [line[8:].partition(",")[0] for line in lines if line.startswith("#EXTINF:")]
    assert {round(float(length) * RATE_HZ) for length in lengths} == {FRAMES}


def test_spotting_list(published: dict[str, Any]) -> None:
    with file_of(published, "csv").open(newline="", encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    assert [(published["folder"] / row["file"]).resolve() for row in rows] == sounds(published)
    for row in rows:
        found = (row["time_reference_frames"], row["length_frames"], row["offset_frames"])
        assert found == (str(START_FRAMES), str(FRAMES), "0")
