"""The neutral session: what a manifest becomes, several in one, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bridge.daw.session import (
    BOUNCE_COLOUR,
    STEM_COLOURS,
    Clip,
    Marker,
    SoundFile,
    Tempo,
    from_manifest,
    merge_sessions,
)
from bridge.errors import SessionError
from tests.daw.sets import FOUR, manifest, session

if TYPE_CHECKING:
    from collections.abc import Callable

BOUNCE = Path("/music/Mix é 3.wav")


def test_the_bounce_is_muted_and_its_stems_are_in_a_folder() -> None:
    made = from_manifest(manifest(BOUNCE), Path("/stems/Mix é 3"))
    assert (made.name, made.rate_hz) == ("Mix é 3", 48_000)
    original, folder = made.tracks
    assert (original.name, original.muted, original.colour) == ("Mix é 3", True, BOUNCE_COLOUR)
    assert original.clips[0].file == SoundFile(BOUNCE, 1000, 2)
    assert (folder.name, folder.muted, folder.clips) == ("Mix é 3 stems", False, ())
    assert [track.name for track in folder.children] == [*FOUR]
    assert [track.colour for track in folder.children] == [STEM_COLOURS[stem] for stem in FOUR]
    assert not any(track.muted or track.gain_db for track in folder.children)
    for clip in made.clips:
        assert (clip.start_frames, clip.length_frames, clip.offset_frames) == (96_123, 1000, 0)
        assert clip.gain_db == 0.0
    vocals = folder.children[-1].clips[0].file
    assert vocals.path == Path("/stems/Mix é 3/Mix é 3 - vocals.wav")
    assert (made.start_frames, made.end_frames, made.channels) == (96_123, 97_123, 2)


def test_a_manifest_on_disk_gives_the_same_session() -> None:
    data = manifest(BOUNCE)
    assert from_manifest(json.loads(json.dumps(data)), BOUNCE.parent) == session(BOUNCE)


@pytest.mark.parametrize(
    ("time_reference", "start_frames"), [(None, 0), (0, 0), (3_000_000_000, 3_000_000_000)]
)
def test_the_place_is_the_time_reference(time_reference: int | None, start_frames: int) -> None:
    made = session(BOUNCE, rate_hz=96_000, time_reference=time_reference)
    assert {clip.start_frames for clip in made.clips} == {start_frames}


def test_stems_of_unknown_names_get_colours_of_their_own() -> None:
    made = session(BOUNCE, ["a", "b", "c"])
    colours = [track.colour for track in made.tracks[1].children]
    assert len({*colours}) == 3
    assert colours == [
        track.colour for track in session(BOUNCE, ["a", "b", "c"]).tracks[1].children
    ]


def test_a_trimmed_stem_is_later_and_one_with_a_tail_longer() -> None:
    data = manifest(BOUNCE)
    first, second, *_ = data["stems"]
    first |= {"start_frame": 77, "frames": 500}
    second |= {"frames": 4000}
    made = from_manifest(data, BOUNCE.parent)
    found = [(clip.start_frames, clip.length_frames) for clip in made.clips]
    usual = (96_123, 1000)
    assert found == [usual, (96_200, 500), (96_123, 4000), usual, usual]
    assert {clip.offset_frames for clip in made.clips} == {0}


@pytest.mark.parametrize(
    ("mixdowns", "muted"),
    [
        ([], []),
        (["vocals"], ["vocals"]),
        (["bass", "other"], ["bass", "other"]),
        ([*FOUR], ["bass", "other", "vocals"]),  # no stem: the first mixdown is what is heard
    ],
)
def test_nothing_is_heard_twice(mixdowns: list[str], muted: list[str]) -> None:
    data = manifest(BOUNCE)
    for stem in data["stems"]:
        stem["mixdown"] = stem["name"] in mixdowns
    original, folder = from_manifest(data, BOUNCE.parent).tracks
    assert original.muted
    assert [track.name for track in folder.children if track.muted] == muted


def test_markers_and_tempo_of_the_bounce() -> None:
    data = manifest(BOUNCE)
    marks = [{"name": "Verse\ud800", "position_frames": 10, "length_frames": 0}]
    data["source"] |= {"marks": marks, "tempo_bpm": 97.5}
    made = from_manifest(data, BOUNCE.parent)
    assert made.markers == (Marker("Verse?", 96_133),)  # in the session, not in the file
    assert made.tempos == (Tempo(97.5),)
    own = {"markers": (Marker("A", 1),), "tempos": (Tempo(80),)}
    made = from_manifest(data, BOUNCE.parent, **own)
    assert (made.markers, made.tempos) == (own["markers"], own["tempos"])
    for nothing in ({}, {"marks": [], "tempo_bpm": None}):
        plain = manifest(BOUNCE)
        plain["source"] |= nothing
        made = from_manifest(plain, BOUNCE.parent)
        assert (made.markers, made.tempos) == ((), ())


def test_staged_stems_are_named_where_they_will_lie() -> None:
    here, there = Path("/out/.staging"), Path("/out/Mix")
    made = from_manifest(manifest(BOUNCE), there, staged=here)
    original, *stems = (clip.file for clip in made.clips)
    assert (original.path, original.current_path) == (BOUNCE, BOUNCE)
    for file in stems:
        assert (file.path.parent, file.current_path.parent) == (there, here)
    assert from_manifest(manifest(BOUNCE), there).clips[1].file.current_path.parent == there


def damaged(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    data = manifest(BOUNCE)
    change(data)
    return data


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("source"),
        lambda data: data.pop("stems"),
        lambda data: data.update(stems=7),
        lambda data: data["source"].update(frames=None),
        lambda data: data["source"].update(time_reference="noon"),
        lambda data: data["source"].update(time_reference=-1),
        lambda data: data["source"].update(rate_hz=44_100),
        lambda data: data["stems"][0].update(frames=0),
        lambda data: data["stems"][0].update(path="../../secret.wav"),
        lambda data: data["stems"][0].update(path="/etc/passwd"),
        lambda data: data["stems"][0].pop("channels"),
        lambda data: data["stems"][0].update(start_frame="late"),
        lambda data: data["source"].update(tempo_bpm=0),
        lambda data: data["source"].update(tempo_bpm=float("nan")),
        lambda data: data["source"].update(marks=[{"name": "x"}]),
        lambda data: data["source"].update(marks=7),
    ],
)
def test_a_damaged_manifest_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(SessionError):
        from_manifest(damaged(change), BOUNCE.parent)


def test_what_is_no_manifest_is_refused() -> None:
    with pytest.raises(SessionError):
        from_manifest(json.loads("[]"), BOUNCE.parent)


@pytest.mark.parametrize(
    ("start", "length", "offset"), [(-1, 10, 0), (0, 0, 0), (0, 11, 0), (0, 10, 1), (0, 5, -1)]
)
def test_a_stretch_that_is_not_there_is_refused(start: int, length: int, offset: int) -> None:
    with pytest.raises(SessionError, match="10"):
        Clip(SoundFile(BOUNCE, 10, 2), "clip", start, length, offset)


def test_many_sets_become_one_session() -> None:
    first = session(BOUNCE, markers=(Marker("B", 20), Marker("A", 10)))
    second = session(
        BOUNCE.with_name("Take 2.wav"),
        ["vocals"],
        markers=(Marker("A", 10),),
        tempos=(Tempo(97.5, 3, 4),),
    )
    (joined,) = merge_sessions("Album", [first, second])
    assert joined.name == "Album"
    assert joined.tracks == (*first.tracks, *second.tracks)
    assert joined.markers == (Marker("A", 10), Marker("B", 20))
    assert joined.tempos == second.tempos
    assert len(joined.clips) == 7


def test_sets_of_other_rates_become_sessions_of_their_own() -> None:
    sets = [session(BOUNCE, rate_hz=rate) for rate in (96_000, 44_100, 96_000)]
    low, high = merge_sessions("Album", sets)
    assert (low.name, low.rate_hz, len(low.tracks)) == ("Album (44100 Hz)", 44_100, 2)
    assert (high.name, high.rate_hz, len(high.tracks)) == ("Album (96000 Hz)", 96_000, 4)


def test_nothing_becomes_nothing() -> None:
    assert merge_sessions("Album", []) == ()
    empty = replace(session(BOUNCE), tracks=())
    assert (empty.start_frames, empty.end_frames, empty.channels) == (0, 0, 0)
