"""The one piece of real music whose true stems come with a package: a MUSDB18 excerpt."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from bridge.evaluate.references import Reference, find_tracks


def excerpt_path() -> Path:
    """The Easton Ellises, "Falcon 69", 6 s, a .stem.mp4 in the package stempeg."""
    found = importlib.util.find_spec("stempeg")  # not imported: the file is all that is wanted
    assert found is not None
    assert found.submodule_search_locations
    (path,) = (Path(found.submodule_search_locations[0]) / "data").glob("*.stem.mp4")
    return path


@cache
def excerpt() -> Reference:
    """The excerpt in memory; its mixture is the sum of its stems."""
    (track,) = find_tracks(excerpt_path())
    return track.load()
