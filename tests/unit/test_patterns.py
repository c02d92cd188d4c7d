"""The language of patterns: `*`, `?`, `**`, and nothing else that is not itself."""

from __future__ import annotations

import re
import time
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.batch.patterns import matches
from bridge.cli.arguments import expand_wildcards
from bridge.publish.output_names import collision_key

# Names that Linux allows: anything but a slash and NUL.
NAMES = st.text(
    st.one_of(
        st.sampled_from("ab[]{}!^-*?\\.+()|$ ßẞéÉ\n"), st.characters(blacklist_characters="/\0")
    ),
    min_size=1,
    max_size=12,
).filter(lambda name: name not in {".", ".."})
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda parts: PurePosixPath(*parts))


def escaped(name: str) -> str:
    """As docs/batch.md says: a backslash before `*`, `?` and backslashes."""
    return re.sub(r"([*?\\])", r"\\\1", name)


def fits(pattern: str, bounce: str | PurePosixPath) -> bool:
    return matches(pattern, PurePosixPath(bounce), escapes=True)


@given(NAMES, NAMES)
@example("[test].wav", "t.wav")
@example("Mix [v2].wav", "Mix v.wav")
@example("[!a].wav", "b.wav")
@example("a*", "ab")
@example("a?", "ab")
@example("\\", "\\\\")
@example("\\*", "*")
def test_an_escaped_name_matches_itself_and_only_itself(name: str, other: str) -> None:
    assert fits(escaped(name), name)
    same = collision_key(name) == collision_key(other)  # letter case and composition alone
    assert fits(escaped(name), other) is same


@given(PATHS, PATHS)
def test_an_escaped_path_matches_itself_and_what_lies_below(
    path: PurePosixPath, other: PurePosixPath
) -> None:
    pattern = "./" + escaped(path.as_posix())
    assert fits(pattern, path)
    assert fits(pattern, path / other)
    keys = [[collision_key(part) for part in one.parts] for one in (path, other)]
    assert fits(pattern, other) is (keys[1][: len(keys[0])] == keys[0])


@given(NAMES.filter(lambda name: not {*name} & {*"*?\\"}))
def test_a_name_without_special_characters_needs_no_escape(name: str) -> None:
    assert escaped(name) == name
    assert fits(name, name)


@given(*[st.text("ab[]*?\\.", min_size=1, max_size=6)] * 3)
def test_a_star_is_any_run_within_one_name(begin: str, middle: str, end: str) -> None:
    pattern = f"x/{escaped(begin)}*{escaped(end)}y"
    assert fits(pattern, f"x/{begin}{middle}{end}y")
    assert fits(pattern, f"x/{begin}{end}y")
    assert not fits(pattern, f"x/{begin}{middle}{end}")
    assert not fits(pattern, f"x/{begin}/{end}y")


@pytest.mark.parametrize("character", ["a", "ß", "é", "*", "?", "[", "\\", "\n", "日", "🎵", "İ"])
def test_a_question_mark_is_one_character_whatever_it_is(character: str) -> None:
    assert fits("take ?", f"take {character}")
    assert not fits("take ?", "take ")
    assert not fits("take ?", f"take {character}b")
    assert not fits("take ?", f"take/{character}")


@pytest.mark.parametrize(
    ("pattern", "bounce", "expected"),
    [
        ("[test].wav", "[test].wav", True),
        ("[test].wav", "t.wav", False),
        ("[test]*", "[TEST] 1.wav", True),
        ("[ab]*", "a.wav", False),
        ("[!a].wav", "b.wav", False),
        ("{a,b}.wav", "a.wav", False),
        ("a**b.wav", "axxb.wav", True),  # two stars inside a name are one
        ("a**b", "a/b", False),
        ("**", "a/b/c.wav", True),
        ("**/**/c.wav", "c.wav", True),
        ("x/**", "x/a/b.wav", True),
        ("x/**", "y/a/b.wav", False),
        (r"take \*.wav", "take *.wav", True),
        (r"take \*.wav", "take 1.wav", False),
        (r"really\?.wav", "really?.wav", True),
        (r"really\?.wav", "really!.wav", False),
        (r"a\b.wav", r"a\b.wav", True),  # a backslash before anything else is itself
        ("a\\", "a\\", True),
        ("STRASSE.wav", "straße.wav", True),
    ],
)
def test_what_the_language_has_and_has_not(pattern: str, bounce: str, expected: bool) -> None:
    assert fits(pattern, bounce) is expected


@pytest.mark.parametrize(
    ("pattern", "bounce"),
    [(r"Song 1\Drums*", "Song 1/Drums 2.wav"), (r"Song 1\**\*.wav", "Song 1/a/b/c.wav")],
)
def test_on_windows_a_backslash_is_a_slash(pattern: str, bounce: str) -> None:
    assert matches(pattern, PurePosixPath(bounce), escapes=False)


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    began_s = time.perf_counter()
    assert not fits("*a" * 60 + "b", "a" * 200)
    assert not fits("**/a/" * 30 + "b", "/".join("a" * 60))
    assert time.perf_counter() - began_s < 2


def test_on_windows_wildcards_of_arguments_are_expanded_but_brackets_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No shell does it there."""
    for name in ("[test].wav", "t.wav", "a [v2].wav", "b [v2].wav", "$HOME.wav"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    typed = ["split", "[test].wav", "* [v2].wav", "$HOME.wav", "--map", "Drums*=x", "?.wav", "no*"]
    assert expand_wildcards(typed, by_us=True) == [
        *("split", "[test].wav", "a [v2].wav", "b [v2].wav", "$HOME.wav"),
        *("--map", "Drums*=x", "t.wav", "no*"),
    ]
    assert expand_wildcards(["~"], by_us=True) == [str(Path.home())]
    assert expand_wildcards(typed, by_us=False) == typed
