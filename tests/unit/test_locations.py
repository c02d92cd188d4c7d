"""Output folder of `split`: next to the bounce or as given, and never that of another bounce."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bridge.publish.locations import split_target

if TYPE_CHECKING:
    from pathlib import Path


def publish_as(target: Path, source: object) -> None:
    target.mkdir(parents=True)
    (target / "manifest.json").write_text(json.dumps(source), encoding="utf-8")


def owned(path: Path) -> dict[str, dict[str, str]]:
    return {"source": {"path": str(path)}}


def test_default_is_next_to_the_bounce(tmp_path: Path) -> None:
    bounce = tmp_path / "Album" / "mix.wav"
    stems = tmp_path / "Album" / "Stems"
    assert split_target(bounce, None) == (stems, stems / "mix")
    assert split_target(bounce, tmp_path / "out") == (tmp_path / "out", tmp_path / "out" / "mix")


def test_a_relative_path_means_the_same_as_its_absolute_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pathlib import Path as AnyPath

    monkeypatch.chdir(tmp_path)
    bounce = tmp_path / "mix.wav"
    publish_as(tmp_path / "Stems" / "mix", owned(bounce))
    assert split_target(AnyPath("mix.wav"), None) == split_target(bounce, None)
    assert split_target(AnyPath("mix.wav"), AnyPath("out"))[0] == tmp_path / "out"


def test_a_bounce_gets_its_own_place_again_and_never_another_s(tmp_path: Path) -> None:
    out = tmp_path / "out"
    bounces = [tmp_path / name for name in ("a/mix.wav", "b/mix.wav", "c/mix.wav", "a/mix.flac")]
    places = []
    for bounce in bounces:
        places.append(split_target(bounce, out)[1])
        publish_as(places[-1], owned(bounce))
    assert len(set(places)) == len(bounces)
    assert places[0] == out / "mix"
    assert [split_target(bounce, out)[1] for bounce in bounces] == places
    assert [split_target(bounce, out)[1] for bounce in reversed(bounces)] == places[::-1]


@pytest.mark.parametrize("content", ["", "[]", '{"source": 3}', '{"source": {}}', "\x00", "nope"])
def test_a_manifest_without_source_reserves_nothing(tmp_path: Path, content: str) -> None:
    target = tmp_path / "Stems" / "mix"
    target.mkdir(parents=True)
    (target / "manifest.json").write_text(content)
    assert split_target(tmp_path / "mix.wav", None)[1] == target


def test_names_that_differ_only_in_case_get_two_places(tmp_path: Path) -> None:
    publish_as(tmp_path / "out" / "Mix", owned(tmp_path / "a" / "Mix.wav"))
    place = split_target(tmp_path / "b" / "mix.wav", tmp_path / "out")[1]
    assert place.name.casefold() != "mix"
