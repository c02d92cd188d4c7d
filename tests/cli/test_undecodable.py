"""Folders and files whose names are bytes that are no text in the system's encoding."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge.audio.targets.registry import TARGETS
from bridge.publish.transaction import read_manifest
from tests.bounces import render
from tests.support import require

if TYPE_CHECKING:
    from tests.cli.command import Desk, Inside

NAME = os.fsdecode(b"caf\xe9")


@pytest.fixture
def folder(desk: Desk) -> Path:
    place = desk.home / NAME
    try:
        place.mkdir()
    except OSError:
        pytest.skip("this file system takes only text as names")
    return place


@pytest.mark.parametrize("form", [name for name in TARGETS if name != "m4a"])
def test_stems_of_every_format(inside: Inside, desk: Desk, folder: Path, form: str) -> None:
    bounce = render(folder / f"{NAME}.wav", frames=4000)
    result = inside("split", str(bounce), "--format", form, "-m", desk.model)
    assert result.code == 0, result
    (place,) = [path.parent for path in folder.glob("Stems/*/manifest.json")]
    manifest = read_manifest(place)
    assert manifest is not None
    assert Path(manifest["source"]["path"]) == bounce
    assert all((place / stem["path"]).is_file() for stem in manifest["stems"])


def test_stems_as_m4a(inside: Inside, desk: Desk, folder: Path) -> None:
    require.program("ffmpeg", "ffmpeg")
    bounce = render(folder / f"{NAME}.wav", frames=4000)
    result = inside("split", str(bounce), "--format", "m4a", "-m", desk.model)
    assert result.code == 0, result


def test_a_preview(inside: Inside, desk: Desk, folder: Path) -> None:
    bounce = render(folder / f"{NAME}.wav", frames=20_000)
    out = folder / "previews"
    result = inside(
        *("preview", str(bounce), "--at", "0", "--for", "0.2", "--out", str(out)),
        *("-m", desk.model),
    )
    assert result.code == 0, result
    assert len([*out.iterdir()]) == 2


def test_a_watched_folder_and_a_batch(inside: Inside, desk: Desk, folder: Path) -> None:
    render(folder / f"{NAME}.wav", frames=4000)
    watched = inside("watch", str(folder), "--once", "-m", desk.model)
    assert watched.code == 0, watched
    batch = inside("batch", str(folder), "-m", desk.model, "--session", "csv,reaper,m3u8")
    assert batch.code == 0, batch
    assert inside("status", "--json").code == 0
