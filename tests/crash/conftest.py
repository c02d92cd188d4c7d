"""One zygote for all tests here, and scenes to begin from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.bounces import RATE_HZ, render
from tests.crash.scene import SAVED, Scene, Zygote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if sys.platform != "linux" or sys.version_info < (3, 11):
    # Before 3.11 pathlib keeps calls of its own that cannot be wrapped; elsewhere there is no /proc
    # and no way to see that orphans end.
    pytest.skip("needs Linux and Python 3.11", allow_module_level=True)


@pytest.fixture(scope="package")
def zygote() -> Iterator[Zygote]:
    zygote = Zygote()
    yield zygote
    zygote.end()


@pytest.fixture
def scene(tmp_path: Path, zygote: Zygote) -> Scene:
    """One bounce of a second, and stems that go beside the bounces."""
    scene = Scene(tmp_path / "scene", zygote)
    render(scene.folder / "mix.wav", frames=RATE_HZ, seed=1)
    return scene


@pytest.fixture
def sessions_over(scene: Scene) -> Scene:
    """A set with session files, one of them saved by the user; rendered again, other formats."""
    scene.preset = scene.root / "preset.yaml"
    scene.preset.write_text("schema: 2\nsummary: s\nsession: [reaper, ardour, csv]\n")
    ran = scene.run()
    assert ran.code == 0, ran.output
    (scene.stems / "mix" / "mix.spotting.csv").write_bytes(SAVED)
    scene.preset.write_text("schema: 2\nsummary: s\nsession: [reaper, dawproject, csv]\n")
    render(scene.folder / "mix.wav", frames=RATE_HZ + 7, seed=2)
    return scene


@pytest.fixture
def rendered_over(scene: Scene) -> Scene:
    """A set lies there; its bounce was rendered again."""
    ran = scene.run()
    assert ran.code == 0, ran.output
    (scene.stems / "mix" / "mix - vocals.wav.reapeaks").write_bytes(b"peaks of the DAW")
    render(scene.folder / "mix.wav", frames=RATE_HZ + 7, seed=2)
    return scene
