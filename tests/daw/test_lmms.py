"""LMMS: what it renders goes through the service to stems and a REAPER project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rppxml
import soundfile
from reaproj import Project  # type: ignore[import-untyped]

from tests.daw.headless import Lmms

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.watch_service import Child, Studio

RATE_HZ = 44_100


def test_a_song_becomes_stems_and_a_reaper_project(
    studio: Studio, start: Callable[..., Child], tmp_path: Path
) -> None:
    lmms = Lmms()
    preset = tmp_path / "session.yaml"
    preset.write_text("schema: 2\nsummary: stems and a session\nsession: [reaper]\n")
    service = start("--preset", str(preset)).ready()
    bounce = studio.folder / "Skiessi 222.wav"
    lmms.render("shorties/Skiessi-222.mmpz", bounce, RATE_HZ)
    service.wait_for(lambda: studio.published() == ["Skiessi 222"], "the stems")
    assert service.end() == 130
    studio.check_complete()

    frames = soundfile.info(bounce).frames
    assert frames > 20 * RATE_HZ
    folder = studio.stems / "Skiessi 222"
    path = folder / "Skiessi 222.rpp"
    items = [item for track in Project.load(path).tracks for item in track.items]
    stems = [f"Skiessi 222 - {stem}.wav" for stem in ("vocals", "accompaniment")]
    assert [item.source_path.resolve() for item in items] == [
        bounce.resolve(),
        *((folder / stem).resolve() for stem in stems),
    ]
    for item in items:
        # LMMS writes no time reference, so that the place is the beginning.
        assert (item.position, round(item.length * RATE_HZ)) == (0, frames)
        assert soundfile.info(item.source_path).frames == frames

    root = rppxml.load(str(path))  # type: ignore[arg-type]
    tracks = [block for block in root.children if isinstance(block, rppxml.RPPXML)]
    keys = [{line[0]: line[1:] for line in t.children if isinstance(line, list)} for t in tracks]
    names = [key["NAME"] for key in keys]
    assert names == [["Skiessi 222"], ["Skiessi 222 stems"], ["vocals"], ["accompaniment"]]
    assert [key["MUTESOLO"][0] for key in keys] == [1, 0, 0, 0]
    assert [key["ISBUS"] for key in keys] == [[0, 0], [1, 1], [0, 0], [2, -1]]
