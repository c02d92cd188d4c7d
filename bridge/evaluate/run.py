"""Evaluation of every system on every track."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bridge.errors import UsageError
from bridge.evaluate.scores import Row, score

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from bridge.config import Settings
    from bridge.evaluate.references import Reference, Track

    FloatArray = NDArray[np.float32]
    Separate = Callable[[Reference], Mapping[str, FloatArray]]
    Fetching = Callable[[int, int | None, str], None]

ORACLE = "oracle:irm"
BASELINES = ("hpss", "centre")


@dataclass(frozen=True)
class System:
    """A method of separation: its name, and a function that loads it."""

    name: str
    prepare: Callable[[], Separate]


@dataclass(frozen=True)
class Evaluation:
    """All scores, and notes for their readers, one line each."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def evaluate(
    tracks: Sequence[Track], systems: Sequence[System], report: Callable[[str], None]
) -> Evaluation:
    """Score every system on every track, with one model and one track in memory at a time.

    Args:
        tracks: tracks with true stems.
        systems: methods of separation.
        report: called with a line of text before each system and track.

    Returns:
        The scores, in the order of the tracks.

    Raises:
        StembridgeError: a track cannot be read.
        SeparatorError: a model is not available or not usable.
    """
    rows: list[Row] = []
    notes: dict[str, None] = {}  # in order, each once
    done = 0
    for system in systems:
        separate = system.prepare()
        for track in tracks:
            done += 1
            report(f"{done}/{len(systems) * len(tracks)} {system.name}: {track.name}")
            reference = track.load()
            notes |= dict.fromkeys(f"{track.name}: {note}" for note in reference.notes)
            found, compared = score(system.name, reference, separate(reference))
            rows += found
            notes |= dict.fromkeys(f"{system.name}: {note}" for note in compared)
    return Evaluation(_by_track(rows, tracks), tuple(notes))


def model(
    name: str,
    settings: Settings,
    fetching: Fetching | None = None,
    announce: Callable[[str], None] | None = None,
) -> System:
    """A model by its name or path, with the official program's outputs (no residual).

    Args:
        name: a catalog name or a checkpoint's path.
        settings: for the device and the cache of weights.
        fetching: called during downloads with (bytes done, total bytes or None, label).
        announce: called with the licence of newly cached weights.
    """

    def prepare() -> Separate:
        import separator
        from separator.weights.store import Store

        ready = separator.load(
            name,
            settings.device,
            residual="off",
            store=Store(settings.cache_dir),
            progress=fetching,
            announce=announce,
        )
        return lambda track: ready.separate(track.mixture, track.rate_hz)

    return System(name, prepare)


def baseline(name: str, settings: Settings) -> System:
    """A method without weights, one of `BASELINES`; else UsageError."""
    if name not in BASELINES:
        raise UsageError(f"no baseline is named {name!r}: choose one of {', '.join(BASELINES)}")
    return model(f"classical:{name}", settings)


def oracle() -> System:
    """Ideal ratio masks from the true stems: the upper bound of separation by masks."""

    def prepare() -> Separate:
        from separator.baselines import ideal_ratio_masks

        def separate(track: Reference) -> Mapping[str, FloatArray]:
            if not track.stems:  # all stems are silent
                return {}
            true = np.stack(list(track.stems.values()))
            return dict(zip(track.stems, ideal_ratio_masks(true, track.mixture), strict=True))

        return separate

    return System(ORACLE, prepare)


def _by_track(rows: Sequence[Row], tracks: Sequence[Track]) -> tuple[Row, ...]:
    order = {track.name: index for index, track in enumerate(tracks)}
    return tuple(sorted(rows, key=lambda row: order[row.track]))
