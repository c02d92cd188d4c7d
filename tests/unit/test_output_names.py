"""Output folder names: legal on every system, unique and stable."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.publish.output_names import (
    MAX_BOUNCE_BYTES,
    collision_key,
    legal_name,
    output_name,
    stem_file_name,
)

if TYPE_CHECKING:
    import random

# Few letters, so that names meet; nasty ones among them; lone surrogates as undecodable bytes give.
NASTY = st.text(
    st.sampled_from('aAbß.. _~<>:"\\|?*\x00\x1f\x7f\u2028()é\u0301eKKcCoOnN1²🎚\udce9')
    | st.characters(),
    min_size=1,
    max_size=12,
).filter(lambda text: "/" not in text)
LONG = st.builds(lambda text, times: text * times, NASTY, st.integers(20, 90))
NAMES = st.one_of(NASTY, NASTY, LONG, st.sampled_from(["CON", "nul.mix", "Com1", "lpt² .x", ".."]))
SUFFIXES = st.sampled_from([".wav", ".WAV", ".flac", ".aif", "", ".x" * 40])
SOURCES = st.builds(
    lambda folders, name, suffix: PurePosixPath(*folders, name + suffix),
    st.lists(st.sampled_from(["a", "A", "b", "é", "e\u0301", "a ", "CON"]) | NAMES, max_size=2),
    NAMES,
    SUFFIXES,
).filter(lambda path: path.name != "")

# Windows rules, written down anew: https://learn.microsoft.com/windows/win32/fileio/naming-a-file
DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³"
}


def _assert_legal(name: str, max_bytes: int) -> None:
    assert 0 < len(name.encode("utf-8")) <= max_bytes  # strict: refuses lone surrogates
    assert not set(name) & set('<>:"/\\|?*')
    assert all(unicodedata.category(character) != "Cc" for character in name)
    assert name == name.strip(" .")
    assert name.split(".", maxsplit=1)[0].rstrip(" ").upper() not in DEVICES
    assert unicodedata.is_normalized("NFC", name)


@given(SOURCES, st.dictionaries(NASTY, NASTY, max_size=3))
def test_every_part_is_legal_everywhere_and_leaves_room_for_the_longest_stem(
    source: PurePosixPath, taken: dict[str, str]
) -> None:
    path = output_name(source, taken) if source.as_posix() not in taken.values() else None
    if path is None:
        return
    for part in path.parts:
        _assert_legal(part, 255)
    for stem in ("vocals", "accompaniment"):
        _assert_legal(stem_file_name(path.name, stem), 255 - 16)
    assert len(path.parts) == len(source.parts)


@given(st.lists(SOURCES, unique=True, max_size=12), st.randoms(use_true_random=False))
def test_distinct_bounces_get_distinct_folders_and_keep_them(
    sources: list[PurePosixPath], shuffle: random.Random
) -> None:
    taken: dict[str, str] = {}
    for source in sources:
        first = output_name(source, taken)
        assert output_name(source, dict(taken)) == first  # deterministic
        taken[first.as_posix()] = source.as_posix()
    keys = [collision_key(name) for name in taken]
    assert len(set(keys)) == len(sources)
    for outer in keys:
        assert not any(inner.startswith(f"{outer}/") for inner in keys)
    owners = {of: name for name, of in taken.items()}
    shuffle.shuffle(sources)
    for source in sources:
        assert output_name(source, taken).as_posix() == owners[source.as_posix()]


@given(NAMES)
def test_making_legal_twice_changes_nothing(name: str) -> None:
    once = legal_name(name)
    _assert_legal(once, MAX_BOUNCE_BYTES)
    assert legal_name(once) == once


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("mix.wav", "mix"),
        ("Album/Song 1/mix v2.1.wav", "Album/Song 1/mix v2.1"),
        ("Ünï cöde – 日本.flac", "Ünï cöde – 日本"),
        ("e\u0301.wav", "é"),
        ("what?.wav", "what_"),
        ("tail. .wav", "tail"),
        ("con.wav", "_con"),
        ("Aux.final.wav", "_Aux.final"),
        ("a\nb.wav", "ab"),
        ("   .wav", "untitled"),
        ("../../etc/mix.wav", "untitled/untitled/etc/mix"),
        ("/abs/mix.wav", "mix"),
    ],
)
def test_names_follow_the_bounce(source: str, expected: str) -> None:
    assert output_name(PurePosixPath(source), {}).as_posix() == expected


def test_same_stems_get_the_suffix_in_their_name() -> None:
    taken = {"mix": "mix.wav"}
    for source, expected in [
        ("mix.flac", "mix (flac)"),
        ("MIX.wav", "MIX (wav)"),
        ("Mix.WAV", "Mix (wav 2)"),
        ("mix", "mix (2)"),
    ]:
        name = output_name(PurePosixPath(source), taken).as_posix()
        assert name == expected
        taken[name] = source
    assert output_name(PurePosixPath("mix.wav"), taken).as_posix() == "mix"


def test_composed_and_decomposed_names_get_two_folders() -> None:
    taken = {"café": "café.wav"}
    assert output_name(PurePosixPath("cafe\u0301.wav"), taken).as_posix() == "café (wav)"


def test_the_same_path_in_another_watched_folder_is_another_bounce() -> None:
    assert output_name(PurePosixPath("mix.wav"), {"mix": "/other/mix.wav"}).name == "mix (wav)"


def test_no_folder_lies_in_that_of_another_bounce() -> None:
    inside = output_name(PurePosixPath("a/b.wav"), {"a": "a.wav"})
    assert inside.as_posix() == "a (folder)/b"
    around = output_name(PurePosixPath("a.wav"), {"a/b": "a/b.wav"})
    assert around.as_posix() == "a (wav)"


def test_long_names_stay_distinct(tmp_path: Path) -> None:
    one, two = PurePath("ü" * 200 + "1.wav"), PurePath("ü" * 200 + "2.wav")
    names = {output_name(one, {}).name, output_name(two, {}).name}
    assert len(names) == 2
    for name in names:
        assert name.startswith("ü" * 100)
        (tmp_path / stem_file_name(name, "accompaniment")).touch()  # the file system agrees


def test_undecodable_names_stay_distinct(tmp_path: Path) -> None:
    sources = [PurePath(os.fsdecode(name)) for name in (b"caf\xe9.wav", b"caf\xe8.wav")]
    names = {output_name(source, {}).name for source in sources}
    assert len(names) == 2
    assert all(name.startswith("caf_ ") for name in names)
    for name in names:
        (tmp_path / stem_file_name(name, "vocals")).touch()


STEMS = st.lists(
    st.text(st.sampled_from("aAeE\u0301éÉ -.CON🎚日") | st.characters(), min_size=1, max_size=64),
    max_size=6,
    unique_by=collision_key,
)


@given(NAMES, STEMS)
def test_stems_of_one_bounce_get_files_of_their_own(bounce: str, stems: list[str]) -> None:
    """Names as presets allow them, up to 64 characters of four bytes each."""
    plain = [s for s in stems if s == s.strip(" .") and _is_plain(s)]
    names = [stem_file_name(legal_name(bounce), stem) for stem in plain]
    for name in names:
        _assert_legal(name, 255 - 16)
    assert len({collision_key(name) for name in names}) == len(plain)


def _is_plain(name: str) -> bool:
    kinds = {unicodedata.category(character) for character in name}
    return not kinds & {"Cc", "Cs", "Zl", "Zp"} and not set(name) & set('<>:"/\\|?*')


def test_a_long_stem_of_a_long_bounce_can_be_written(tmp_path: Path) -> None:
    bounce = legal_name("ü" * 300)
    one, two = (stem_file_name(bounce, "🎚" * 63 + last) for last in "ab")
    assert one != two
    (tmp_path / one).touch()
    (tmp_path / two).touch()
    assert stem_file_name("mix", "CON") == "mix - CON.wav"


def test_a_stem_is_named_after_its_bounce() -> None:
    assert stem_file_name("mix (flac)", "vocals") == "mix (flac) - vocals.wav"
    assert stem_file_name("mix", "a/b") == "mix - a_b.wav"
